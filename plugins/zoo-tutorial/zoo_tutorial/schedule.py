"""The freezing schedule `ends-first`: a plan is data, so nothing here needs torch."""

from zoo.contracts import HEAD, Phase


def ends_first(groups: tuple[str, ...], epochs: int, ends_epochs: int = 1) -> tuple[Phase, ...]:
    """The stem and the head, then everything, for images that look unlike those of the pretraining (arXiv:2210.11466).

    ends_epochs: epochs of the two ends alone; all of them where there are no more.
    """
    if ends_epochs < 1:
        raise ValueError(f"ends_epochs is {ends_epochs}, but must be at least 1")
    first = min(ends_epochs, epochs)
    ends = tuple(group for group in groups if group in (groups[0], HEAD))
    phases = (Phase(first, ends), Phase(epochs - first, groups))
    return tuple(phase for phase in phases if phase.epochs)

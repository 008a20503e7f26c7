"""A sound schedule keeps every point; each fault is found at its point."""

import random
import sys
from itertools import count

import pytest
from verdict import failed, verdict

from zoo.contracts import HEAD, Phase
from zoo.errors import ContractError
from zoo.plugins import installed
from zoo.testing import check_schedule

ZOO_CONTRACT = ">=1,<2"


def sound(groups: tuple[str, ...], epochs: int, alone: int = 1) -> tuple[Phase, ...]:
    """The head alone, then everything. alone: epochs of the head alone."""
    if not 0 < alone < epochs:
        raise ValueError(f"alone={alone} must lie between 1 and {epochs - 1}")
    return (Phase(alone, (HEAD,)), Phase(epochs - alone, groups, {g: 0.1 for g in groups[:-1]}))


def test_a_sound_schedule():
    told = verdict("schedule", sound)
    assert (told["failed"], told["warning"]) == ({}, {})
    assert told["skipped"].keys() <= {"licence", "elsewhere"}
    check_schedule(sound, alone=3)


@pytest.mark.parametrize("name", [p.full_name for p in installed("schedule") if p.owner == "timm-zoo"])
def test_the_zoos_own_by_name(name):
    check_schedule(name)


def lists(groups: tuple[str, ...], epochs: int):
    """A list of phases."""
    return [Phase(epochs, groups)]


def pairs(groups: tuple[str, ...], epochs: int):
    """Plain pairs."""
    return ((epochs, groups),)


def list_within(groups: tuple[str, ...], epochs: int):
    """Groups as a list."""
    return (Phase(epochs, list(groups)),)


def fractions(groups: tuple[str, ...], epochs: int):
    """Half the epochs each."""
    return (Phase(epochs / 2, (HEAD,)), Phase(epochs / 2, groups))


def halves(groups: tuple[str, ...], epochs: int):
    """Half the epochs each, rounded down."""
    return (Phase(max(1, epochs // 2), (HEAD,)), Phase(max(1, epochs // 2), groups))


def empty_phase(groups: tuple[str, ...], epochs: int):
    """A second phase of nothing."""
    return (Phase(epochs, groups), Phase(0, groups))


def chance(groups: tuple[str, ...], epochs: int):
    """Rates by chance."""
    return (Phase(epochs, groups, {HEAD: 0.5 + random.random()}),)


class Counting:
    """Plans that depend on how often it was asked."""

    __name__ = "Counting"

    def __init__(self) -> None:
        self.calls = count(1)

    def __call__(self, groups: tuple[str, ...], epochs: int):
        return (Phase(epochs, groups, {HEAD: 1.0 / next(self.calls)}),)


SHARED: dict[str, float] = {}


def shared(groups: tuple[str, ...], epochs: int):
    """One mapping for all plans."""
    SHARED[groups[0]] = 0.5
    return (Phase(epochs, groups, SHARED),)


def invented(groups: tuple[str, ...], epochs: int):
    """Names that no model has."""
    return (Phase(epochs, ("layer4", HEAD)),)


def doubled(groups: tuple[str, ...], epochs: int):
    """Names a group twice."""
    return (Phase(epochs, (*groups, HEAD)),)


def nothing(groups: tuple[str, ...], epochs: int):
    """Trains nothing."""
    return (Phase(epochs, ()),)


def zero_rate(groups: tuple[str, ...], epochs: int):
    """Freezes by a rate of zero."""
    return (Phase(epochs, groups, {groups[0]: 0.0}),)


def headless(groups: tuple[str, ...], epochs: int):
    """Everything but the head."""
    return (Phase(epochs, groups[:-1] or groups),)


def deep_only(groups: tuple[str, ...], epochs: int):
    """Needs four groups and does not say so."""
    return (Phase(epochs, (groups[3], HEAD)),)


def speechless(groups: tuple[str, ...], epochs: int):
    """Refuses without a word."""
    raise ValueError


def leaves(groups: tuple[str, ...], epochs: int):
    """Ends the program."""
    sys.exit(1)


def careless(groups: tuple[str, ...], epochs: int, alone: int = 1, kind: str = "a", rate: float = 1.0):
    """Believes every option. alone, kind, rate: whatever."""
    plans = {"a": (Phase(alone, (HEAD,)), Phase(max(1, epochs - alone), groups, {HEAD: rate}))}
    return plans[kind] if epochs > 1 else (Phase(1, groups, {HEAD: rate}),)


def open_ended(groups: tuple[str, ...], epochs: int, **options):
    """Takes anything."""
    return (Phase(epochs, groups),)


FAULTS = {
    lists: {"planning": "it gave a list instead of a tuple"},
    pairs: {"planning": "it gave a tuple instead of a zoo.contracts.Phase"},
    list_within: {"planning": "it gave a phase whose trainable is ['head']"},
    fractions: {"planning": "it gave a phase whose epochs is 0.5"},
    halves: {"epochs": "it gave phases of 2 epochs for epochs=1"},
    empty_phase: {"epochs": "it gave a phase of 0 epochs"},
    chance: {"purity": "another plan when asked again"},
    Counting(): {"purity": "another plan when asked again"},
    shared: {"groups": "names the group 'stem', but the groups are"},
    invented: {"groups": "it names the group 'layer4', but the groups are head"},
    doubled: {"groups": "a group twice"},
    nothing: {"groups": "nothing trains"},
    zero_rate: {"groups": "it gave lr_scale=0.0 to 'head'"},
    headless: {"head": "it never trains"},
    deep_only: {"planning": "it raised IndexError: tuple index out of range"},
    speechless: {"planning": "a ValueError without a text for 1 groups and 1 epochs"},
    leaves: {"planning": "it raised SystemExit: 1"},
    careless: {"option range": "alone=-1 gave a phase of -1 epochs"},
    open_ended: {"unknown option": "was taken without a word"},
}


@pytest.mark.parametrize("schedule", FAULTS, ids=lambda schedule: schedule.__name__)
def test_each_fault_is_found(schedule):
    found = failed("schedule", schedule)
    for point, text in FAULTS[schedule].items():
        assert text in found[point]


def test_every_odd_value_is_told():
    assert [text.split(" ")[0] for text in verdict("schedule", careless)["failed"]["option range"]] == [
        "alone=-1", "alone=0", "alone=1000000", "kind='no-such-value'", "rate=-1.0",
    ]  # fmt: skip


def late_head(groups: tuple[str, ...], epochs: int):
    """The head in the end."""
    if len(groups) < 2 or epochs < 2:
        raise ValueError("needs two groups and two epochs")
    return (Phase(1, groups[:-1]), Phase(epochs - 1, groups))


def choosy(groups: tuple[str, ...], epochs: int, only: str | None = None):
    """Trains one group. only: its name."""
    if only not in groups:
        raise ValueError(f"only={only} must be one of {', '.join(groups)}")
    return (Phase(epochs, (only,)),)


def test_what_is_odd_but_allowed_is_a_warning():
    assert verdict("schedule", late_head)["warning"]["head"] == ["it trains later (2 groups, 2 epochs)"]
    told = verdict("schedule", choosy)
    assert told["failed"] == {}
    assert told["warning"]["planning"][0].startswith(
        "a ValueError for 6 groups and 10 epochs: only=None must be one of"
    )


def test_an_installed_schedule_is_tried_in_other_processes(install):
    source = """
from zoo.contracts import Phase

ZOO_CONTRACT = ">=1,<2"

def fine(groups: tuple[str, ...], epochs: int):
    '''Everything.'''
    return (Phase(epochs, groups),)

def hashed(groups: tuple[str, ...], epochs: int):
    '''Groups in the order of a set.'''
    return (Phase(epochs, tuple(set(groups))),)
"""
    heavy = "import torch\n" + source
    install(
        "zoo-plans",
        schedules={"fine": "zoo_plans:fine", "hashed": "zoo_plans:hashed", "heavy": "zoo_heavy:fine"},
        files={"zoo_plans.py": source, "zoo_heavy.py": heavy},
    )
    told = verdict("schedule", "fine")
    assert "elsewhere" in told["ok"] and told["failed"].keys() == {"licence"}
    assert "another plan in another process" in failed("schedule", "hashed")["elsewhere"]
    assert failed("schedule", "zoo-plans:heavy")["elsewhere"] == "importing zoo_heavy imports torch"


def test_the_error_names_the_part():
    with pytest.raises(ContractError, match=r"^schedule lists: planning: asked: It gives a tuple"):
        check_schedule(lists)

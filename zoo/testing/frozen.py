"""Nothing frozen moves in a training step, under every freezing schedule that comes with the zoo."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from zoo.config.recipe import Optim
from zoo.contracts import Phase
from zoo.errors import UsageError
from zoo.models.mode import evaluating
from zoo.models.param_groups import Groups, parameter_groups
from zoo.plugins import OWN, installed
from zoo.testing.module import CLASSES, Trial, each, tensors
from zoo.testing.report import Violation, quote_names
from zoo.training.freezing import freeze, select_trainable, set_train_mode
from zoo.training.optim import build_optimizer

OPTIMIZERS = ("adamw", "sgd")
IMAGES = 4
LR = 1e-2
"""High enough for a small gradient to move a weight near 1."""


@each
def freezing(trial: Trial) -> Iterator[Violation]:
    """Under every schedule frozen weights and statistics stay bit-equal through a training step, and the rest moves."""
    torch.manual_seed(0)
    groups = parameter_groups(trial.whole(trial.copy()), trial.image_size)
    for number, (schedule, phase) in enumerate(distinct_phases(tuple(groups))):
        model = trial.whole(trial.copy())
        try:
            select_trainable(model, groups, phase)
        except UsageError:  # it has no norms, or no biases
            continue
        for found in step(model, groups, phase, trial.image_size, OPTIMIZERS[number % 2]):
            yield Violation(f"under {schedule}, with {quote_names(phase.trainable)} to train, {found.text}", found.fix)
            return


def distinct_phases(groups: tuple[str, ...]) -> Iterator[tuple[str, Phase]]:
    """First, middle and last phase of each of the zoo's schedules, no two alike; then all but the head."""
    met = set()
    for plugin in installed("schedule"):
        if plugin.owner != OWN:
            continue
        try:
            plan = plugin.load()(groups, 2 * len(groups))
        except (ValueError, TypeError):  # it needs options, or another number of groups
            continue
        for phase in (plan[0], plan[len(plan) // 2], plan[-1]):
            key = (phase.trainable, phase.parameters, phase.freeze_bn_stats)
            if key not in met:
                met.add(key)
                yield f"schedule '{plugin.name}'", phase
    if len(groups) > 1:
        yield "a frozen head", Phase(1, groups[:-1])


def step(model: nn.Module, groups: Groups, phase: Phase, image_size: int, optimizer: str) -> Iterator[Violation]:
    """A training step and a validation forward of a phase: what moved that should not have, and the other way round."""
    freeze(model, groups, phase)
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    set_train_mode(model, bool(phase.freeze_bn_stats))
    given = {name: p.requires_grad for name, p in model.named_parameters()}
    if changed := [name for name, needed in wanted.items() if given.get(name) != needed]:
        yield Violation(
            f"its train() changed requires_grad of {quote_names(changed)}", "leave requires_grad alone in train()"
        )
        return
    still = {f"{name}." if name else "" for name, module in model.named_modules() if not module.training}
    before = tensors(model)
    steps = build_optimizer(model, groups, phase, Optim(name=optimizer, lr=LR, weight_decay=0.1))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, image_size, image_size, generator=generator)
    F.cross_entropy(model(images), torch.arange(IMAGES) % CLASSES).backward()
    steps.step()
    model.zero_grad(set_to_none=True)
    with evaluating(model), torch.no_grad():
        model(images)
    after = tensors(model)
    moved = {name for name in after if name not in before or not torch.equal(after[name], before[name])}
    if weights := [name for name, trains in wanted.items() if not trains and name in moved]:
        yield Violation(
            f"the frozen {quote_names(weights)} moved", "change no weights in forward or train(); the zoo alone does"
        )
    quiet = [n for n in moved if n not in wanted and n.rpartition(".")[0] + ("." if "." in n else "") in still]
    if quiet:
        fix = "let batch norm follow its own .training, and override neither train() nor F.batch_norm's training"
        yield Violation(f"the frozen statistics {quote_names(quiet)} moved", fix)
    for group in phase.trainable:
        names = [name for name in groups[group] if wanted[name]]
        if names and not moved.intersection(names):
            yield Violation(
                f"nothing of '{group}' moved", "use its parameters in train mode, without detach() or no_grad()"
            )

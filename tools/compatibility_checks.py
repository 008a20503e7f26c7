"""One architecture of timm under every installed head and freezing schedule: what builds, groups, plans and freezes.

Models are built on torch's meta device, which has shapes but no numbers, so the largest take no memory; those that fail
there are built for real. What a head makes of features is tried once for each shape. A cell is `ok` or the very message
that a user gets.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import chain
from typing import Any

import timm
import torch
from torch import nn

from zoo.config.recipe import Model, Recipe
from zoo.contracts import HEAD, FeatureInfo, Phase
from zoo.errors import ZooError
from zoo.models.backbone import native_size
from zoo.models.classifier import Classifier, build_classifier, feature_info, idle_parameters
from zoo.models.param_groups import Groups, parameter_groups
from zoo.models.transfer import Intermediate, innermost
from zoo.plugins import find, installed
from zoo.training.freezing import freeze, select_trainable, set_train_mode
from zoo.training.plan import plan_phases

CLASSES = 1013
"""As no other size in timm, so that a parameter as long as this is a classifier's."""
EPOCHS = 6
OK = "ok"
PROBE = "mlp"
"""The head under which groups and freezing are checked; the groups below the head are the same for all of them."""
LARGEST = 1_000_000_000
"""Parameters above which nothing is built for real."""
TRIED = ("head ", "schedule ", "grouping", "freezing")
"""How the columns begin that say whether something works."""

Row = dict[str, str]


def heads() -> list[str]:
    """Names of all installed heads, timm's own classifier first."""
    return sorted((p.name for p in installed("head")), key=lambda name: (name != "linear", name))


def schedules() -> list[str]:
    return [p.name for p in installed("schedule")]


def columns() -> list[str]:
    """The table's header."""
    facts = ["architecture", "family", "pixels", "parameters", "features", "groups", "idle"]
    return [*facts, *map("head {}".format, heads()), "grouping", *map("schedule {}".format, schedules()), "freezing",
            "forward", "note"]  # fmt: skip


def family(name: str) -> str:
    """The module of timm that defines an architecture."""
    return timm.model_entrypoint(name).__module__.rpartition(".")[2]


def examine(name: str, device: str = "meta") -> Row:
    """One architecture's row; what fails is in its cell, whatever it is, and failed with real numbers too."""
    row = dict.fromkeys(columns(), "")
    row |= {"architecture": name, "family": family(name)}
    try:
        with torch.device(device):
            row |= _examined(name)
    except Exception as error:
        row["note"] = message(error)
    plans = ("schedule ",)  # which numbers do not change
    failed = any(row[c] != OK for c in columns() if c.startswith(TRIED) and not c.startswith(plans))
    small = int(row["parameters"] or 0) < LARGEST
    return examine(name, "cpu") if failed and small and device == "meta" else row


def message(error: BaseException) -> str:
    """What a user reads: the sentence of a ZooError; anything else would come with a traceback."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ZooError) else f"uncaught {type(error).__name__}: {text}"


def outcome(function: Callable, *arguments: Any) -> str:
    """`ok`, or what a user reads where `function` raises; a text that it returns is a fault."""
    try:
        fault = function(*arguments)
    except Exception as error:
        return message(error)
    return fault if isinstance(fault, str) and fault else OK


def spec(name: str, head: str = "linear") -> Model:
    return Model(backbone=f"timm:{name}", pretrained=False, head=head)


def _examined(name: str) -> Row:
    row: Row = {}
    models: list[tuple[nn.Module, Groups, int]] = []
    for head in ("linear", PROBE):
        try:
            model = build_classifier(spec(name, head), CLASSES, None)
            size = native_size(innermost(model.backbone if isinstance(model, Classifier) else model))
            models.append((model, parameter_groups(model, size), size))
            row[f"head {head}"] = OK
        except Exception as error:
            row[f"head {head}"] = message(error)
    if not models:
        return row
    model, groups, size = models[-1]
    row |= {"pixels": str(size), "parameters": str(sum(p.numel() for p in models[0][0].parameters()))}
    row |= {"groups": str(len(groups)), "note": "; ".join(notes([model for model, _, _ in models]))}
    row |= _heads(name, model.head.features if row[f"head {PROBE}"] == OK else None)
    if isinstance(model, Classifier):
        row["idle"] = str(sum(1 for _ in model.parameters()) - sum(map(len, groups.values())))
    plans, phases = _plans(model, groups)
    checks = [{"grouping": outcome(group_fault, *made)} for made in models] + [
        {"grouping": outcome(order_fault, *models[0])},
        {"freezing": outcome(freezing_fault, model, groups, phases)},
        {"freezing": outcome(freezing_fault, *models[0][:2], [Phase(1, (HEAD,))])},
    ]
    merged = {column: _all(check.get(column, OK) for check in checks) for column in ("grouping", "freezing")}
    return row | plans | merged


def _plans(model: nn.Module, groups: Groups) -> tuple[Row, list[Phase]]:
    """A cell for each schedule, and all their phases, each kind once."""
    row: Row = {}
    phases: dict[tuple, Phase] = {}
    for schedule in schedules():
        row[f"schedule {schedule}"] = outcome(_add_plan, schedule, model, groups, phases)
    return row, list(phases.values())


def _all(cells: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(cell for cell in cells if cell != OK)) or OK


def notes(models: list[nn.Module]) -> Iterator[str]:
    """What is particular about an architecture that works."""
    plain, other = models[0], models[-1]
    if len(models) == 2 and isinstance(plain, Classifier):
        yield "no classifier of its own: head linear is the zoo's, on pooled features"
    elif len(models) == 2 and isinstance(plain.get_classifier(), tuple | list | nn.ModuleList):
        yield "several classifiers: group head holds them all"
    if isinstance(other, Classifier) and isinstance(other.backbone, Intermediate):
        yield "several feature maps: heads read the last"
    if isinstance(other, Classifier) and _hides_a_token(other.head.features):
        yield "a class token that timm does not count: heads take it for a patch"


def _hides_a_token(features: FeatureInfo) -> bool:
    """Whether tokens make a square only without the first, which is said to be a patch."""
    square = {side * side for side in range(1, 100)}
    count = features.size[0] if features.layout == "NLC" and not features.prefix_tokens else 0
    return count > 2 and count not in square and count - 1 in square  # PiT has class tokens alone, one or two


def _heads(name: str, features: FeatureInfo | None) -> Row:
    """Every head but timm's own and the one that was built already; one by one where the features are not known."""
    row = {"features": f"{features.layout} {'x'.join(map(str, _shape(features)[1:]))}"} if features else {}
    for head in heads():
        if head not in ("linear", PROBE):
            full = partial(build_classifier, spec(name, head), CLASSES, None)
            row[f"head {head}"] = OK if features and _head_fits(head, features) else outcome(full)
    return row


@cache
def _head_fits(head: str, features: FeatureInfo) -> bool:
    """Whether a head reads such features, whatever gives them."""
    return outcome(_head_fault, find("head", head).load(), features) == OK


def _head_fault(factory: Callable, features: FeatureInfo) -> str:
    with torch.device("meta"), torch.no_grad():
        shape = tuple(factory(features, CLASSES).eval()(torch.zeros(_shape(features))).shape)
    return "" if shape == (1, CLASSES) else f"gives {shape}"


def _shape(features: FeatureInfo) -> tuple[int, ...]:
    """Of the features of one image."""
    channels = features.channels
    return (1, channels, *features.size) if features.layout == "NCHW" else (1, *features.size, channels)


def blank(model: nn.Module, size: int) -> torch.Tensor:
    return torch.zeros(1, 3, size, size, device=next(model.parameters()).device)


def group_fault(model: nn.Module, groups: Groups, size: int) -> str:
    """What is wrong with a model's groups, '' where nothing is."""
    if list(groups) != ["stem", *(f"stage{i}" for i in range(1, len(groups) - 1)), HEAD]:
        return f"the groups are {', '.join(groups)}"
    if empty := [group for group, names in groups.items() if not names]:
        return f"group {empty[0]} is empty"
    times = Counter(chain(*groups.values()))
    names = {name for name, _ in model.named_parameters()}
    if wrong := [name for name, count in times.items() if count > 1 or name not in names]:
        return f"{wrong[0]} is in {times[wrong[0]]} groups{'' if wrong[0] in names else ' and no parameter'}"
    by_class = {name for name, p in model.named_parameters() if p.dim() and len(p) == CLASSES}
    if stray := by_class - set(groups[HEAD]):
        return f"{min(stray)} depends on the classes and is not in the group {HEAD}"
    lost = names - times.keys()
    if lost and isinstance(model, Classifier):
        lost -= {f"backbone.{name}" for name in idle_parameters(model, model.backbone, size, 3)}
    return f"{min(lost)} is in no group" if lost else ""


def order_fault(model: nn.Module, groups: Groups, size: int) -> str:
    """How a pass meets the groups where that is not from stem to head, '' where it is."""
    seen = list(dict.fromkeys(_called(model, groups, size)))
    return "" if seen == sorted(seen) else f"groups are met in the order {', '.join(list(groups)[i] for i in seen)}"


def _called(model: nn.Module, groups: Groups, size: int) -> list[int]:
    """The group of each module that holds parameters, in the order in which a pass first calls them."""
    group_of = {name: i for i, names in enumerate(groups.values()) for name in names}
    calls: dict[str, None] = {}
    hooks = [
        module.register_forward_pre_hook(lambda *_, first=f"{name}.{own}": calls.setdefault(first))
        for name, module in model.named_modules()
        if name
        for own, _ in module.named_parameters(recurse=False)
    ]
    with torch.no_grad():
        model.eval()(blank(model, size))
    for hook in hooks:
        hook.remove()
    return [group_of[name] for name in calls if name in group_of]


def _add_plan(schedule: str, model: nn.Module, groups: Groups, phases: dict[tuple, Phase]) -> None:
    """Adds a schedule's phases to `phases`, by what they do to a model."""
    planned = _phases(schedule, tuple(groups))
    for phase in planned:
        select_trainable(model, groups, phase)
    phases |= {(p.trainable, p.parameters, p.freeze_bn_stats): p for p in planned}


@cache
def _phases(schedule: str, groups: tuple[str, ...]) -> tuple[Phase, ...]:
    recipe = Recipe(
        model=Model(backbone="resnet18"),
        data={"source": "-"},
        schedule=schedule,
        train={"epochs": EPOCHS},
    )
    return plan_phases(recipe, {group: (group,) for group in groups})


def freezing_fault(model: nn.Module, groups: Groups, phases: Iterable[Phase]) -> str:
    """What trains that should not, or the reverse, in any of the phases; '' where nothing does."""
    for phase in phases:
        freeze(model, groups, phase)
        set_train_mode(model, bool(phase.freeze_bn_stats))
        if fault := _wrong_gradients(model, groups, phase) or wrong_mode(model, bool(phase.freeze_bn_stats)):
            return f"{fault} while {', '.join(phase.trainable)} train ({phase.parameters})"
    return ""


def _wrong_gradients(model: nn.Module, groups: Groups, phase: Phase) -> str:
    allowed = {name for group in phase.trainable for name in groups[group]}
    head = allowed & set(groups[HEAD])
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    if stray := trains - allowed:
        return f"{min(stray)} trains"
    if idle := (allowed if phase.parameters == "all" else head) - trains:
        return f"{min(idle)} is frozen"
    if phase.parameters == "bias" and (others := {n for n in trains - head if "bias" not in n.rpartition(".")[2]}):
        return f"{min(others)} trains and is no bias"
    kinds = {n: type(model.get_submodule(n.rpartition(".")[0])).__name__ for n in trains - head}
    if phase.parameters == "norm" and (others := {n for n, kind in kinds.items() if "norm" not in kind.lower()}):
        return f"{min(others)} trains and is no part of a norm"
    return ""


def wrong_mode(model: nn.Module, freeze_bn_stats: bool) -> str:
    """The first module that is in train mode though nothing of its block trains, or the reverse; '' where none is."""
    frozen: set[nn.Module] = set()
    for name, module in model.named_modules():
        wanted = [p.requires_grad for p in module.parameters()]
        if module in frozen or (wanted and not any(wanted)):
            frozen.update(module.children())
            if module.training:
                return f"{name} is frozen and in train mode"
            continue
        own = [p.requires_grad for p in module.parameters(recurse=False)]
        fixed = getattr(module, "running_var", None) is not None and (freeze_bn_stats or not all(own))
        if any(own) and module.training == fixed:
            return f"{name} trains and is in {'train' if module.training else 'eval'} mode"
    return ""


def real_fault(name: str) -> str:
    """What goes wrong with real numbers: logits of every head, and a frozen backbone that moves in train mode."""
    torch.manual_seed(0)
    plain, other = (build_classifier(spec(name, head), CLASSES, None) for head in ("linear", PROBE))
    backbone, size = other.backbone, native_size(innermost(other.backbone))
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        features, info = backbone.eval().forward_features(images), feature_info(backbone, size, 3)
        logits = {p.name: p.load()(info, CLASSES).eval()(features) for p in installed("head") if p.name != "linear"}
        logits["linear"] = plain.eval()(images)
    if wrong := [head for head, out in logits.items() if out.shape != (2, CLASSES) or not out.isfinite().all()]:
        return f"head {wrong[0]} gives {tuple(logits[wrong[0]].shape)}, or logits that are not finite"
    before = {key: buffer.clone() for key, buffer in backbone.named_buffers()}
    freeze(other, parameter_groups(other, size), Phase(1, (HEAD,)))
    set_train_mode(other, False)
    with torch.no_grad():
        same = torch.allclose(backbone.forward_features(images), features, rtol=1e-4, atol=1e-4)
    moved = [key for key, buffer in backbone.named_buffers() if not torch.equal(buffer, before[key])]
    return f"{moved[0]} moves while frozen" if moved else "" if same else "a frozen backbone gives other features"


def run_for_real(name: str) -> str:
    """`ok`, or what goes wrong with real numbers."""
    return outcome(real_fault, name)

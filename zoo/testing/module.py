"""What any module must keep, backbones with a classifier and heads alike."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property, wraps
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.testing.report import Point, Violation, catch_violations, merge_places, quote_names

CLASSES = 5
NOISE_SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Trial:
    """One way to build and feed a module.

    label: what tells it from other trials; make: builds it anew for K classes; shape: of one input.
    whole: puts the module into a classifier of images of `image_size` pixels.
    top: whether it stands on other features, which gradients must reach and which may come one at a time.
    """

    label: str
    make: Callable[[int], nn.Module]
    shape: tuple[int, ...]
    whole: Callable[[nn.Module], nn.Module]
    image_size: int
    top: bool = False

    @cached_property
    def model(self) -> nn.Module:
        """Built once; points that change anything work on a `copy`."""
        torch.manual_seed(0)
        return self.make(CLASSES).eval()

    def copy(self) -> nn.Module:
        return copy.deepcopy(self.model)

    def inputs(self, count: int = 3, seed: int = 0) -> Tensor:
        """Random inputs (count, ...) of the module."""
        return torch.randn(count, *self.shape, generator=torch.Generator().manual_seed(seed))


def each(point: Point) -> Point:
    """A point of one trial as a point of a subject: asked of all its trials, the same answer told once."""

    @wraps(point)
    def over(subject: Any) -> Iterator[Violation]:
        trials = subject.trials
        yield from merge_places((t.label, catch_violations(lambda t=t: list(point(t)))) for t in trials)

    return over


@dataclass(frozen=True)
class Built:
    """What a build gave, and what it did besides."""

    result: Any
    printed: str
    seeded: bool

    def habits(self) -> Iterator[Violation]:
        """What a build should not do."""
        if self.printed.strip():
            yield Violation(
                f"it prints {self.printed.strip()[:60]!r}", "use logging or warnings; stdout is for data", True
            )
        if self.seeded:
            yield Violation(
                "it sets torch's random seed", "leave it out; train.seed decides, and each seed must differ"
            )


def build_watched(build: Callable[[], Any]) -> Built:
    """Build something and see what else it does."""
    seed = torch.initial_seed()
    with redirect_stdout(StringIO()) as screen:
        result = build()
    return Built(result, screen.getvalue(), torch.initial_seed() != seed)


@torch.no_grad()
def perturb(model: nn.Module, seed: int = 0) -> nn.Module:
    """Move every parameter and running statistic a little, so that nothing is zero or as it was built."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        scale = 0.5 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 and len(parameter) else 0.1
        parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(torch.randn(buffer.shape, generator=generator) * 0.1)
        elif name.endswith("running_var"):
            buffer.mul_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers, those that are not saved included."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def close(a: Tensor, b: Tensor, tolerance: float = 1e-3) -> bool:
    """Equal up to a share of the largest value. Both have any shape."""
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def describe_difference(a: Tensor, b: Tensor) -> str:
    """How two tensors differ, which may have any shape."""
    if a.shape != b.shape:
        return f"shapes are {tuple(a.shape)} and {tuple(b.shape)}"
    return f"they differ by up to {float((a - b).abs().max()):.3g}"


@each
@torch.no_grad()
def eval_mode(trial: Trial) -> Iterator[Violation]:
    """In eval mode the same input gives bit-equal, finite logits, whatever was asked in between, and no tensor moves."""
    model, x = perturb(trial.copy()).eval(), trial.inputs()
    before = tensors(model)
    first = model(x)
    model(trial.inputs(seed=1))
    again = model(x)
    if not torch.equal(first, again):
        yield Violation(
            describe_difference(first, again),
            "keep nothing between calls, and let dropout and noise follow self.training",
        )
    if moved := [name for name, now in tensors(model).items() if not torch.equal(now, before[name])]:
        yield Violation(
            f"{quote_names(moved)} moved", "let batch norm follow .training, also under eval(), and write to no tensor"
        )
    if not first.isfinite().all():
        yield Violation(
            "NaN or infinite logits for normally distributed input", "guard divisions, logarithms and roots"
        )


@each
@torch.no_grad()
def one_by_one(trial: Trial) -> Iterator[Violation]:
    """In eval mode the logits of an image do not depend on the others in its batch."""
    model, x = perturb(trial.copy()), trial.inputs()
    alone, together = torch.cat([model(row) for row in x.split(1)]), model(x)
    if not close(alone, together):
        yield Violation(
            describe_difference(alone, together), "reduce over positions and channels, never over dimension 0"
        )


@each
@torch.no_grad()
def inputs(trial: Trial) -> Iterator[Violation]:
    """A forward leaves its input as it was, since cached features are read again."""
    model, x = trial.copy(), trial.inputs()
    for mode in (False, True):
        given = x.clone()
        model.train(mode)(given)
        if not torch.equal(given, x):
            yield Violation("the input was changed in place", "write x = x * y instead of x *= y, and no x.add_()")
            return


@each
def train_mode(trial: Trial) -> Iterator[Violation]:
    """In train mode too it gives one tensor of logits (B, K); a head even for a batch of one."""
    alone = trial.top and trial.shape[1:] != (1, 1)  # batch norm of one number is not defined
    for count in (1, 3) if alone else (3,):
        logits = trial.copy().train()(trial.inputs(count))
        if not isinstance(logits, Tensor):
            yield Violation(f"a {type(logits).__name__} for {count} images", "leave auxiliary outputs out of forward")
        elif logits.shape != (count, CLASSES):
            yield Violation(f"{tuple(logits.shape)} for {count} images and {CLASSES} classes", "give (B, K)")


@each
def gradients(trial: Trial) -> Iterator[Violation]:
    """A finite gradient reaches every trainable parameter, and under a head the features."""
    silent: set[str] | None = None
    for seed in NOISE_SEEDS:
        model, x = perturb(trial.copy(), seed), trial.inputs(seed=seed).requires_grad_(trial.top)
        logits = model(x)
        (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))).sum().backward()
        trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if cut := [name for name, p in trainable.items() if p.grad is None]:
            yield Violation(
                f"none at {quote_names(cut)}", "use each parameter in forward, without .data or detach(), or drop it"
            )
            return
        if wild := [name for name, p in trainable.items() if not p.grad.isfinite().all()]:
            yield Violation(f"NaN or infinity at {quote_names(wild)}", "guard divisions, logarithms and roots near 0")
            return
        if trial.top and (x.grad is None or not x.grad.any()):
            yield Violation("none at the features", "leave out .data, detach() and no_grad()")
            return
        zero = {name for name, p in trainable.items() if not p.grad.any()}
        silent = zero if silent is None else silent & zero
    if silent and trial.shape[1:] not in ((), (1, 1)):
        yield Violation(
            f"all zeros at {quote_names(sorted(silent))}", "let these parameters bear on the logits, or drop them"
        )


@each
def saving(trial: Trial) -> Iterator[Violation]:
    """Saved as safetensors and loaded into a freshly built one, it gives bit-equal logits; its state is tensors only."""
    model, x = perturb(trial.copy()), trial.inputs()
    state = model.state_dict()
    if odd := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        yield Violation(
            f"no tensor at {quote_names(odd)}", "keep state in parameters and buffers, without get_extra_state"
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: tensor.detach().contiguous().clone() for name, tensor in state.items()}, file)
        loaded = load_file(file)
    torch.manual_seed(1)
    fresh = trial.make(CLASSES).eval()
    if strange := sorted(fresh.state_dict().keys() ^ loaded.keys()):
        yield Violation(
            f"{quote_names(strange)} in only one of the two", "create all parameters and buffers in __init__"
        )
        return
    fresh.load_state_dict(loaded)
    with torch.no_grad():
        before, after = model(x), fresh(x)
    if not torch.equal(before, after):
        yield Violation(
            describe_difference(before, after), "register every tensor that matters: nn.Parameter or register_buffer"
        )


@each
def copying(trial: Trial) -> Iterator[Violation]:
    """After a training forward copy.deepcopy gives a module of its own with bit-equal logits (train.ema needs it)."""
    model, x = trial.copy(), trial.inputs()
    model.train()(x)
    twin = copy.deepcopy(model.eval())
    with torch.no_grad():
        before, copied = model(x), twin(x)
        perturb(twin)
        after = model(x)
    if not torch.equal(before, copied):
        yield Violation(describe_difference(copied, before), "keep no tensors outside parameters and buffers")
    if not torch.equal(before, after):
        yield Violation("changing the copy changed the original", "keep no module in a global or a closure")


@each
@torch.no_grad()
def memory_layout(trial: Trial) -> Iterator[Violation]:
    """After .to(memory_format=torch.channels_last), and for input that is not contiguous, the logits stay the same."""
    model, x = perturb(trial.copy()), trial.inputs()
    expected = model(x)
    strided = torch.stack([x, x], -1)[..., 0]
    fix = "use reshape or flatten instead of view"
    if not close(model(strided), expected):
        yield Violation(f"for strided input {describe_difference(model(strided), expected)}", fix)
    model.to(memory_format=torch.channels_last)
    last = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    if not close(model(last), expected):
        yield Violation(describe_difference(model(last), expected), fix)


@each
def bfloat16(trial: Trial) -> Iterator[Violation]:
    """Under bf16 autocast a forward and its backward stay finite."""
    model, x = trial.copy(), trial.inputs()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    logits.float().square().mean().backward()
    wild = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    fix = "compute the delicate part in float32, under torch.autocast(x.device.type, enabled=False)"
    if not logits.isfinite().all():
        yield Violation("NaN or infinite logits", fix)
    elif wild:
        yield Violation(f"NaN or infinite gradients at {quote_names(wild)}", fix)


@each
@torch.no_grad()
def compiling(trial: Trial) -> Iterator[Violation]:
    """torch.compile gives the same logits."""
    model, x = perturb(trial.copy()), trial.inputs()
    compiled = torch.compile(model)(x)
    if not close(compiled, model(x)):
        yield Violation(describe_difference(compiled, model(x)), "leave out what depends on Python state or on data")


MODULE = (eval_mode, one_by_one, inputs, train_mode, gradients, saving, copying, memory_layout, bfloat16)
SLOW = (compiling,)

import math
from collections.abc import Callable

import pytest
import torch
from timm.loss import BinaryCrossEntropy
from torch.nn import functional as F

from zoo.config.recipe import Named, Train
from zoo.errors import PluginError, UnknownName, UsageError
from zoo.tasks.losses import build_loss, initial_rule, masked_mean
from zoo.tasks.rule import Rule
from zoo.tasks.task import find_task

K, B = 5, 7
OWN = {"cross-entropy": {}, "focal": {"gamma": 1.5}, "bce": {"sum_classes": True}, "poly1": {"epsilon": 2.0}}


def made(name: str, smoothing: float = 0.0, **options: object) -> Callable:
    return build_loss(Train(loss=Named(name=name, **options), label_smoothing=smoothing), K)


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(B, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.arange(B) % K


@pytest.fixture
def shares(labels: torch.Tensor) -> torch.Tensor:
    """Two images mixed, 70 to 30 %."""
    return 0.7 * F.one_hot(labels, K).double() + 0.3 * F.one_hot(labels.flip(0), K)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", OWN)
def test_an_index_is_a_share_of_one(name: str, smoothing: float, logits: torch.Tensor, labels: torch.Tensor) -> None:
    loss = made(name, smoothing, **OWN[name])
    by_index, by_share = loss(logits, labels), loss(logits, F.one_hot(labels, K).double())
    assert by_index.shape == (B,)
    assert torch.allclose(by_index, by_share, rtol=1e-12)
    assert (by_index > 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(smoothing: float, logits: torch.Tensor, labels: torch.Tensor) -> None:
    expected = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    assert torch.equal(made("cross-entropy", smoothing)(logits, labels), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("name", "options"), [("focal", {"gamma": 0.0}), ("poly1", {"epsilon": 0.0})])
def test_at_zero_they_are_cross_entropy(
    name: str, options: dict, smoothing: float, logits: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor
) -> None:
    for targets in (labels, shares):
        expected = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
        assert torch.allclose(made(name, smoothing, **options)(logits, targets), expected, rtol=1e-12)


def test_focal_by_hand() -> None:
    p = 0.8
    logits = torch.tensor([[math.log(p), math.log(1 - p)] + [-math.inf] * 3]).clamp_min(-99)
    assert made("focal")(logits, torch.tensor([0])).item() == pytest.approx(-((1 - p) ** 2) * math.log(p), rel=1e-5)
    assert made("focal", gamma=1.0)(logits, torch.tensor([1])).item() == pytest.approx(-p * math.log(1 - p), rel=1e-5)


def test_poly1_by_hand() -> None:
    p = 0.8
    logits = torch.tensor([[math.log(p), math.log(1 - p)] + [-99.0] * 3])
    assert made("poly1", epsilon=2.0)(logits, torch.tensor([0])).item() == pytest.approx(-math.log(p) + 2 * (1 - p))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("sum_classes", [True, False])
def test_bce_is_timms(smoothing: float, sum_classes: bool, logits: torch.Tensor, labels: torch.Tensor) -> None:
    expected = BinaryCrossEntropy(smoothing=smoothing, sum_classes=sum_classes)(logits, labels)
    assert torch.allclose(made("bce", smoothing, sum_classes=sum_classes)(logits, labels).mean(), expected)


@pytest.mark.parametrize("threshold", [None, 0.0, 0.5])
def test_bce_of_mixed_images_is_timms(threshold: float | None, logits: torch.Tensor, shares: torch.Tensor) -> None:
    expected = BinaryCrossEntropy(smoothing=0.0, target_threshold=threshold)(logits, shares)
    assert torch.allclose(made("bce", target_threshold=threshold)(logits, shares).mean(), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", OWN)
def test_gradients_are_finite_where_an_image_is_certain(name: str, gamma: float) -> None:
    options = {"gamma": gamma} if name == "focal" else OWN[name]
    logits = torch.tensor([[0.0, 0, 0, 0, 400], [400, 0, 0, 0, 0]], requires_grad=True)
    made(name, **options)(logits, torch.tensor([4, 4])).sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[1].abs().max() > 0


@pytest.mark.parametrize("name", OWN)
def test_a_step_down_the_gradient_makes_it_smaller(name: str, logits: torch.Tensor, shares: torch.Tensor) -> None:
    loss, start = made(name, 0.1, **OWN[name]), logits.clone().requires_grad_()
    before = loss(start, shares).sum()
    before.backward()
    assert loss(start - 0.01 * start.grad, shares).sum() < before


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("focl", {}, UnknownName, "unknown loss 'focl'. Did you mean 'focal'? See them all: zoo list losses"),
        ("focal", {"gamma": -1.0}, UsageError,
            "train.loss: 'focal' refuses its options: gamma: expected 0 or more, found -1.0"),
        ("focal", {"gama": 1}, UsageError,
            "train.loss: 'focal' refuses its options: focal() got an unexpected keyword argument 'gama'"),
    ],
)  # fmt: skip
def test_what_cannot_be_built(name: str, options: dict, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        made(name, **options)
    assert str(caught.value) == message


def plugin(install: Callable, body: str) -> None:
    source = f"import torch\ndef odd(*, label_smoothing=0.0, scale: float = 1.0):\n{body}"
    install("zoo-odd", losses={"odd": "zoo_odd:odd"}, files={"zoo_odd.py": source})


def test_a_plugins_loss(install: Callable) -> None:
    plugin(install, "    return lambda logits, targets: scale * logits.square().sum(-1) + label_smoothing\n")
    loss = made("odd", 0.5, scale=2.0)
    assert loss(torch.ones(3, K), torch.zeros(3)).tolist() == [2 * K + 0.5] * 3


def test_a_loss_with_buffers_goes_to_the_device(install: Callable) -> None:
    body = """    class Weighted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.ones(1))
        def forward(self, logits, targets):
            return (self.weight * logits).sum(-1)
    return Weighted()
"""
    plugin(install, body)
    meta = build_loss(Train(loss=Named(name="odd")), K, "meta")
    assert meta.weight.device.type == "meta"


TEN, LABELS, SHARES = f"(2, {K})", "(2,)", f"(2, {K})"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    1 / 0\n", "failed with ZeroDivisionError: division by zero"),
        ("    return 3\n",
            f"failed for logits {TEN} and targets {LABELS} with TypeError: 'int' object is not callable"),
        ("    return lambda logits, targets: logits.mean()\n",
            f"gives a tensor () for logits {TEN} and targets {LABELS}; the contract asks for one loss per image, (2,)"),
        ("    return lambda logits, targets: logits\n",
            f"gives a tensor {TEN} for logits {TEN} and targets {LABELS}; "
            "the contract asks for one loss per image, (2,)"),
        ("    return lambda logits, targets: [1.0, 2.0]\n",
            f"gives a list for logits {TEN} and targets {LABELS}; the contract asks for one loss per image, (2,)"),
        ("    return lambda logits, targets: torch.nn.functional.nll_loss(logits, targets, reduction='none')\n",
            f"failed for logits {TEN} and targets {SHARES} with RuntimeError: "),
        ("    return lambda logits, targets: logits.detach().sum(-1)\n",
            "gives losses that no gradient goes back from; nothing would be learned"),
    ],
)  # fmt: skip
def test_what_breaks_the_contract_is_found_at_the_door(install: Callable, body: str, message: str) -> None:
    plugin(install, body)
    with pytest.raises(PluginError) as caught:
        made("odd")
    assert str(caught.value).startswith(f"loss 'odd' of zoo-odd 1.0 {message}")


def test_ctrl_c_and_memory_are_no_plugins_fault(install: Callable) -> None:
    plugin(install, "    raise MemoryError\n")
    with pytest.raises(MemoryError):
        made("odd")


def test_bce_is_read_by_a_sigmoid():
    train, task = Train(loss=Named(name="bce")), find_task("multiclass")
    assert initial_rule(train, task) == Rule(activation="sigmoid")
    logits = torch.tensor([[0.0, 2.0]])
    assert task.probabilities(logits, initial_rule(train, task)).tolist() == logits.sigmoid().tolist()
    assert initial_rule(train, find_task("multilabel")) == initial_rule(Train(), task) == Rule()


def test_an_activation_that_there_is_not(install):
    source = "def odd(*, label_smoothing=0.0): ...\nodd.activation = 'relu'\n"
    install("zoo-odd", losses={"odd": "zoo_odd:odd"}, files={"zoo_odd.py": source})
    with pytest.raises(PluginError, match="states the activation 'relu'; the contract knows softmax and sigmoid"):
        initial_rule(Train(loss=Named(name="odd")), find_task("multiclass"))


MULTILABEL = find_task("multilabel")
LABELLED = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])


def several(name: str = "auto", smoothing: float = 0.0, unknown: bool = False, **options: object) -> Callable:
    return build_loss(Train(loss=Named(name=name, **options), label_smoothing=smoothing), K, "cpu", MULTILABEL, unknown)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_labels_are_smoothed_towards_a_half_as_by_timm(smoothing: float) -> None:
    logits = torch.linspace(-2, 2, 10).reshape(2, K)
    wanted = LABELLED * (1 - smoothing) + smoothing / 2
    expected = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    assert torch.allclose(several(smoothing=smoothing)(logits, LABELLED), expected.mean(1))
    assert torch.allclose(several("bce", smoothing, sum_classes=True)(logits, LABELLED), expected.sum(1))


def test_an_unknown_label_counts_nothing() -> None:
    logits = torch.linspace(-2, 2, 10).reshape(2, K).requires_grad_()
    targets = LABELLED.clone()
    targets[0, 1:4] = math.nan
    targets[1] = math.nan
    losses = several(unknown=True)(logits, targets)
    known = [0, 4]
    expected = F.binary_cross_entropy_with_logits(logits[0, known], LABELLED[0, known])
    assert torch.allclose(losses, torch.stack([expected, torch.tensor(0.0)]))
    losses.sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad == 0).tolist() == [[False, True, True, True, False], [True] * 5]


def test_the_value_of_an_unknown_label_changes_nothing() -> None:
    targets = LABELLED.clone()
    targets[0, 2] = math.nan
    losses = torch.rand(2, K)
    other = losses.clone()
    other[0, 2] = 1e6
    assert torch.equal(masked_mean(losses, targets), masked_mean(other, targets))


@pytest.mark.parametrize("name", ["cross-entropy", "focal", "poly1"])
def test_losses_of_one_class_are_refused_for_several_labels(name: str) -> None:
    with pytest.raises(UsageError) as problem:
        several(name)
    assert str(problem.value) == (
        f"train.loss: '{name}' is for multiclass, where the classes of an image share one probability; with "
        f"task=multilabel each has its own. Use train.loss=bce, or a plugin's: zoo list losses"
    )


def test_a_plugins_loss_an_image_needs_known_labels(install: Callable) -> None:
    plugin(install, "    return lambda logits, targets: (logits - targets).square().sum(-1)\n")
    assert several("odd")(torch.zeros(2, K), LABELLED).tolist() == [2, 0]
    with pytest.raises(UsageError) as problem:
        several("odd", unknown=True)
    assert str(problem.value) == (
        "train.loss: 'odd' gives one value an image, from which unknown labels cannot be left out. "
        "Use a loss for each class: train.loss=bce"
    )


def test_a_plugins_loss_for_each_class_is_masked(install: Callable) -> None:
    body = """    def loss(logits, targets):
        return (logits - targets).square()
    loss.per_class = True
    return loss
"""
    plugin(install, body)
    targets = LABELLED.clone()
    targets[0, 1:] = math.nan
    assert several("odd", unknown=True)(torch.zeros(2, K), targets).tolist() == [1, 0]


def test_a_loss_for_each_class_that_gives_one_for_each_image(install: Callable) -> None:
    plugin(install, "    return lambda logits, targets: logits.sum(-1)\nodd.per_class = True\n")
    with pytest.raises(PluginError, match=rf"gives a tensor \(2,\) .* one loss per image and class, \(2, {K}\)"):
        several("odd")

"""What holds for each head of the zoo, whatever it does: the contract, layout by layout."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import classifier, images, logits
from torch import nn
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.classifier import Classifier
from zoo.plugins import OWN, find, installed
from zoo.plugins.signature import signature

CHANNELS, CLASSES = 12, 5

HEADS = {
    "mlp": ("mlp", {"hidden": 8}),
    "avg": ("pooled", {}),
    "max": ("pooled", {"pool": "max"}),
    "catavgmax": ("pooled", {"pool": "catavgmax"}),
    "gem": ("pooled", {"pool": "gem"}),
    "attention": ("attention", {"hidden": 8, "heads": 2}),
    "attention-of-the-backbones-width": ("attention", {"hidden": CHANNELS, "heads": 3, "queries": 4}),
    "gru": ("gru", {"hidden": 8}),
    "gru-bidirectional": ("gru", {"hidden": 8, "layers": 2, "bidirectional": True}),
    "cosine": ("cosine", {}),
    "multi-dropout": ("multi-dropout", {"hidden": 8, "samples": 3, "dropout": 0.0}),
    "token-mean": ("token-mean", {}),
    "bilinear": ("bilinear", {"rank": 8}),
    "ml-decoder": ("ml-decoder", {"hidden": 8, "heads": 2, "groups": 2, "dropout": 0.0}),
    "ml-decoder-of-one-query-a-class": ("ml-decoder", {"hidden": 8, "heads": 2, "dropout": 0.0}),
}
LAYOUTS = {
    "nchw": (FeatureInfo(CHANNELS, "NCHW", (3, 2)), (CHANNELS, 3, 2)),
    "nchw-of-one-position": (FeatureInfo(CHANNELS, "NCHW", (1, 1)), (CHANNELS, 1, 1)),
    "nhwc": (FeatureInfo(CHANNELS, "NHWC", (3, 2)), (3, 2, CHANNELS)),
    "nlc": (FeatureInfo(CHANNELS, "NLC", (6,)), (6, CHANNELS)),
    "nlc-with-class-token": (FeatureInfo(CHANNELS, "NLC", (7,), 1), (7, CHANNELS)),
    "nlc-with-registers": (FeatureInfo(CHANNELS, "NLC", (9,), 3), (9, CHANNELS)),
    "nc": (FeatureInfo(CHANNELS, "NC"), (CHANNELS,)),
}
NCHW = LAYOUTS["nchw"][0]

every_head = pytest.mark.parametrize("head", HEADS)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def build(head: str, info: FeatureInfo = NCHW, classes: int = CLASSES, **more: object) -> nn.Module:
    """A head with random weights, always the same."""
    torch.manual_seed(0)
    name, options = HEADS[head]
    return find("head", name).load()(info, classes, **{**options, **more})


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_head_of_the_zoo_is_tested():
    own = {plugin.name for plugin in installed("head") if plugin.owner == OWN}
    assert own == {"linear", *(name for name, _ in HEADS.values())}


@pytest.mark.parametrize("name", sorted({name for name, _ in HEADS.values()}))
def test_what_is_shown_of_a_head(name):
    shown = signature(find("head", name))
    first = shown.doc.splitlines()[0]
    assert first.endswith(".") and len(first) < 120
    for option in shown.options:
        assert option.type in ("int", "float", "bool", "str") and option.default != "..."
        assert f"{option.name}: " in shown.doc, f"{option.name} is not explained"


@every_layout
@every_head
def test_features_to_logits(head, layout):
    info, shape = LAYOUTS[layout]
    x, made = features(4, *shape), build(head, info).eval()
    with torch.inference_mode():
        whole = made(x)
        assert whole.shape == (4, CLASSES) and whole.dtype == torch.float32
        assert torch.equal(made(x), whole)
        assert torch.allclose(torch.cat([made(one) for one in x.split(1)]), whole, atol=1e-5)


@every_layout
@every_head
def test_a_gradient_reaches_every_parameter_and_the_backbone(head, layout):
    info, shape = LAYOUTS[layout]
    x, made = features(16, *shape).requires_grad_(), build(head, info).train()
    (made(x) * features(16, CLASSES, seed=1)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if name != "gem.p" or layout not in ("nc", "nchw-of-one-position"):  # any mean of one value is that value
            assert parameter.grad.abs().max() > 1e-6, name
    assert x.grad.isfinite().all() and x.grad.abs().max() > 1e-6


@every_head
def test_one_image_can_train(head):
    made = build(head).train()
    made(features(1, CHANNELS, 3, 2)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


@every_head
def test_a_map_means_the_same_in_every_layout(head):
    x = features(4, CHANNELS, 3, 2)
    rows = x.flatten(2).transpose(1, 2)
    with torch.inference_mode():
        expected = build(head).eval()(x)
        for layout, same in {"nhwc": x.permute(0, 2, 3, 1), "nlc": rows}.items():
            assert torch.allclose(build(head, LAYOUTS[layout][0]).eval()(same), expected, atol=1e-5), layout
        assert torch.allclose(build(head).eval()(x.to(memory_format=torch.channels_last)), expected, atol=1e-5)
        one = x[:, :, :1, :1]
        pooled = build(head, LAYOUTS["nc"][0]).eval()(one.flatten(1))
        assert torch.allclose(build(head).eval()(one), pooled, atol=1e-5)


@pytest.mark.parametrize("head", [head for head in HEADS if head != "token-mean"])
def test_prefix_tokens_are_left_out(head):
    rows = features(4, 6, CHANNELS)
    with torch.inference_mode():
        prefixed = build(head, LAYOUTS["nlc-with-registers"][0]).eval()(torch.cat((features(4, 3, CHANNELS), rows), 1))
        assert torch.allclose(prefixed, build(head, LAYOUTS["nlc"][0]).eval()(rows), atol=1e-5)


@every_head
def test_the_size_may_change_after_building(head):
    with torch.inference_mode():
        assert logits(build(head), features(2, CHANNELS, 5, 4)).shape == (2, CLASSES)
        assert logits(build(head, LAYOUTS["nlc"][0]), features(2, 11, CHANNELS)).shape == (2, CLASSES)


@every_head
def test_bfloat16(head):
    x, made = features(4, CHANNELS, 3, 2), build(head).eval()
    expected = logits(made, x)
    with torch.autocast("cpu", torch.bfloat16):
        for given in (x, x.bfloat16()):
            made.zero_grad()
            found = made(given)
            found.float().square().sum().backward()
            assert torch.allclose(found.float(), expected, atol=0.1 * expected.abs().max().item())
            assert all(parameter.grad.isfinite().all() for parameter in made.parameters())
    whole = logits(made.bfloat16(), x.bfloat16())
    assert whole.dtype == torch.bfloat16
    assert torch.allclose(whole.float(), expected, atol=0.1 * expected.abs().max().item())


@every_layout
@every_head
def test_without_memory(head, layout):
    info, shape = LAYOUTS[layout]
    with torch.device("meta"):
        made = build(head, info)
        assert all(tensor.is_meta for tensor in made.state_dict().values())
        found = made(torch.zeros(2, *shape))
    assert found.is_meta and found.shape == (2, CLASSES)


@every_head
def test_saved_and_loaded_it_gives_the_same_bits(head, tmp_path):
    made, x = build(head), features(4, CHANNELS, 3, 2)
    save_file(made.state_dict(), tmp_path / "head.safetensors")
    torch.manual_seed(1)
    name, options = HEADS[head]
    other = find("head", name).load()(NCHW, CLASSES, **options)
    assert not torch.equal(logits(other, x), logits(made, x))
    other.load_state_dict(load_file(tmp_path / "head.safetensors"))
    assert torch.equal(logits(other, x), logits(made, x))


@pytest.mark.filterwarnings("ignore:The tensor attributes self.gru._flat_weights")  # torch about its own GRU
@every_head
def test_exported_for_any_batch_it_gives_the_same(head):
    made = build(head).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(made, (features(4, CHANNELS, 3, 2),), dynamic_shapes=({0: batch},))
    x = features(7, CHANNELS, 3, 2, seed=1)
    with torch.inference_mode():
        assert torch.allclose(program.module()(x), made(x), atol=1e-5)


@every_head
def test_traced_for_the_compiler_it_gives_the_same(head):
    made, x = build(head).eval(), features(4, CHANNELS, 3, 2)
    compiled = torch.compile(made, backend="eager", fullgraph="gru" not in head)  # the compiler leaves GRUs alone
    assert torch.allclose(logits(compiled, x), logits(made, x), atol=1e-5)


@every_head
def test_dropout_works_in_training_alone(head):
    x, made = features(4, CHANNELS, 3, 2), build(head, dropout=0.5).train()
    assert not torch.equal(made(x), made(x))
    assert torch.equal(logits(made, x), logits(build(head, dropout=0.0), x))


@every_head
def test_it_learns(head):
    """Classes that differ in a few channels at one position, hidden in noise."""
    y = torch.arange(64) % CLASSES
    x = 0.5 * features(64, CHANNELS, 3, 2)
    x[:, :, 1, 1] += 3 * features(CLASSES, CHANNELS, seed=2)[y]
    made = build(head).train()
    optimizer = torch.optim.AdamW(made.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(made(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert (logits(made, x).argmax(1) == y).float().mean() > 0.9


BACKBONES = {
    "test_resnet": 32,
    "test_vit": 32,
    "swin_tiny_patch4_window7_224": 64,
    "deit_tiny_distilled_patch16_224": 32,
}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_head_reads_a_backbone(backbone):
    size = BACKBONES[backbone]
    model = classifier(backbone, size, "pooled")
    assert isinstance(model, Classifier)
    for head in HEADS:
        model.head = build(head, model.head.features)
        assert logits(model, images(2, size)).shape == (2, CLASSES), head


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("mlp", {"hidden": 0}, "hidden=0 must be at least 1"),
        ("mlp", {"layers": -1}, "layers=-1 must be at least 1"),
        ("pooled", {"pool": "first"}, "pool=first must be one of avg, max, catavgmax, gem."),
        ("pooled", {"pool": "average"}, "pool=average must be one of avg, max, catavgmax, gem. Did you mean 'avg'?"),
        (
            "pooled",
            {"pool": "catmax"},
            "pool=catmax must be one of avg, max, catavgmax, gem. Did you mean 'catavgmax'?",
        ),
        ("attention", {"heads": 0}, "heads=0 must be at least 1"),
        ("attention", {"hidden": -8}, "hidden=-8 must be at least 1"),
        ("attention", {"hidden": 30}, "heads=8 must divide hidden=30"),
        ("attention", {"queries": 0}, "queries=0 must be at least 1"),
        ("gru", {"hidden": 0}, "hidden=0 must be at least 1"),
        ("gru", {"layers": 0}, "layers=0 must be at least 1"),
        ("cosine", {"scale": 0.0}, "scale=0.0 must be finite and above 0"),
        ("cosine", {"scale": float("inf")}, "scale=inf must be finite and above 0"),
        ("multi-dropout", {"samples": 0}, "samples=0 must be at least 1"),
        ("multi-dropout", {"hidden": 0}, "hidden=0 must be at least 1"),
        ("bilinear", {"rank": 0}, "rank=0 must be at least 1"),
        ("ml-decoder", {"groups": 0}, "groups=0 must be at least 1"),
        ("ml-decoder", {"heads": 3}, "heads=3 must divide hidden=512"),
        *(
            (name, {"dropout": 1.0}, "dropout=1.0 must lie in [0, 1)")
            for name in sorted({n for n, _ in HEADS.values()})
        ),
        ("cosine", {"dropout": float("nan")}, "dropout=nan must lie in [0, 1)"),
    ],
)
def test_options_out_of_range(name, options, reason):
    with pytest.raises(ValueError) as caught:
        find("head", name).load()(NCHW, CLASSES, **options)
    assert str(caught.value) == reason

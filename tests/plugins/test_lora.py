import json

import pytest
import timm
import torch
from processes import here, tiny
from small import classifier, images, logits, spec

from zoo.config.recipe import Named
from zoo.errors import UsageError
from zoo.models.adapter import adapt
from zoo.models.classifier import build_classifier
from zoo.models.param_groups import parameter_groups
from zoo.plugins import installed
from zoo.verbs.evaluate import evaluate
from zoo.verbs.finetune import finetune

KINDS = ("lora", "dora", "loha", "lokr")

pytestmark = pytest.mark.skipif(
    not any(p.owner == "zoo-lora" for p in installed("adapter")), reason="the plugin zoo-lora is not installed"
)


def moved(model: torch.nn.Module, names: list[str]) -> None:
    """One large step on the named parameters alone."""
    named = dict(model.named_parameters())
    for name, parameter in named.items():
        parameter.requires_grad_(name in names)
    optimizer = torch.optim.SGD([named[name] for name in names], lr=0.5)
    model.eval()(images()).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet", "test_convnext"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_starts_as_nothing_trains_and_merges(kind, backbone):
    before = logits(classifier(backbone), images())
    adaptation = adapt(classifier(backbone), Named(name=kind, rank=2))
    model = adaptation.model
    torch.testing.assert_close(logits(model, images()), before, atol=1e-5, rtol=1e-4)

    groups = parameter_groups(model, 32, fixed=adaptation.fixed)
    new = [name for members in groups.values() for name in members]
    assert not set(new) & (adaptation.fixed - set(groups["head"]))
    moved(model, new)
    if kind != "loha":  # its product starts with two factors at zero and moves in the second step
        assert not torch.allclose(logits(model, images()), before, atol=1e-3)
    trained = logits(model, images())

    plain = adaptation.merge()
    torch.testing.assert_close(logits(plain, images()), trained, atol=1e-4, rtol=1e-3)
    assert plain.state_dict().keys() == classifier(backbone).state_dict().keys()


def test_frozen_weights_below_an_adapter_stay_bit_equal():
    model = classifier("test_vit")
    came = {name: p.detach().clone() for name, p in model.named_parameters()}
    adaptation = adapt(model, Named(name="lora", rank=2))
    groups = parameter_groups(adaptation.model, 32, fixed=adaptation.fixed)
    head = {name: came[name] for name in groups["head"]}
    moved(adaptation.model, [name for members in groups.values() for name in members])
    after = {n.replace(".base_layer", ""): p for n, p in adaptation.model.named_parameters() if "lora_" not in n}
    assert after.keys() == came.keys()
    assert [n for n in came if not torch.equal(after[n], came[n])] == list(head)


def test_an_adapter_works_inside_a_cut_backbone_and_under_a_foreign_head():
    model = build_classifier(spec("test_vit", head="mlp", cut="blocks.1"), 5, 32)
    adaptation = adapt(model, Named(name="lora", rank=2))
    groups = parameter_groups(adaptation.model, 32, fixed=adaptation.fixed)
    assert any("lora_A" in name for name in groups["stage1"])
    assert logits(adaptation.merge(), images()).shape == (4, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "model.adapter: 'lora' refuses: rank=0 must be at least 1"),
        ({"dropout": 1.0}, "model.adapter: 'lora' refuses: dropout=1.0 must lie in [0, 1)"),
        (
            {"targets": "nothing"},
            "model.adapter: 'lora' refuses: targets='nothing' matches no layer of VisionTransformer",
        ),
    ],
    ids=["rank", "dropout", "targets"],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError) as caught:
        adapt(classifier("test_vit"), Named(name="lora", **options))
    assert str(caught.value).startswith(message)


def test_a_run_with_lora_leaves_a_plain_timm_model(tmp_path):
    out = tmp_path / "run"
    settings = ["model.backbone=test_vit", "model.adapter={name: lora, rank: 2}", "train.epochs=2"]
    finetune(str(tiny(tmp_path)), settings, out)
    metrics = json.loads((out / "metrics.json").read_text())
    model = timm.create_model(f"local-dir:{out / 'model'}", pretrained=True)
    assert not any("lora" in name for name in model.state_dict())
    assert evaluate(out)["accuracy"] == metrics["accuracy"]
    used = json.loads((out / "environment.json").read_text())["plugins"]
    assert any(part["kind"] == "adapter" and part["owner"] == "zoo-lora" for part in used)


def test_an_unknown_adapter_or_option_is_refused_with_its_place(tmp_path):
    unknown = here("finetune", "--recipe", tiny(tmp_path), "model.adapter=lorra", "--out", tmp_path / "a")
    assert unknown.returncode == 2
    assert "Did you mean 'lora'" in unknown.stderr
    option = here("finetune", "--recipe", tiny(tmp_path), "model.adapter={name: lora, rnk: 2}", "--out", tmp_path / "b")
    assert option.returncode == 2
    assert "model.adapter.rnk: unknown option of adapter 'lora'" in option.stderr

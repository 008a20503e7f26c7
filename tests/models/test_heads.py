import pytest
import torch
from small import classifier, images, logits, spec

from zoo.errors import UsageError
from zoo.models.classifier import Classifier, build_classifier


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"name": "mlp", "hidden": 0}, "hidden=0 must be at least 1"),
        ({"name": "mlp", "layers": 0}, "layers=0 must be at least 1"),
        ({"name": "mlp", "dropout": 1}, "dropout=1 must lie in [0, 1)"),
        ({"name": "linear", "dropout": 1.0}, "dropout=1.0 must lie in [0, 1)"),
        ({"name": "linear", "dropout": -0.1}, "dropout=-0.1 must lie in [0, 1)"),
    ],
)
def test_options_that_make_no_sense(head, reason):
    with pytest.raises(UsageError) as caught:
        build_classifier(spec(head=head), 5, 32)
    assert str(caught.value) == f"model.head: head '{head['name']}' refuses its options: {reason}"


def test_linear_refuses_dropout_where_there_is_none():
    with pytest.raises(UsageError) as caught:
        build_classifier(spec("efficientvit_b0", head={"name": "linear", "dropout": 0.5}), 5, 32)
    assert str(caught.value) == (
        "model.head: head 'linear' refuses its options: EfficientVit has no dropout before its classifier"
    )


DROPPED = {
    "test_resnet": 32, "densenet121": 32, "test_vit": 32, "mobilenetv3_small_050": 32, "levit_128s": 64,
    "deit_tiny_distilled_patch16_224": 32, "test_convnext": 32, "test_byobnet": 32, "test_mambaout": 32,
    "hgnetv2_b0": 32, "pit_ti_224": 64, "repvit_m0_9": 32,
}  # fmt: skip


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("family", DROPPED)
def test_dropout_works_on_training_logits_alone_and_on_nothing_below_the_head(family, head):
    size = DROPPED[family]
    model = classifier(family, size, {"name": head, "dropout": 0.5})
    x = images(2, size)
    assert torch.equal(logits(model, x), logits(classifier(family, size, head), x))
    model.train()
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
        backbone = model.backbone if isinstance(model, Classifier) else model
        assert torch.equal(backbone.forward_features(x), backbone.forward_features(x))


def test_linear_replaces_the_classifier_and_nothing_else():
    model = classifier("test_resnet")
    assert type(model).__name__ == "ResNet"
    assert (model.num_classes, tuple(model.fc.weight.shape)) == (5, (5, model.num_features))

import pytest
import torch
from small import CLASSES, classifier, images, logits, spec
from torch import nn

from zoo.config.recipe import Model
from zoo.contracts import FeatureInfo
from zoo.errors import ModelError, PluginError
from zoo.models.backbone import build_backbone
from zoo.models.classifier import Classifier, build_classifier, evaluating, feature_info, halves, output_shape

ZOO_PETS = """
import timm, torch
from torch import nn

def lacking(*, pretrained, in_chans=3):
    return nn.Linear(3, 4)

class Stubborn(nn.Module):
    num_features, num_classes, pretrained_cfg = 4, 7, {"input_size": (3, 8, 8)}
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
    def forward_features(self, x): return self.conv(x)
    def forward_head(self, x, pre_logits=False): return x.mean((2, 3))
    def forward(self, x): return self.forward_head(self.forward_features(x))
    def get_classifier(self): return nn.Identity()
    def reset_classifier(self, num_classes, global_pool=None): pass

def stubborn(*, pretrained, in_chans=3):
    return Stubborn()

class Heavy(nn.Module):
    def __init__(self, features, num_classes, wrong=False):
        super().__init__()
        self.fc = nn.Linear(features.channels, num_classes + wrong)
    def forward(self, x): return self.fc(x.mean((2, 3)))
"""


@pytest.fixture
def pets(install):
    install(
        "zoo-pets",
        files={"zoo_pets.py": ZOO_PETS},
        backbones={"lacking": "zoo_pets:lacking", "stubborn": "zoo_pets:stubborn"},
        heads={"heavy": "zoo_pets:Heavy"},
    )


@pytest.mark.parametrize(
    ("backbone", "size", "info"),
    [
        ("resnet18", 64, FeatureInfo(512, "NCHW", (2, 2))),
        ("densenet121", 32, FeatureInfo(1024, "NCHW", (1, 1))),
        ("swin_tiny_patch4_window7_224", 64, FeatureInfo(768, "NHWC", (2, 2))),
        ("test_vit", 32, FeatureInfo(64, "NLC", (5,), 1)),
        ("test_vit2", 32, FeatureInfo(64, "NLC", (5,), 1)),
        ("deit_tiny_distilled_patch16_224", 32, FeatureInfo(192, "NLC", (6,), 2)),
        ("levit_128s", 64, FeatureInfo(384, "NLC", (1,))),
        ("test_convnext", 32, FeatureInfo(64, "NCHW", (1, 1))),
    ],
)
def test_features(backbone, size, info):
    assert feature_info(build_backbone(spec(backbone), size), size, 3) == info


@pytest.mark.parametrize("in_chans", [1, 3])
@pytest.mark.parametrize("head", ["linear", {"name": "mlp", "hidden": 16}])
@pytest.mark.parametrize(
    ("backbone", "size"),
    [("test_resnet", 32), ("densenet121", 40), ("test_vit", 48), ("levit_128s", 64), ("poolformer_s12", 32)],
)
def test_images_to_logits(backbone, size, head, in_chans):
    model = classifier(backbone, size, head, in_chans=in_chans)
    assert logits(model, images(2, size, in_chans)).shape == (2, len(CLASSES))
    assert isinstance(model, Classifier) == (head != "linear")


def test_without_a_size_the_backbones_own_is_taken():
    assert classifier("test_vit", None).pretrained_cfg["input_size"] == (3, 160, 160)
    assert classifier("test_vit", None, "mlp").pretrained_cfg["input_size"] == (3, 160, 160)


WRONG_SIZE = [
    (
        "inception_v3",
        32,
        {},
        "the model does not take images of 32 px: Calculated padded input size per channel: (1 x 1). Kernel size: "
        "(3 x 3). Kernel size can't be greater than actual input size. Its own size is 299: data.image_size=299",
    ),
    (
        "levit_128s",
        33,
        {},
        "the model does not take images of 33 px: The size of tensor a (9) must match the size of tensor b (4) at "
        "non-singleton dimension 3. Its own size is 224: data.image_size=224",
    ),
    (
        "vit_tiny_patch16_224",
        64,
        {"img_size": 32},
        "backbone 'vit_tiny_patch16_224' cannot be built for 64 px: ValueError: Conflicting input image sizes: "
        "requested (64, 64), model_kwargs.img_size=32.",
    ),
]


@pytest.mark.parametrize(("backbone", "size", "options", "message"), WRONG_SIZE)
def test_a_size_that_the_model_does_not_take(backbone, size, options, message):
    with pytest.raises(ModelError) as caught:
        build_classifier(spec(backbone, options=options), 5, size)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            {"backbone": "lacking"},
            PluginError,
            "backbone 'lacking' of zoo-pets 1.0 gave a Linear without num_features, forward_features, forward_head, "
            "get_classifier, reset_classifier, pretrained_cfg, which the contract asks for",
        ),
        (
            {"head": {"name": "heavy", "wrong": True}},
            PluginError,
            "head 'heavy' of zoo-pets 1.0 gives (1, 6) instead of (1, 5) for one image",
        ),
    ],
)
def test_parts_that_do_not_fit(pets, model, error, message):
    size = model.pop("size", 32)
    with pytest.raises(error) as caught:
        build_classifier(spec(**model), 5, size)
    assert str(caught.value) == message


def test_a_plugins_head_reads_any_backbone(pets):
    model = classifier("test_resnet", head="heavy")
    assert logits(model, images()).shape == (4, 5)
    assert logits(classifier("stubborn", head="heavy"), images()).shape == (4, 5)


CUTS = {"resnet18": 32, "densenet121": 32, "test_vit": 32, "mobilenetv3_small_050": 32, "test_convnext": 32,
        "swin_tiny_patch4_window7_224": 64, "poolformer_s12": 32, "tf_efficientnet_lite0": 32}  # fmt: skip


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("family", CUTS)
def test_halves_compose_to_the_model_and_share_its_parameters(family, head):
    model, x = classifier(family, CUTS[family], {"name": head, "dropout": 0.5}), images(3, CUTS[family])
    cut = halves(model, x[:1])
    whole = logits(model, x)
    with evaluating(cut.top), torch.inference_mode():
        assert torch.equal(cut.top(cut.features(x)), whole)
    own = {id(p) for p in model.parameters()}
    assert all(id(p) in own for p in cut.top.parameters())
    assert sum(m.p == 0.5 for m in cut.top.modules() if isinstance(m, nn.Dropout)) == 1


@pytest.mark.parametrize(
    ("family", "size"),
    [("deit_tiny_distilled_patch16_224", 32), ("dla34", 32), ("levit_128s", 64), ("sequencer2d_s", 224)],
)  # two classifiers, a convolution, a norm in the classifier, an unpooled classifier
def test_a_model_that_cannot_be_cut_exactly_is_not(family, size):
    model = classifier(family, size)
    assert halves(model, images(2, size)) is None


def test_looking_at_a_model_leaves_its_modes():
    model = classifier().train()
    model.layer1.eval()
    modes = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    assert output_shape(model, 32, 3) == (1, 5)
    assert halves(model, images()) is not None
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not any(m.training for m in model.modules())
        raise ZeroDivisionError
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())


def test_a_head_that_fails_is_named_with_its_owner(install) -> None:
    source = "def paw(features, num_classes):\n    raise KeyError('claw')\n"
    install("zoo-paw", heads={"paw": "zoo_paw:paw"}, files={"zoo_paw.py": source})
    with pytest.raises(PluginError) as caught:
        build_classifier(Model(backbone="test_resnet", pretrained=False, head={"name": "paw"}), 3, 32)
    assert str(caught.value) == "head 'paw' of zoo-paw 1.0 failed with KeyError: 'claw'"


def test_a_backbone_whose_classifier_cannot_be_replaced_gets_a_layer_of_its_own(pets):
    model = build_classifier(spec("stubborn"), 5, 32)
    assert isinstance(model, Classifier)
    assert logits(model, images()).shape == (4, 5)

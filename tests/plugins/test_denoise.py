"""The method `denoise`: its contract, its noise, and the feature maps that it takes."""

import pytest
import timm
import torch
from torch import nn

from zoo.config.recipe import Recipe
from zoo.contracts import At, Given, Seen
from zoo.plugins import installed
from zoo.testing import check_method
from zoo.training.inputs import make_learner
from zoo.training.pretraining import build_pretraining

pytestmark = pytest.mark.skipif(
    not any(p.owner == "zoo-denoise" for p in installed("method")), reason="the plugin zoo-denoise is not installed"
)

GIVEN = Given(image_size=32, channels=3, seed=5)


def learner(backbone: str = "test_vit", given: Given = GIVEN, **options: float) -> nn.Module:
    from zoo_denoise.method import Denoise

    torch.manual_seed(0)
    sized = {"img_size": 32} if backbone == "test_vit" else {}
    return Denoise(timm.create_model(backbone, num_classes=0, in_chans=given.channels, **sized), given, **options)


def seen(indices: list[int]) -> Seen:
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))[indices]
    count = len(indices)
    return Seen(images, torch.zeros(count, dtype=torch.int64), torch.ones(count), torch.tensor(indices))


def losses(method: nn.Module, indices: list[int], epoch: int = 0) -> torch.Tensor:
    with torch.no_grad():
        return method(seen(indices), At(0, 1, epoch, 0))["loss"]


def test_the_contract():
    check_method("zoo-denoise:denoise")


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet", "test_convnext", "swin_tiny_patch4_window7_224"])
def test_it_predicts_images_from_any_map(backbone):
    size = 224 if backbone.startswith("swin") else 32
    method = learner(backbone, Given(image_size=size, channels=3))
    images = torch.randn(2, 3, size, size)
    batch = Seen(images, torch.zeros(2), torch.ones(2), torch.arange(2))
    loss = method(batch, At(0, 1, 0, 0))["loss"]
    assert loss.shape == (2,) and (loss > 0).all()


def test_the_noise_depends_on_seed_epoch_and_image_alone():
    method = learner().train()
    whole, part = losses(method, [0, 1, 2, 3]), losses(method, [2, 3])
    torch.testing.assert_close(whole[2:], part)
    assert not torch.allclose(part, losses(method, [2, 3], epoch=1))
    assert not torch.allclose(part, losses(learner(given=Given(image_size=32, seed=6)).train(), [2, 3]))
    method.eval()
    assert torch.equal(losses(method, [2, 3]), losses(method, [2, 3], epoch=1))


def test_it_learns_to_remove_noise():
    method, batch = learner(sigma=0.3).train(), seen(list(range(8)))
    optimizer, found = torch.optim.AdamW(method.parameters(), lr=3e-3), []
    for step in range(30):
        loss = method(batch, At(step, 30, step, 0))["loss"].mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    assert found[-1] < 0.9 * found[0]


def test_labels_and_features_without_a_map_are_refused():
    with pytest.raises(ValueError, match="zoo pretrain takes it"):
        learner(given=Given(loss=lambda logits, targets: logits, image_size=32))

    class Pooled(nn.Linear):
        def forward_features(self, images):
            return self(images.mean((2, 3)))

    from zoo_denoise.method import Denoise

    with pytest.raises(ValueError, match="make no square map"):
        Denoise(Pooled(3, 4), GIVEN)


def test_what_the_features_do_not_depend_on_stays(tmp_path):
    recipe = Recipe(
        model={"backbone": "test_convnext", "pretrained": False},
        data={"source": "sample:fashion-mnist", "image_size": 32, "limit": 20},
        method={"name": "denoise"},
    )
    setup = build_pretraining(recipe)
    method = make_learner(setup, torch.device("cpu"))
    trained = [name for names in setup.groups.values() for name in names]
    method(seen([0, 1]), At(0, 1, 0, 0))["loss"].sum().backward()
    reached = [name for name, parameter in setup.model.named_parameters() if parameter.grad is not None]
    assert sorted(trained) == sorted(reached) and "head.norm.weight" not in trained

"""A schedule laid out and drawn, for placeholder groups and for real backbones."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from zoo.contracts import HEAD
from zoo.errors import ModelError, RecipeError, UnknownName, UsageError
from zoo.verbs.schedule_layout import STEPS, lay_out
from zoo.verbs.schedule_plot import draw


def test_rates_follow_scale_and_shape_and_are_none_where_frozen():
    layout = lay_out("two-stage", ["head_lr_scale=0.5"], 3)
    rates = dict(zip(layout.groups, layout.rates(), strict=True))
    assert all(len(row) == 3 * STEPS for row in rates.values())
    assert rates["stem"][:STEPS] == [None] * STEPS and None not in rates["stem"][STEPS:]
    assert [rates[HEAD][0], rates[HEAD][STEPS]] == [0.5, 1.0], "each phase starts at its peak"
    assert rates[HEAD][STEPS // 2] == pytest.approx(0.25) and rates[HEAD][-1] < 0.01
    frozen_out = lay_out("freeze-out", [], 10).rates()
    assert all(row[e * STEPS] == row[(e + 1) * STEPS - 1] for row in frozen_out for e in range(10)), "constant rates"


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "lite0", "timm:resnet18"])
def test_a_backbone_gives_groups_and_counts_without_weights(backbone):
    layout = lay_out("gradual", ["lr_decay=0.5"], 4, backbone)
    assert layout.groups[0] == "stem" and layout.groups[-1] == HEAD
    assert layout.trainable[0] == layout.sizes[-1] and layout.trainable[-1] == sum(layout.sizes)
    assert layout.trainable == tuple(sorted(layout.trainable))
    document = layout.document()
    assert document["groups"] == dict(zip(layout.groups, layout.sizes, strict=True))
    assert [p["parameters"] for p in document["phases"]] == list(layout.trainable)
    assert (document["backbone"], document["classes"], document["options"]) == (backbone, 10, {"lr_decay": 0.5})


def test_kinds_of_parameters_are_counted():
    norm, bias, everything = (
        lay_out(name, (), 2, "test_resnet").trainable[0] for name in ("norm-only", "bias-only", "none")
    )
    assert bias < norm < everything / 50


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("gradul",), UnknownName, r"^unknown schedule 'gradul'\. Did you mean 'gradual'\?"),
        (
            ("first-k", ["q=1"]),
            RecipeError,
            r"^command line: schedule\.q: unknown option of schedule 'first-k' \(has: k\)",
        ),
        (("first-k", ["k=x"]), RecipeError, r"^command line: schedule\.k: expected int, found 'x'"),
        (("two-stage", [], 1), UsageError, r"schedule: 'two-stage' with train\.epochs=1: head_epochs is 1"),
        (("none", [], 3, "resnet81"), RecipeError, r"^command line: model\.backbone: unknown backbone 'resnet81'"),
        (("none", [], 3, "local-dir:/nowhere"), ModelError | UsageError, "'local-dir:/nowhere' has no config.json"),
        (("norm-only", [], 3, "test_nfnet"), UsageError, "^schedule: trains only normalisation layers below the head"),
        (("surgical", ["only=stage9"], 3, "test_vit"), UsageError, r"names the group 'stage9'.* Did you mean 'stage"),
    ],
)
def test_what_cannot_be_laid_out(arguments, kind, message):
    with pytest.raises(kind if isinstance(kind, type) else kind.__args__, match=message):
        lay_out(*arguments)


GREY = (217, 217, 217)


def picture(tmp_path, *arguments) -> np.ndarray:
    draw(lay_out(*arguments), tmp_path / "plan.png")
    with Image.open(tmp_path / "plan.png") as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def share(pixels: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels.astype(int) - colour).max(2) <= 1).mean())


def test_frozen_is_grey_and_nothing_is_clipped(tmp_path):
    probe, everything = (picture(tmp_path, name, (), 8) for name in ("linear-probe", "none"))
    assert share(probe, GREY) > 0.3 and share(everything, GREY) < 0.05
    for pixels in (probe, everything):
        edge = np.concatenate(
            [
                pixels[:2].reshape(-1, 3),
                pixels[-2:].reshape(-1, 3),
                pixels[:, :2].reshape(-1, 3),
                pixels[:, -2:].reshape(-1, 3),
            ]
        )
        assert (edge == 255).all(), "a white margin all around"


@pytest.mark.parametrize("name", ["lp-ft", "norm-only", "bias-only"])
def test_patience_and_kinds_of_parameters_are_drawn(name, tmp_path):
    layout = lay_out(name, (), 12)
    plain = replace(layout, phases=tuple(replace(p, parameters="all", patience=None) for p in layout.phases))
    assert plain.phases != layout.phases
    for drawn in (layout, plain):
        draw(drawn, tmp_path / f"{drawn is plain}.png")
    special, usual = (np.asarray(Image.open(tmp_path / f"{it}.png").convert("RGB")) for it in (False, True))
    rows = len(usual) * 3 // 4  # above the legend, which differs as well
    assert (special[:rows] != usual[:rows]).any()


def test_freeze_out_freezes_more_and_more(tmp_path):
    shares = [share(picture(tmp_path, "freeze-out", (), epochs), GREY) for epochs in (2, 12)]
    assert 0 < shares[0] < shares[1] < 0.5


def test_many_groups_and_epochs_are_drawn(tmp_path):
    assert picture(tmp_path, "freeze-out", (), 100, "vit_base_patch16_224").shape[0] > 900


def test_a_picture_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError) as caught:
        draw(lay_out("none"), tmp_path / "no" / "plan.png")
    assert str(caught.value) == f"--png: {tmp_path / 'no' / 'plan.png'} cannot be written: No such file or directory"

"""Augmentation: what it may change, by how much, how often, and on what it depends."""

import math
from typing import Annotated

import pytest
import torch

from zoo.config.augment_marks import Operation, ParameterOf, find_operations, find_parameters
from zoo.config.recipe import OPERATIONS, Augment
from zoo.data.augment import AFFINE, COLOUR, MIX, SHEAR, SampleRng, augment, erase, mix

SIZE = 16
IMAGES = torch.randint(256, (40, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
EVERYTHING = [
    Augment(flip=False),
    Augment(flip=True),
    Augment(crop="padded"),
    Augment(crop="padded", jitter=0.4),
    Augment(crop="resized", jitter=0.2, rotate=10),
    Augment(crop="none", rotate=30),
    Augment(crop="padded", rotate=30),
    Augment(flip=False, shear=20),
    Augment(crop="resized", rotate=10, shear=20),
]


def draws(count: int = 40, seed: int = 0, epoch: int = 0) -> SampleRng:
    return SampleRng(seed, epoch, torch.arange(count))


def changed(how: Augment, at: torch.Tensor, seed: int = 0, epoch: int = 0, size: int = SIZE) -> torch.Tensor:
    return augment(IMAGES[at], how, SampleRng(seed, epoch, at), size)


@pytest.mark.parametrize("how", EVERYTHING)
def test_an_image_does_not_depend_on_its_batch(how: Augment) -> None:
    every = changed(how, torch.arange(40))
    for at in (torch.tensor([7]), torch.arange(39, -1, -1), torch.tensor([3, 3, 21])):
        assert changed(how, at).equal(every[at])


@pytest.mark.parametrize("how", EVERYTHING[1:])
def test_seed_and_epoch_decide(how: Augment) -> None:
    at = torch.arange(40)
    assert not changed(how, at, seed=1).equal(changed(how, at))
    assert not changed(how, at, epoch=1).equal(changed(how, at))


def test_nothing_is_changed_where_nothing_is_asked() -> None:
    assert changed(Augment(flip=False), torch.arange(40)).equal(IMAGES)


def test_flips_mirror_half_of_the_images() -> None:
    images = torch.randint(256, (2000, 1, 8, 8), dtype=torch.uint8)
    flipped = augment(images, Augment(flip=True), draws(2000), 8)
    mirrored = [bool(a.equal(b.flip(-1))) for a, b in zip(flipped, images, strict=True)]
    kept = [bool(a.equal(b)) for a, b in zip(flipped, images, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert abs(sum(mirrored) - 1000) < 5 * math.sqrt(500)


def test_padded_crops_are_shifts_with_mirrored_edges() -> None:
    """Each result is one of the 5 x 5 shifts by up to an eighth, and every shift occurs."""
    at = torch.arange(40).repeat(25)
    found = augment(IMAGES[at], Augment(flip=False, crop="padded"), SampleRng(0, 0, torch.arange(1000)), SIZE)
    padded = torch.nn.functional.pad(IMAGES.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    shifts = {(y, x): padded[at][:, :, y : y + SIZE, x : x + SIZE] for y in range(5) for x in range(5)}
    hits = torch.stack([(found == moved).flatten(1).all(1) for moved in shifts.values()])
    assert (hits.sum(0) == 1).all()
    assert hits.sum(1).min() > 15


def test_resized_crops_are_parts_of_the_image() -> None:
    """A horizontal ramp stays one: its slope says how wide a part was taken."""
    ramp = torch.arange(32.0).mul(8).to(torch.uint8).expand(500, 1, 32, 32)
    found = augment(ramp, Augment(flip=False, crop="resized", min_scale=0.4), draws(500), 16)
    assert (found.dtype, tuple(found.shape)) == (torch.float32, (500, 1, 16, 16))
    inner = found[:, 0, :, 1:-1]
    assert (inner - inner[:, :1]).abs().max() < 1e-2
    slopes = inner[:, 0].diff(dim=1)
    assert (slopes - slopes.mean(1, keepdim=True)).abs().max() < 1e-2
    widths = slopes.mean(1) * 16 / 8 / 32
    assert math.sqrt(0.4 * 3 / 4) - 0.01 < widths.min() < 0.6 and 0.99 < widths.max() < 1.001
    assert (widths < 0.9).float().mean() > 0.4


def test_rotation_turns_about_the_centre() -> None:
    at = torch.arange(33.0) - 16
    radius = torch.hypot(at[:, None], at)
    ring = torch.zeros(200, 1, 33, 33, dtype=torch.uint8)
    ring[:, :, 16, 28] = 255
    found = augment(ring, Augment(flip=False, rotate=45), draws(200), 33)[:, 0] * (radius < 14)
    places = torch.tensor([divmod(int(image.argmax()), 33) for image in found]) - 16
    angles = torch.atan2(places[:, 0].float(), places[:, 1].float()).rad2deg()
    assert (places.float().norm(dim=1) - 12).abs().max() < 1
    assert angles.min() < -40 and angles.max() > 40 and angles.abs().max() < 49


@pytest.mark.parametrize("most", [10, 30, 45])
def test_shear_leans_upright_lines_by_its_angle_about_the_centre(most: int) -> None:
    """The line through the centre stays straight and keeps its middle; each row is shifted by tan(angle) of its height."""
    upright = torch.zeros(200, 1, 65, 65, dtype=torch.uint8)
    upright[:, :, :, 32] = 255
    found = augment(upright, Augment(flip=False, shear=most), draws(200), 65)[:, 0]
    rows, columns = torch.arange(65.0) - 32, torch.arange(65.0) - 32
    near = found * (columns.abs() < 24) * (rows.abs() < 20)[:, None]
    places = (near * columns).sum(2)[:, 13:52] / near.sum(2)[:, 13:52]
    leaning = -torch.tan(draws(200)(SHEAR, -1, 1) * math.radians(most))
    torch.testing.assert_close(places, leaning[:, None] * rows[13:52], atol=0.02, rtol=0)
    angles = torch.atan(leaning).rad2deg()
    assert -most <= angles.min() < -0.95 * most and 0.95 * most < angles.max() <= most


def test_shear_moves_rows_alone_and_has_a_draw_of_its_own() -> None:
    """Level lines stay where they are, and the other operations draw as they do without it."""
    level = torch.zeros(50, 1, 33, 33, dtype=torch.uint8)
    level[:, :, 12] = 255
    torch.testing.assert_close(augment(level, Augment(flip=False, shear=40), draws(50), 33), level.float())
    turned, both = (augment(IMAGES, Augment(rotate=20, shear=by), draws(), SIZE) for by in (0, 1e-6))
    torch.testing.assert_close(turned, both, atol=0.01, rtol=0)


def test_jitter_stays_in_range_and_within_its_share() -> None:
    grey = torch.full((500, 3, 8, 8), 100, dtype=torch.uint8)
    found = augment(grey, Augment(flip=False, jitter=0.3), draws(500), 8)
    assert 69.9 < found.min() < 75 and 125 < found.max() < 130.1
    assert (found - found[:, :1, :1, :1]).abs().max() < 1e-3, "grey stays grey, flat stays flat"
    noisy = augment(IMAGES, Augment(flip=False, jitter=0.9), draws(), SIZE)
    assert noisy.min() == 0 and noisy.max() == 255
    assert augment(IMAGES[:, :1], Augment(jitter=0.3), draws(), SIZE).shape == (40, 1, SIZE, SIZE)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_erasing_hits_its_share_with_rectangles_of_2_to_33_percent(probability: float) -> None:
    count, size = 2000, 32
    erased = erase(torch.ones(count, 2, size, size), probability, draws(count)) == 0
    assert erased[:, 0].equal(erased[:, 1])
    hit = erased.flatten(1).any(1)
    assert abs(hit.sum() - count * probability) <= 5 * math.sqrt(count * probability * (1 - probability))
    areas = erased[hit, 0].flatten(1).sum(1)
    heights, widths = erased[hit, 0].any(2).sum(1), erased[hit, 0].any(1).sum(1)
    assert areas.equal(heights * widths)
    if probability:
        shares = areas / size**2
        assert 0.01 < shares.min() < 0.04 and 0.3 < shares.max() < 0.37
    if probability == 1:
        assert erased[:, 0].any(0).all(), "every place is hit"


TARGETS = torch.nn.functional.one_hot(torch.arange(8) % 4, 4).float()
LEVELS = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, SIZE, SIZE)


@pytest.mark.parametrize("how", [Augment(mixup=0.4), Augment(cutmix=1.0), Augment(mixup=0.2, cutmix=1.0)])
def test_targets_match_what_was_mixed(how: Augment) -> None:
    """Image i holds the level i alone, so the mixed levels say how much of each neighbour is in it."""
    kinds = set()
    for batch in range(40):
        images, targets = mix(LEVELS, TARGETS, how, 0, 0, batch)
        own = 1 - (images[1] - 1).mean().abs()
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        torch.testing.assert_close(targets, own * TARGETS + (1 - own) * TARGETS.roll(1, 0))
        torch.testing.assert_close(
            images.mean((1, 2, 3)), (own * LEVELS + (1 - own) * LEVELS.roll(1, 0)).mean((1, 2, 3))
        )
        if 0.05 < own < 0.95:
            kinds.add("cutmix" if images[1].unique().tolist() == [0, 1] else "mixup")
    assert kinds == {name for name in ("mixup", "cutmix") if getattr(how, name)}


def test_mixing_follows_seed_epoch_and_batch() -> None:
    def mixed(*key: int) -> tuple[torch.Tensor, torch.Tensor]:
        return mix(LEVELS, TARGETS, Augment(mixup=1.0), *key)

    assert all(a.equal(b) for a, b in zip(mixed(0, 0, 0), mixed(0, 0, 0), strict=True))
    assert len({float(mixed(*key)[1][0, 0]) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}) == 4


def test_mixing_shares_follow_the_beta_distribution() -> None:
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1))."""
    for alpha in (0.2, 1.0):
        shares = torch.tensor([mix(LEVELS, TARGETS, Augment(mixup=alpha), 0, 0, b)[1][0, 0] for b in range(2000)])
        assert abs(shares.mean() - 0.5) < 5 * shares.std() / 2000**0.5
        assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_there_is_nothing_to_mix_with_one_image_or_no_wish() -> None:
    for images, how in ((LEVELS[:1], Augment(mixup=1.0, cutmix=1.0)), (LEVELS, Augment())):
        assert mix(images, TARGETS[: len(images)], how, 0, 0, 0)[0] is images


ON = {
    "flip": True,
    "crop": "padded",
    "rotate": 15.0,
    "shear": 15.0,
    "jitter": 0.3,
    "erase": 1.0,
    "mixup": 0.4,
    "cutmix": 1.0,
}
"""A value of each operation at which it does something."""
OFF = {name: operation.neutral for name, operation in OPERATIONS.items()}


def test_every_field_is_an_operation_or_a_parameter_of_one() -> None:
    parameters = [name for operation in OPERATIONS for name in find_parameters(Augment.model_fields, operation)]
    assert sorted([*OPERATIONS, *parameters]) == sorted(Augment.model_fields)
    assert ON.keys() == OPERATIONS.keys(), "a new operation has a value here, so that the next test sees it"


def test_every_operation_has_a_function() -> None:
    functions = {"spatial": AFFINE, "colour": COLOUR, "mix": MIX, "erase": {"erase": erase}}
    for kind, those in functions.items():
        assert set(those) == {name for name, operation in OPERATIONS.items() if operation.kind == kind}
    assert {operation.kind for operation in OPERATIONS.values()} == functions.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_is_on_changes_pixels_and_says_so(name: str) -> None:
    """`changes` and `mixes` decide whether features are cached: what changes pixels must not leave them false."""
    how, off = Augment(**{**OFF, name: ON[name]}), Augment(**OFF)
    assert how != off
    assert (off.changes, off.mixes, off.image_settings()) == (False, False, {})
    mixes = OPERATIONS[name].kind == "mix"
    assert (how.changes, how.mixes) == (not mixes, mixes)
    assert how.image_settings().get(name) == (None if mixes else ON[name])

    def pixels(how: Augment) -> torch.Tensor:
        images = erase(augment(IMAGES, how, draws(), SIZE).float(), how.erase, draws())
        return mix(images, torch.eye(40), how, 0, 0, 0)[0]

    assert not pixels(how).equal(pixels(off))
    assert pixels(off).equal(IMAGES.float())


def test_parameters_belong_to_the_settings_of_their_operation() -> None:
    assert Augment(**{**OFF, "crop": "resized", "min_scale": 0.3}).image_settings() == {
        "crop": "resized",
        "min_scale": 0.3,
    }
    assert Augment(**{**OFF, "min_scale": 0.3}).image_settings() == {}


def test_a_field_without_a_mark_cannot_exist() -> None:
    class Forgetful(Augment):
        blur: float = 0.0

    class Astray(Augment):
        sigma: Annotated[float, ParameterOf("blur")] = 1.0

    class Whole(Augment):
        blur: Annotated[float, Operation("colour", neutral=0.0)] = 0.0

    with pytest.raises(TypeError, match=r"data\.augment\.blur needs one mark"):
        find_operations(Forgetful.model_fields)
    with pytest.raises(TypeError, match=r"data\.augment\.sigma is a parameter of 'blur', which is not an operation"):
        find_operations(Astray.model_fields)
    assert find_operations(Whole.model_fields)["blur"] == Operation("colour", 0.0)

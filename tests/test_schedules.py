import pytest

from zoo.contracts import HEAD
from zoo.plugins import OWN, find, installed
from zoo.schedules import first_k, gradual, linear_probe, none, two_stage

FEW = ("stem", "body", HEAD)
SHIPPED = ("first-k", "gradual", "linear-probe", "none", "two-stage")


def groups_of(count: int) -> tuple[str, ...]:
    return (*(f"g{i}" for i in range(count - 1)), HEAD)


def test_these_ship():
    assert tuple(p.name for p in installed("schedule") if p.owner == OWN) == SHIPPED


@pytest.mark.parametrize("epochs", [2, 5, 100])
@pytest.mark.parametrize("count", [2, 6, 60])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_schedule_keeps_the_contract(name, count, epochs):
    groups = groups_of(count)
    phases = find("schedule", name).load()(groups, epochs)
    assert sum(p.epochs for p in phases) == epochs
    for phase in phases:
        assert phase.epochs >= 1
        assert phase.trainable == tuple(g for g in groups if g in phase.trainable), "groups in order, each once"
        assert HEAD in phase.trainable
        assert set(phase.lr_scale) <= set(phase.trainable)
        assert all(scale > 0 for scale in phase.lr_scale.values())


def brief(phases) -> list[tuple]:
    return [(p.epochs, p.trainable, dict(p.lr_scale)) for p in phases]


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        (none(FEW, 3), [(3, FEW, {})]),
        (none((HEAD,), 1), [(1, (HEAD,), {})]),
        (linear_probe(FEW, 3), [(3, (HEAD,), {})]),
        (two_stage(FEW, 5), [(1, (HEAD,), {HEAD: 1.0}), (4, FEW, {})]),
        (two_stage(FEW, 5, head_epochs=4, head_lr_scale=10), [(4, (HEAD,), {HEAD: 10}), (1, FEW, {})]),
        (first_k(FEW, 3), [(3, ("body", HEAD), {})]),
        (first_k(FEW, 3, k=0), [(3, FEW, {})]),
        (first_k(FEW, 3, k=2), [(3, (HEAD,), {})]),
        (gradual((HEAD,), 4), [(4, (HEAD,), {HEAD: 1})]),
        (  # epochs left over go to the last phase
            gradual(FEW, 5, lr_decay=0.5),
            [
                (1, (HEAD,), {HEAD: 1}),
                (1, ("body", HEAD), {HEAD: 1, "body": 0.5}),
                (3, FEW, {HEAD: 1, "body": 0.5, "stem": 0.25}),
            ],
        ),
        (gradual(FEW, 5, epochs_per_group=2), [(2, (HEAD,), {HEAD: 1}), (3, FEW, dict.fromkeys(FEW, 1))]),
        (gradual(FEW, 1), [(1, FEW, dict.fromkeys(FEW, 1))]),
        (gradual(FEW, 1, epochs_per_group=9), [(1, FEW, dict.fromkeys(FEW, 1))]),
    ],
)
def test_phases(phases, expected):
    assert brief(phases) == expected


def test_gradual_reaches_everything_in_the_last_phase_of_a_deep_model():
    phases = gradual(groups_of(60), 10)
    assert [len(p.trainable) for p in phases] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 60]


@pytest.mark.parametrize(
    ("schedule", "groups", "epochs", "options", "message"),
    [
        (two_stage, FEW, 5, {"head_epochs": 0}, "head_epochs is 0, but must lie between 1 and epochs - 1 = 4"),
        (two_stage, FEW, 5, {"head_epochs": 5}, "head_epochs is 5, but must lie between 1 and epochs - 1 = 4"),
        (two_stage, FEW, 1, {}, "head_epochs is 1, but must lie between 1 and epochs - 1 = 0"),
        (two_stage, FEW, 5, {"head_lr_scale": 0}, "head_lr_scale is 0, but must be above 0"),
        (two_stage, FEW, 5, {"head_lr_scale": float("nan")}, "head_lr_scale is nan, but must be above 0"),
        (gradual, FEW, 5, {"epochs_per_group": 0}, "epochs_per_group is 0, but must be at least 1"),
        (gradual, FEW, 5, {"lr_decay": 0.0}, "lr_decay is 0.0, but must lie in (0, 1]"),
        (gradual, FEW, 5, {"lr_decay": 1.5}, "lr_decay is 1.5, but must lie in (0, 1]"),
        (first_k, FEW, 5, {"k": -1}, "k is -1, but must lie between 0 and 2, the groups below the head"),
        (first_k, FEW, 5, {"k": 3}, "k is 3, but must lie between 0 and 2, the groups below the head"),
        (first_k, (HEAD,), 5, {}, "k is 1, but must lie between 0 and 0, the groups below the head"),
    ],
)
def test_options_that_make_no_sense(schedule, groups, epochs, options, message):
    with pytest.raises(ValueError) as caught:
        schedule(groups, epochs, **options)
    assert str(caught.value) == message

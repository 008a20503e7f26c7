"""Schedules as data: every one plans for every backbone and number of epochs, or says why it cannot."""

import math
import subprocess
import sys

import pytest

from zoo.contracts import HEAD, Phase
from zoo.errors import UsageError
from zoo.plugins import OWN, find, installed
from zoo.plugins.signature import signature
from zoo.schedules import (
    bias_only,
    discriminative,
    first_k,
    freeze_out,
    gradual,
    linear_probe,
    lp_ft,
    none,
    norm_only,
    plateau,
    surgical,
    two_stage,
)
from zoo.schedules.planning import planned

FEW = ("stem", "body", HEAD)
LEAST = {
    "bias-only": 1, "discriminative": 1, "first-k": 1, "freeze-out": 1, "gradual": 1, "linear-probe": 1, "lp-ft": 2,
    "none": 1, "norm-only": 1, "plateau": 1, "surgical": 1, "two-stage": 2,
}  # fmt: skip
"""Every schedule that ships and the fewest epochs that its defaults plan for."""


def groups_of(count: int) -> tuple[str, ...]:
    return (*(f"g{i}" for i in range(count - 1)), HEAD)


def test_these_ship():
    assert tuple(p.name for p in installed("schedule") if p.owner == OWN) == tuple(LEAST)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 14, 60])
@pytest.mark.parametrize("name", LEAST)
def test_every_schedule_plans_for_every_backbone_and_number_of_epochs(name, count):
    groups, plugin = groups_of(count), find("schedule", name)
    named = {g: (g,) for g in groups}
    for epochs in (1, 2, 3, 4, 5, 7, 10, 30, 100):
        if epochs < LEAST[name] or (name, count) == ("first-k", 1):
            with pytest.raises(
                UsageError, match=rf"^schedule: '{name}' with train.epochs={epochs}: \w+ is \d+, but must "
            ):
                planned(plugin, named, epochs, {})
            continue
        phases = planned(plugin, named, epochs, {})
        assert sum(p.epochs for p in phases) == epochs
        for phase in phases:
            assert phase.trainable == tuple(g for g in groups if g in phase.trainable), "groups in order, each once"
            assert HEAD in phase.trainable
            assert set(phase.lr_scale) <= set(phase.trainable)
            assert all(0 < scale <= 1 for scale in phase.lr_scale.values())
        assert phases == planned(plugin, named, epochs, {}), "pure"


@pytest.mark.parametrize("name", LEAST)
def test_every_schedule_names_its_source_and_its_options(name):
    about = signature(find("schedule", name))
    assert "arXiv:" in about.doc
    assert all(
        option.default != "..." and f"{option.name}:" in about.doc for option in about.options if option.name != "k"
    )


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
        (lp_ft(FEW, 5), [(2, (HEAD,), {}), (3, FEW, dict.fromkeys(FEW, 0.1))]),
        (lp_ft(FEW, 5, head_epochs=4, lr_scale=0.01), [(4, (HEAD,), {}), (1, FEW, dict.fromkeys(FEW, 0.01))]),
        (first_k(FEW, 3), [(3, ("body", HEAD), {})]),
        (first_k(FEW, 3, k=0), [(3, FEW, {})]),
        (first_k(FEW, 3, k=2), [(3, (HEAD,), {})]),
        (surgical(FEW, 3), [(3, ("stem", HEAD), {})]),
        (surgical(FEW, 3, only="body"), [(3, ("body", HEAD), {})]),
        (surgical(FEW, 3, only=[HEAD, "body", "stem"]), [(3, FEW, {})]),
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
        (plateau(FEW, 3), [(3, FEW, {})]),  # too short for the metric to have a say
        (plateau(FEW, 5), [(3, (HEAD,), {}), (2, FEW, {})]),
        (plateau(FEW, 14, patience=2), [(4, (HEAD,), {}), (4, ("body", HEAD), {}), (6, FEW, {})]),
    ],
)
def test_phases(phases, expected):
    assert brief(phases) == expected


def test_gradual_reaches_everything_in_the_last_phase_of_a_deep_model():
    phases = gradual(groups_of(60), 10)
    assert [len(p.trainable) for p in phases] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 60]


@pytest.mark.parametrize(
    ("schedule", "phase"),
    [(norm_only, Phase(3, FEW, parameters="norm")), (bias_only, Phase(3, FEW, parameters="bias"))],
)
def test_schedules_of_one_kind_of_parameters(schedule, phase):
    assert schedule(FEW, 3) == (phase,)


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("epochs", [1, 5, 12, 60, 100])
@pytest.mark.parametrize("count", [2, 6, 60])
def test_plateau_opens_up_and_every_step_but_the_last_can_end_early(count, epochs, patience):
    phases = plateau(groups_of(count), epochs, patience)
    opened = [len(p.trainable) for p in phases]
    assert opened == sorted(set(opened)) and opened[-1] == count
    assert len(phases) == 1 or opened[0] == 1
    assert [p.patience for p in phases] == [patience] * (len(phases) - 1) + [None]
    assert [p.lr_schedule for p in phases] == ["constant"] * (len(phases) - 1) + [None]
    assert all(p.epochs >= patience + 2 for p in phases[:-1])


def test_lp_ft_ends_the_head_early():
    assert [p.patience for p in lp_ft(FEW, 9, patience=3)] == [3, None]


@pytest.mark.parametrize(("cubed", "ends"), [(False, [16, 17, 18, 18, 19, 20]), (True, [10, 12, 14, 16, 18, 20])])
def test_freeze_out_freezes_from_the_stem_up_along_cosines(cubed, ends):
    """FreezeOut's rule: t_i from 0.8 to 1 at equal distances, to the power of three, and a cosine to 0 at each."""
    groups = groups_of(6)
    phases = freeze_out(groups, 20, cubed=cubed)
    assert [p.epochs for p in phases] == [1] * 20 and {p.lr_schedule for p in phases} == {"constant"}
    assert [sum(g in p.trainable for p in phases) for g in groups] == ends
    for group, end in zip(groups, ends, strict=True):
        rates = [p.lr_scale[group] for p in phases if group in p.trainable]
        assert rates == sorted(rates, reverse=True)
        assert sum(rates) == pytest.approx(end / 2), "the area under a cosine from 1 to 0"
        assert rates[0] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2 / end)))


def test_discriminative_divides_by_2_6_a_stage_and_spreads_over_deep_backbones():
    (phase,) = discriminative(groups_of(6), 3)
    assert list(phase.lr_scale.values()) == pytest.approx([2.6**-depth for depth in (5, 4, 3, 2, 1, 0)])
    (deep,) = discriminative(groups_of(61), 3)
    assert [deep.lr_scale[g] for g in ("g0", "g48", HEAD)] == pytest.approx([2.6**-5, 1 / 2.6, 1])
    assert set(discriminative(FEW, 3, factor=1.0)[0].lr_scale.values()) == {1.0}


def least(option: str, value: object) -> str:
    return f"{option} is {value}, but must be at least 1"


@pytest.mark.parametrize(
    ("schedule", "groups", "epochs", "options", "message"),
    [
        (two_stage, FEW, 5, {"head_epochs": 0}, "head_epochs is 0, but must lie between 1 and epochs - 1 = 4"),
        (two_stage, FEW, 5, {"head_epochs": 5}, "head_epochs is 5, but must lie between 1 and epochs - 1 = 4"),
        (two_stage, FEW, 1, {}, "head_epochs is 1, but must lie between 1 and epochs - 1 = 0"),
        (two_stage, FEW, 5, {"head_lr_scale": 0}, "head_lr_scale is 0, but must be finite and above 0"),
        (two_stage, FEW, 5, {"head_lr_scale": float("nan")}, "head_lr_scale is nan, but must be finite and above 0"),
        (two_stage, FEW, 5, {"head_lr_scale": math.inf}, "head_lr_scale is inf, but must be finite and above 0"),
        (lp_ft, FEW, 1, {}, "head_epochs is 1, but must lie between 1 and epochs - 1 = 0"),
        (lp_ft, FEW, 5, {"head_epochs": 5}, "head_epochs is 5, but must lie between 1 and epochs - 1 = 4"),
        (lp_ft, FEW, 5, {"patience": 0}, least("patience", 0)),
        (lp_ft, FEW, 5, {"lr_scale": -1}, "lr_scale is -1, but must be finite and above 0"),
        (gradual, FEW, 5, {"epochs_per_group": 0}, least("epochs_per_group", 0)),
        (gradual, FEW, 5, {"lr_decay": 0.0}, "lr_decay is 0.0, but must lie in (0, 1]"),
        (gradual, FEW, 5, {"lr_decay": 1.5}, "lr_decay is 1.5, but must lie in (0, 1]"),
        (plateau, FEW, 5, {"patience": 0}, least("patience", 0)),
        (first_k, FEW, 5, {"k": -1}, "k is -1, but must lie between 0 and 2, the groups below the head"),
        (first_k, FEW, 5, {"k": 3}, "k is 3, but must lie between 0 and 2, the groups below the head"),
        (first_k, (HEAD,), 5, {}, "k is 1, but must lie between 0 and 0, the groups below the head"),
        (surgical, FEW, 5, {"only": "bodi"}, "only names the group 'bodi', which is not there. Did you mean 'body'?"),
        (surgical, FEW, 5, {"only": ["stem", "zz"]},
            "only names the group 'zz', which is not there. There are: stem, body, head."),
        (surgical, FEW, 5, {"only": []}, "only is [], but must name groups, as in [stem, stage1]"),
        (surgical, FEW, 5, {"only": 3}, "only is 3, but must name groups, as in [stem, stage1]"),
        (freeze_out, FEW, 5, {"t0": 0}, "t0 is 0, but must lie in (0, 1]"),
        (freeze_out, FEW, 5, {"t0": 1.1}, "t0 is 1.1, but must lie in (0, 1]"),
        (discriminative, FEW, 5, {"factor": 0.4}, "factor is 0.4, but must lie between 1 and 1000"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(schedule, groups, epochs, options, message):
    with pytest.raises(ValueError) as caught:
        schedule(groups, epochs, **options)
    assert str(caught.value) == message


def test_planning_needs_no_torch():
    code = (
        "from zoo.plugins import find; from zoo.schedules.planning import planned; import sys;"
        "planned(find('schedule', 'plateau'), {'stem': ('a',), 'head': ('b',)}, 9, {}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from small import classifier, images, recipe

from zoo.contracts import HEAD, Phase
from zoo.data.loader import shuffled
from zoo.errors import PluginError, UsageError
from zoo.models.param_groups import parameter_groups
from zoo.training.plan import Costs, is_head_only, lay_out, measure_costs, plan_phases, steps_per_epoch, training_bytes

GROUPS = {"stem": ("a",), "stage1": ("b",), HEAD: ("c", "d")}
NAMES = tuple(GROUPS)


def test_phases_of_a_schedule_with_its_options():
    schedule = {"name": "two-stage", "head_epochs": 2}
    assert plan_phases(recipe(schedule=schedule, train={"epochs": 5}), GROUPS) == (
        Phase(2, (HEAD,), {HEAD: 1.0}),
        Phase(3, NAMES),
    )


@pytest.mark.parametrize(
    ("schedule", "epochs", "message"),
    [
        ({"name": "two-stage"}, 1, "schedule: 'two-stage' with train.epochs=1: head_epochs is 1, but must lie between 1 "
            "and epochs - 1 = 0"),
        ({"name": "first-k", "k": 3}, 2, "schedule: 'first-k' with train.epochs=2: k is 3, but must lie between 0 and 2, "
            "the groups below the head"),
        ({"name": "gradual", "lr_decay": 2.0}, 2,
            "schedule: 'gradual' with train.epochs=2: lr_decay is 2.0, but must lie in (0, 1]"),
    ],
)  # fmt: skip
def test_a_schedule_that_does_not_fit(schedule, epochs, message):
    with pytest.raises(UsageError) as caught:
        plan_phases(recipe(schedule=schedule, train={"epochs": epochs}), GROUPS)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("return None", " returned None, but the contract asks for a tuple of zoo.contracts.Phase"),
        ("return Phase(3, groups)", f" returned {Phase(3, NAMES)}, but the contract asks for a tuple of zoo.contracts.Phase"),
        ("return [('head', 3)]", " returned [('head', 3)], but the contract asks for a tuple of zoo.contracts.Phase"),
        ("return {}['x']", " failed with KeyError: 'x'"),
        ("return ()", " planned 0 epochs, the recipe asks for 3"),
        ("return (Phase(2, groups),)", " planned 2 epochs, the recipe asks for 3"),
        ("return (Phase(3, ('neck',)),)",
            f" names the group 'neck', but this model's groups are stem, stage1, head: {Phase(3, ('neck',))}"),
        ("return (Phase(3, groups, {'neck': 1}),)",
            f" names the group 'neck', but this model's groups are stem, stage1, head: {Phase(3, NAMES, {'neck': 1})}"),
        ("return (Phase(3, ('head', 'head')),)", f" names the group 'head' twice: {Phase(3, (HEAD, HEAD))}"),
        ("return (Phase(3, ()),)", f" gave a phase that trains nothing: {Phase(3, ())}"),
        ("return (Phase(0, groups), Phase(3, groups))", f" gave a phase that trains nothing: {Phase(0, NAMES)}"),
        ("return (Phase(1.5, groups), Phase(1.5, groups))", f" gave a phase that trains nothing: {Phase(1.5, NAMES)}"),
        ("return (Phase(3, groups, {'head': 0}),)", f" gave the group 'head' a learning-rate factor that is not above 0: "
            f"{Phase(3, NAMES, {HEAD: 0})}"),
        ("return (Phase(3, groups, {'head': float('nan')}),)", f" gave the group 'head' a learning-rate factor that is not "
            f"above 0: {Phase(3, NAMES, {HEAD: float('nan')})}"),
        ("return (Phase(3, groups, {'head': '1'}),)", f" gave the group 'head' a learning-rate factor that is not above 0: "
            f"{Phase(3, NAMES, {HEAD: '1'})}"),
        ("return (Phase(3, groups, parameters='scale'),)", f" asks for the parameters 'scale', but there are all, norm, bias: "
            f"{Phase(3, NAMES, parameters='scale')}"),
        ("return (Phase(3, groups, patience=0),)",
            f" gave the patience 0, but it counts epochs, at least 1: {Phase(3, NAMES, patience=0)}"),
        ("return (Phase(3, groups, patience=True),)",
            f" gave the patience True, but it counts epochs, at least 1: {Phase(3, NAMES, patience=True)}"),
        ("return (Phase(3, groups, lr_schedule='step'),)", f" gave the lr_schedule 'step', but there are cosine, linear, "
            f"constant: {Phase(3, NAMES, lr_schedule='step')}"),
    ],
)  # fmt: skip
def test_a_plugin_that_breaks_the_contract(install, body, fault):
    code = f"from zoo.contracts import Phase\n\ndef odd(groups, epochs):\n    {body}\n"
    install("zoo-odd", schedules={"odd": "zoo_odd:odd"}, files={"zoo_odd.py": code})
    with pytest.raises(PluginError) as caught:
        plan_phases(recipe(schedule="odd", train={"epochs": 3}), GROUPS)
    assert str(caught.value) == f"schedule 'odd' of zoo-odd 1.0{fault}"


def test_a_plugin_may_return_a_list(install):
    code = "from zoo.contracts import Phase\n\ndef odd(groups, epochs):\n    return [Phase(epochs, ['head'])]\n"
    install("zoo-odd", schedules={"odd": "zoo_odd:odd"}, files={"zoo_odd.py": code})
    (phase,) = plan_phases(recipe(schedule="odd", train={"epochs": 3}), GROUPS)
    assert is_head_only(phase)


@pytest.mark.parametrize(("trainable", "expected"), [((HEAD,), True), (("stage1", HEAD), False), (("stem",), False)])
def test_is_head_only(trainable, expected):
    assert is_head_only(Phase(1, trainable)) is expected


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("accumulation", [1, 2, 3, 5])
def test_steps_are_those_of_the_real_order_of_batches(batch_size, accumulation):
    how = recipe(data={"batch_size": batch_size}, train={"accumulation": accumulation})
    for count in range(1, 40):
        batches = shuffled(np.arange(count), batch_size, 0, 0)
        assert steps_per_epoch(count, how) == len(batches[::accumulation]), count


def test_a_plan_in_lines():
    model = classifier("test_resnet")
    groups = parameter_groups(model, 32)
    schedule, counts = {"name": "two-stage", "head_epochs": 2}, {"train": 100, "validation": 50, "test": 10}
    how = recipe(schedule=schedule, data={"batch_size": 16}, train={"epochs": 5, "accumulation": 2})
    phases = plan_phases(how, groups)
    everything = sum(p.numel() for p in model.parameters())

    head, rest = lay_out(model, groups, phases, how, counts, split_points=("pre_logits", None), costs=Costs(0.25, 1.0))
    assert (head.trainable, head.steps, head.split_point) == (5 * 96 + 5, 2 * 4, "pre_logits")
    assert (rest.trainable, rest.steps, rest.split_point) == (everything, 3 * 4, None)
    assert head.seconds == 150 * 0.25
    assert rest.seconds == 3 * (100 * 1.0 + 50 * 0.25)

    head, rest = lay_out(
        model, groups, phases, how, counts, split_points=(None, None), costs=Costs(0.25, 1.0), processes=2
    )
    share = (5 * 96 + 5) / everything
    assert (head.split_point, rest.seconds) == (None, 3 * (100 * 1.0 + 50 * 0.25) / 2)
    assert head.seconds == pytest.approx(2 * (100 * (0.25 + 0.75 * share) + 50 * 0.25) / 2)

    untimed = lay_out(model, groups, phases, how, counts, split_points=("pre_logits", None))
    assert [plan.seconds for plan in untimed] == [None, None]
    state = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert training_bytes(model, untimed) == state + 3 * 4 * everything
    assert training_bytes(model, untimed[:1]) == state + 3 * 4 * (5 * 96 + 5)


@pytest.mark.parametrize(("kind", "endings"), [("norm", (".weight", ".bias")), ("bias", (".bias",))])
def test_a_plan_counts_only_the_kind_of_parameters_that_trains(kind, endings):
    model = classifier("test_resnet")
    groups = parameter_groups(model, 32)
    phase, counts = Phase(2, tuple(groups), parameters=kind), {"train": 100, "validation": 50}
    (line,) = lay_out(model, groups, (phase,), recipe(), counts, split_points=(None,), costs=Costs(0.25, 1.0))
    norms = [p for n, p in model.named_parameters() if p.ndim == 1 and n.endswith(endings) and not n.startswith("fc.")]
    head = [p for n, p in model.named_parameters() if n.startswith("fc.")]
    assert line.trainable == sum(p.numel() for p in norms + head) and line.split_point is None
    assert line.seconds == 2 * (100 * (0.25 + 0.75 / 2) + 50 * 0.25)  # gradients still flow through every layer


def test_measuring_leaves_the_model_as_it_was():
    model = classifier("test_resnet", head={"name": "linear", "dropout": 0.5}).train()
    model.conv1.requires_grad_(False).eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    wanted, modes = [p.requires_grad for p in model.parameters()], [m.training for m in model.modules()]
    costs = measure_costs(model, images(), nullcontext)
    assert 0 < costs.forward < 10 and 0 < costs.backward < 10
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == wanted
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())


def test_measuring_without_room_for_gradients():
    model = classifier().train()
    costs = measure_costs(model, images(), nullcontext, backward=False)
    assert 0 < costs.forward == pytest.approx(costs.backward / 3)
    assert model.training and all(p.grad is None for p in model.parameters())

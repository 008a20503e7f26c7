"""A model spread over two real processes: the very weights it gets whole, in parts, through kills and phases."""

import json
from pathlib import Path

import pytest
import torch
from processes import PREPARED, done, epochs, here, pair, start, tiny, wait_for_step, weights_hash
from small import classifier, images
from torch import nn

from zoo.distributed.fsdp import full_state, full_tensor, is_sharded, load_full_state, reshard_like, shard_units
from zoo.verbs.finetune import finetune

SPREAD = ["--processes", 2, "train.fsdp=true"]
ALIKE = ["optim.clip_norm=null", "train.channels_last=false"]
"""Norms of parts are added in another order, and parts are contiguous: all that differs."""

HELD = f"""{PREPARED}
import json
import zoo.training.trainer
from zoo.training.phase_runner import PhaseRunner

found = {{}}

def held(tensors):
    return sum(t.to_local().numel() if hasattr(t, "to_local") else t.numel() for t in tensors)

class Watched(PhaseRunner):
    def update(self, step, at):
        found["gradients"] = held([p.grad for p in self.learner.parameters()])
        super().update(step, at)
        found["weights"] = held(self.learner.parameters())
        found["average"] = held(self.ema.module.parameters())
        found["moments"] = held(s[k] for s in self.optimizer.optimizer.state.values() for k in ("exp_avg", "exp_avg_sq"))

zoo.training.trainer.PhaseRunner = Watched
fit(None)
found["whole"] = sum(p.numel() for p in setup.model.parameters())
Path(sys.argv[2], f"held{{processes.rank}}.json").write_text(json.dumps(found))
processes.accelerator.end_training()
"""


class Block(nn.Module):
    """A layer in a block."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Tree(nn.Module):
    """Two blocks in a block."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Block(), Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.left(x) + self.right(x)


class Members(nn.Module):
    """Lists whose members are called, one whose member is only read, blocks within a stage, shared ones, single layers."""

    def __init__(self) -> None:
        super().__init__()
        self.called = nn.ModuleList([Block(), nn.ReLU(), nn.Linear(2, 2)])
        self.read = nn.ModuleList([Block()])
        self.stages = nn.Sequential(nn.Sequential(Block(), Block()), nn.Sequential(Block()))
        self.alone, self.tree = Block(), Tree()
        self.tied = nn.ModuleList([Block(), Block(), Block()])
        self.tied[1].layer.weight, self.again = self.tied[0].layer.weight, self.tied[2]
        self.large, self.small = nn.Linear(2, 1_000_000), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in (*self.called, *self.tied, self.again, self.small, self.stages, self.alone, self.tree):
            x = module(x)
        return self.large(x @ self.read[0].layer.weight)


def test_blocks_are_what_is_called_and_nobody_elses():
    model = Members().train()
    found = shard_units(model, torch.ones(1, 2))
    assert found == ["called.0", "stages.0.0", "stages.0.1", "stages.1.0", "alone", "tree", "large"]
    assert model.training and not model._forward_pre_hooks and not model.called[0]._forward_pre_hooks


@pytest.mark.parametrize(
    ("backbone", "some"),
    [("test_resnet", "layer1.0"), ("test_vit", "blocks.0"), ("test_convnext", "stages.0.blocks.0"),
     ("test_efficientnet", "blocks.1.0"), ("inception_v3", "Mixed_5b"), ("vgg11", "pre_logits")],
)  # fmt: skip
@pytest.mark.parametrize("head", ["linear", "gru"])
def test_blocks_of_real_models(backbone, some, head):
    size = 96 if backbone == "inception_v3" else 32
    model = classifier(backbone, size, head=head)
    found = shard_units(model, images(1, size))
    assert len(found) == len(set(found)) and all(any(True for _ in model.get_submodule(n).parameters()) for n in found)
    if some == "pre_logits" and head == "gru":
        some = "features.18"  # the head reads the map before them
    assert ("backbone." if head == "gru" else "") + some in found


def test_blocks_leave_no_hook_behind_when_the_model_fails():
    model = Members()
    with pytest.raises(RuntimeError):
        shard_units(model, torch.ones(1, 3))
    assert not model._forward_pre_hooks


def test_what_is_not_spread_stays_as_it_is():
    model = classifier()
    state = full_state(model)
    assert not is_sharded(model.conv1[0].weight) and full_tensor(model.conv1[0].weight) is model.conv1[0].weight
    changed = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    load_full_state(model, changed)
    assert all(not tensor.any() for tensor in model.state_dict().values())
    last = torch.ones(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    laid = reshard_like(torch.arange(96.0).view(2, 3, 4, 4), last)
    assert laid.stride() == last.stride() and torch.equal(laid, torch.arange(96.0).view(2, 3, 4, 4))


@pytest.mark.parametrize(
    "settings",
    [
        ["schedule=gradual", "train.ema=0.9", "model.backbone=test_vit"],
        [
            "schedule=lp-ft",
            "schedule.patience=1",
            "train.epochs=10",
            "optim.lr=0.05",
            "optim.name=sgd",
            "optim.options.fused=false",
        ],
        ["schedule=none", "model.head=gru", "model.adapter=lora", "train.precision=bf16"],
    ],
    ids=["gradual-ema", "patience-sgd-batch-norm", "lora-gru-bf16"],
)
def test_spread_or_not_gives_the_same_weights(settings: list[str], tmp_path: Path) -> None:
    common = ["finetune", "--recipe", tiny(tmp_path), *ALIKE, *settings]
    done(*common, "--processes", 2, "--out", tmp_path / "whole")
    done(*common, *SPREAD, "--out", tmp_path / "spread")
    assert epochs(tmp_path / "spread") == epochs(tmp_path / "whole")
    assert weights_hash(tmp_path / "spread") == weights_hash(tmp_path / "whole")


def test_one_process_has_nobody_to_share_with(tmp_path: Path) -> None:
    for name, shard in (("whole", "false"), ("spread", "true")):
        finetune(str(tiny(tmp_path)), [f"train.fsdp={shard}"], out=tmp_path / name)
    assert weights_hash(tmp_path / "spread") == weights_hash(tmp_path / "whole")


def test_a_killed_spread_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    common = ["finetune", "--recipe", tiny(tmp_path), *SPREAD, "train.ema=0.9", "optim.name=lookahead_adamw"]
    done(*common, "--out", tmp_path / "unbroken")
    process = start(*common, "--out", tmp_path / "run")
    wait_for_step(tmp_path / "run", 8, process)
    process.kill()
    process.communicate(timeout=60)
    done("resume", tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(tmp_path / "unbroken")
    assert epochs(tmp_path / "run") == epochs(tmp_path / "unbroken")


def test_each_process_holds_its_part(tmp_path: Path) -> None:
    (tmp_path / "held.py").write_text(HELD)
    settings = ["schedule=none", "train.fsdp=true", "train.ema=0.9", "train.epochs=1", "train.accumulation=2"]
    for result in pair(tmp_path / "held.py", tiny(tmp_path), tmp_path, *settings):
        assert result.returncode == 0, result.stderr
    held = [json.loads((tmp_path / f"held{rank}.json").read_text()) for rank in (0, 1)]
    whole_model = held[0].pop("whole")
    assert held[1].pop("whole") == whole_model
    assert {name: held[0][name] + held[1][name] for name in held[0]} == {
        "gradients": whole_model, "weights": whole_model, "average": whole_model, "moments": 2 * whole_model,
    }  # fmt: skip
    assert all(0.45 * whole_model < member["weights"] < 0.55 * whole_model for member in held)


def test_the_plan_counts_a_part(tmp_path: Path) -> None:
    dry = ["finetune", "--recipe", tiny(tmp_path), "schedule=none", "--dry-run", "--json"]
    alone = json.loads(here(*dry, "train.fsdp=true").stdout)["memory_bytes"]["weights_and_optimiser"]
    parted = json.loads(done(*dry, *SPREAD).stdout)["memory_bytes"]["weights_and_optimiser"]
    assert parted == alone // 2


def test_a_model_with_shared_modules_trains_spread(tmp_path: Path) -> None:
    settings = ["schedule=none", "train.epochs=1", "data.limit=12", "data.batch_size=6"]
    settings += ["model.backbone=coat_lite_tiny", "data.image_size=64"]
    done("finetune", "--recipe", tiny(tmp_path), *SPREAD, *settings, "--out", tmp_path / "run")
    assert epochs(tmp_path / "run")[0]["step"] == 2

"""What a step and a validation do, seen from outside: how far weights move, what dropout draws, whose statistics count."""

import json

import torch
from processes import done, here, tiny
from safetensors.torch import load_file

STEP = ["data.limit=10", "train.epochs=1", "schedule=none", "optim.warmup_epochs=0", "optim.lr_schedule=constant"]
"""Ten images and batches of 16: a single step."""
PLAIN = ["optim.name=sgd", "optim.options.momentum=0", "optim.options.nesterov=false", "optim.weight_decay=0"]
HEAD = """
import torch
from torch import nn
from zoo.contracts import FeatureInfo

MASKS = []

class Dropping(nn.Module):
    def __init__(self, features, num_classes):
        super().__init__()
        self.dropout, self.linear = nn.Dropout(0.5), nn.Linear(features.channels, num_classes)

    def forward(self, x):
        if self.training:
            MASKS.append(self.dropout(torch.ones(64)).tolist())
        return self.linear(self.dropout(x.mean((2, 3))))
"""


def trained(tmp_path, name, *settings):
    """The parameters that a tiny run leaves, without buffers."""
    said = here("finetune", "--recipe", tiny(tmp_path), "--out", tmp_path / name, *settings)
    assert said.returncode == 0, said.stderr
    weights = load_file(tmp_path / name / "model" / "model.safetensors")
    return {key: value for key, value in weights.items() if "running_" not in key and "num_batches" not in key}


def test_a_clipped_step_is_as_long_as_rate_times_norm(tmp_path):
    start = trained(tmp_path, "start", *STEP, *PLAIN, "optim.lr=1e-30")
    moved = trained(tmp_path, "moved", *STEP, *PLAIN, "optim.lr=1", "optim.clip_norm=0.01")
    length = torch.sqrt(sum(((moved[key] - start[key]).double() ** 2).sum() for key in start))
    assert torch.isclose(length, torch.tensor(0.01, dtype=torch.float64), rtol=1e-3)


def test_dropout_draws_anew_in_each_step_and_alike_in_each_run(tmp_path, install):
    install("zoo-dropping", heads={"dropping": "zoo_dropping:Dropping"}, files={"zoo_dropping.py": HEAD})
    settings = ["model.head={name: dropping}", "schedule=none", "train.compile=false", "train.epochs=2"]
    drawn = []
    for name in ("one", "two"):
        trained(tmp_path, name, *settings)
        import zoo_dropping

        masks = [tuple(mask) for mask in zoo_dropping.MASKS if len(mask) == 64]
        drawn.append(masks[-10:])  # 2 epochs of 5 steps; what comes before are trials
        zoo_dropping.MASKS.clear()
    assert len(set(drawn[0])) == 10
    assert drawn[0] == drawn[1]


def test_validation_of_two_processes_sees_one_set_of_statistics(tmp_path):
    settings = ["schedule=none", "train.epochs=2", "train.compile=false", "train.precision=fp32"]
    done("finetune", "--recipe", tiny(tmp_path), "--out", tmp_path / "run", "--processes", 2, *settings)
    seen = json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]
    alone = here("evaluate", tmp_path / "run", "--split", "validation", "--json")
    assert abs(json.loads(alone.stdout)["log_loss"] - seen["log_loss"]) < 1e-4

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from zoo.data.loader import Batch, FeatureLoader, Shard
from zoo.errors import RunError, UsageError
from zoo.training.team import Team, agreed, resolve_precision, wants_cpu

CPU = not torch.cuda.is_available()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One process on the CPU, whatever the tests before were."""
    AcceleratorState._reset_state(reset_partial_state=True)
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "ZOO_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(("wanted", "found"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_precision_on_a_cpu(wanted, found):
    assert resolve_precision(wanted) == found
    team = Team(wanted)
    assert team.precision == found
    with team.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if found == "bf16" else torch.float32)


def test_a_team_changes_its_precision(tmp_path):
    team = Team("auto", tmp_path)
    other = team.computing_in("bf16")
    assert (team.computing_in("fp32"), other.precision, other.folder) == (team, "bf16", tmp_path)
    with other.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_fp16_needs_a_gpu():
    with pytest.raises(UsageError) as caught:
        Team("fp16")
    assert str(caught.value) == "train.precision: fp16 needs a GPU; on a CPU take bf16 or fp32"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ACCELERATE_USE_CPU": "true"}, True),
        ({"ACCELERATE_USE_CPU": "1"}, True),
        ({"ACCELERATE_USE_CPU": "false"}, False),
        ({"ACCELERATE_USE_CPU": "", "WORLD_SIZE": "1"}, False),
        ({"ACCELERATE_USE_CPU": "", "WORLD_SIZE": "2"}, CPU),
    ],
)
def test_wants_cpu(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_cpu() is expected


def test_fewer_processes_than_asked_for(monkeypatch):
    monkeypatch.setenv("ZOO_PROCESSES", "3")
    with pytest.raises(RunError) as caught:
        Team("fp32")
    assert str(caught.value) == ("3 processes were asked for, but Accelerate runs 1. Use zoo finetune --processes 3")


def test_alone_a_team_agrees_with_itself():
    team = Team("fp32")
    assert (team.rank, team.size, team.main, team.shard) == (0, 1, True, Shard(0, 1))
    assert team.agree(0.0, 1.0) == [0.0, 1.0]
    assert team.total(1.5, 2.5) == [1.5, 2.5]
    assert team.share({"a": 1}) == agreed({"a": 1}) == {"a": 1}
    team.wait()


def features(team: Team, count: int) -> FeatureLoader:
    values = torch.arange(count, dtype=torch.float32)[:, None] * torch.tensor([1.0, 10.0])
    return FeatureLoader([values], np.arange(count), team.device, team.shard)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_every_input_once_and_in_order(count, batch_size):
    team, ticks = Team("fp32"), []
    found = team.apply(lambda x: x.double() + 1, features(team, count), count, batch_size, ticks.append)
    assert found.dtype == torch.float32
    assert found.tolist() == [[i + 1.0, 10.0 * i + 1] for i in range(count)]
    assert sum(ticks) == count


def test_an_input_that_is_lost_is_noticed():
    class Short(FeatureLoader):
        def batches(self, order: list[np.ndarray], epoch: int = 0) -> Iterator[Batch]:
            return super().batches(order[:-1], epoch)

    team = Team("fp32")
    loader = features(team, 10)
    for count, batch_size, lost in ((10, 4, 2), (3, 4, 3)):
        with pytest.raises(RunError) as caught:
            team.apply(lambda x: x, Short(loader.views, loader.labels, team.device, team.shard), count, batch_size)
        assert str(caught.value) == f"{lost} of {count} images were not evaluated"


MEMBER = """
import json
import numpy as np, torch
from torch import nn
from zoo.data.loader import FeatureLoader
from zoo.training.team import Team, agreed

early = agreed("main's" if __import__("os").environ["RANK"] == "0" else "other's")
team = Team("fp32")
norm = nn.BatchNorm1d(2)
norm.running_mean += team.rank + 1
norm.num_batches_tracked += team.rank + 5
team.share_buffers(norm)
found = {}
for count in (1, 2, 7, 8):
    values = torch.arange(count, dtype=torch.float32)[:, None] * torch.tensor([1.0, 10.0])
    loader, ticks = FeatureLoader([values], np.arange(count), team.device, team.shard), []
    result = team.apply(lambda x: x + 1, loader, count, 3, ticks.append)
    found[count] = [result.tolist() == (values + 1).tolist(), sum(ticks)]
print(json.dumps({
    "rank": team.rank, "size": team.size, "main": team.main, "early": early,
    "agree": team.agree(float(team.rank), 0.0, 3.0 - team.rank),
    "total": team.total(team.rank + 0.5, 2.0),
    "share": team.share({"from": team.rank}),
    "buffers": [norm.running_mean.tolist(), int(norm.num_batches_tracked)],
    "apply": found,
}), flush=True)
team.wait()
team.accelerator.end_training()
"""


def test_two_processes():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ZOO_PROCESSES": "2",
        "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    members = [
        subprocess.Popen(
            [sys.executable, "-c", MEMBER],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [json.loads(member.communicate(timeout=120)[0].splitlines()[-1]) for member in members]
    assert [member.returncode for member in members] == [0, 0]
    same = {
        "size": 2,
        "early": "main's",
        "agree": [1.0, 0.0, 3.0],
        "total": [2.0, 4.0],
        "share": {"from": 0},
        "buffers": [[1.0, 1.0], 5],
        "apply": {str(count): [True, count] for count in (1, 2, 7, 8)},
    }
    assert said == [{"rank": 0, "main": True, **same}, {"rank": 1, "main": False, **same}]


def test_buffers_alone_stay():
    norm = nn.BatchNorm1d(2)
    norm.running_mean += 3
    Team("fp32").share_buffers(norm)
    assert norm.running_mean.tolist() == [3, 3]

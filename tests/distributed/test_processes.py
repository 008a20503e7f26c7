import json

import pytest
import torch
from processes import pair
from torch import nn

from zoo.data.loader import Shard
from zoo.distributed.processes import Processes, broadcast_value, resolve_precision, wants_cpu
from zoo.errors import RunError, UsageError

CPU = not torch.cuda.is_available()


pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.parametrize(("wanted", "found"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_precision_on_a_cpu(wanted, found):
    assert resolve_precision(wanted) == found
    processes = Processes(wanted)
    assert processes.precision == found
    with processes.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if found == "bf16" else torch.float32)


def test_the_precision_can_change(tmp_path):
    processes = Processes("auto", tmp_path)
    other = processes.with_precision("bf16")
    assert (processes.with_precision("fp32"), other.precision, other.folder) == (processes, "bf16", tmp_path)
    with other.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_fp16_needs_a_gpu():
    with pytest.raises(UsageError) as caught:
        Processes("fp16")
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
        Processes("fp32")
    assert str(caught.value) == ("3 processes were asked for, but Accelerate runs 1. Use zoo finetune --processes 3")


def test_one_process_agrees_with_itself():
    processes = Processes("fp32")
    assert (processes.rank, processes.size, processes.is_main, processes.shard) == (0, 1, True, Shard(0, 1))
    assert processes.all_reduce_max(0.0, 1.0) == [0.0, 1.0]
    assert processes.all_reduce_sum(1.5, 2.5) == [1.5, 2.5]
    assert processes.broadcast({"a": 1}) == broadcast_value({"a": 1}) == {"a": 1}
    processes.barrier()


MEMBER = """
import json
import numpy as np, torch
from torch import nn
from zoo.data.loader import FeatureLoader
from zoo.evaluation.inference import predict_all
from zoo.distributed.processes import Processes, broadcast_value

early = broadcast_value("main's" if __import__("os").environ["RANK"] == "0" else "other's")
processes = Processes("fp32")
norm = nn.BatchNorm1d(2)
norm.running_mean += processes.rank + 1
norm.num_batches_tracked += processes.rank + 5
processes.broadcast_buffers(norm)
found = {}
for count in (1, 2, 7, 8):
    values = torch.arange(count, dtype=torch.float32)[:, None] * torch.tensor([1.0, 10.0])
    loader, ticks = FeatureLoader([values], np.arange(count), processes.device, processes.shard), []
    result = predict_all(lambda x: x + 1, loader, processes, count, 3, ticks.append)
    found[count] = [result.tolist() == (values + 1).tolist(), sum(ticks)]
print(json.dumps({
    "rank": processes.rank, "size": processes.size, "main": processes.is_main, "early": early,
    "agree": processes.all_reduce_max(float(processes.rank), 0.0, 3.0 - processes.rank),
    "total": processes.all_reduce_sum(processes.rank + 0.5, 2.0),
    "share": processes.broadcast({"from": processes.rank}),
    "buffers": [norm.running_mean.tolist(), int(norm.num_batches_tracked)],
    "apply": found,
}), flush=True)
processes.barrier()
processes.accelerator.end_training()
"""


def test_two_processes():
    members = pair("-c", MEMBER)
    assert [member.returncode for member in members] == [0, 0], members
    said = [json.loads(member.stdout.splitlines()[-1]) for member in members]
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
    Processes("fp32").broadcast_buffers(norm)
    assert norm.running_mean.tolist() == [3, 3]

"""What cannot be spread over processes is said before there is a run folder, of two real processes too."""

from pathlib import Path

import pytest
from processes import run, tiny
from small import recipe

from zoo.errors import UsageError
from zoo.tuning import fsdp_check

REFUSED = {
    "optim.name=cadamw": "optim.name: 'cadamw' cannot be sharded over processes (train.fsdp): aten.clamp_",
    "optim.name=adafactorbv": "optim.name: 'adafactorbv' cannot be sharded over processes (train.fsdp): ",
    "optim.name=novograd": "optim.name: 'novograd' cannot be sharded over processes (train.fsdp): AssertionError. Try adamw",
    "model.backbone=dm_nfnet_f0": "model.backbone: 'dm_nfnet_f0' cannot be sharded over processes (train.fsdp): fully_shard",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_cannot_be_spread_is_named_before_there_is_a_folder(setting: str, tmp_path: Path) -> None:
    result = run(
        "finetune", "--recipe", tiny(tmp_path), "--processes", 2, "train.fsdp=true", setting, "--out", tmp_path / "run"
    )
    assert result.returncode == 2 and result.stderr.startswith(f"error: {REFUSED[setting]}")
    assert result.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"train": {"compile": True}},
         "train.compile: a sharded model (train.fsdp) is not compiled. Pass train.compile=false"),
        ({"train": {"channels_last": True}},
         "train.channels_last: sharded weights (train.fsdp) are contiguous. Pass train.channels_last=false"),
        ({"data": {"batch_size": "auto"}},
         "data.batch_size: auto tries the whole model, not a sharded one (train.fsdp). "
         "Pass a number, as data.batch_size=64"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_of_a_spread_model(sections: dict, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        fsdp_check._check_settings(recipe(**sections))
    assert str(caught.value) == said

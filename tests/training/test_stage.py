"""A phase made ready in other ways than the plain one."""

import shutil
from pathlib import Path

import pytest
import timm
from processes import done, epochs, tiny


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.timeout(1800)
def test_a_compiled_run_trains_through_its_phases_and_leaves_a_plain_model(tmp_path: Path) -> None:
    recipe, settings = tiny(tmp_path), ("train.epochs=2", "train.ema=0.9", "data.augment.flip=false")
    done("finetune", "--recipe", recipe, *settings, "--out", tmp_path / "plain")
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    done("finetune", "--recipe", recipe, *settings, "train.compile=true", "--out", tmp_path / "compiled", **cache)
    for plain, compiled in zip(epochs(tmp_path / "plain"), epochs(tmp_path / "compiled"), strict=True):
        assert compiled["train_loss"] == pytest.approx(plain["train_loss"], rel=0.1)
    timm.create_model(f"local-dir:{tmp_path / 'compiled' / 'model'}", pretrained=True)

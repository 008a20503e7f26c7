"""Whatever ends a run, `zoo resume` goes on to the very weights of a run that nothing ended."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import epochs, here, start, step_to_kill_at, stop_at, tiny, wait_for_step, weights_hash

from zoo.errors import RunError
from zoo.verbs.resume import resume

EXTRA = ["train.ema=0.9", "data.augment.mixup=0.2", "train.accumulation=2", "data.batch_size=8"]
"""9 batches of 8 images an epoch: 5 steps, the last of a short window."""


def arguments(folder: Path, name: str) -> list[object]:
    return ["finetune", "--recipe", tiny(folder), "--out", folder / name, *EXTRA]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing ended."""
    folder = tmp_path_factory.mktemp("unbroken")
    assert here(*arguments(folder, "run")).returncode == 0
    return folder / "run"


STEPS = {"first phase": (1, 4), "phase boundary": (5, 5), "second phase": (6, 14)}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_killed_run_goes_on_bit_for_bit(steps: tuple[int, int], unbroken: Path, tmp_path: Path) -> None:
    step = step_to_kill_at(*steps)
    code, _ = stop_at(tmp_path / "run", step, signal.SIGKILL, *arguments(tmp_path, "run"))
    assert code == -signal.SIGKILL
    assert not (tmp_path / "run" / "metrics.json").exists()
    resume(tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(unbroken)
    assert epochs(tmp_path / "run") == epochs(unbroken)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_and_says_how_to_go_on(
    number: signal.Signals, code: int, unbroken: Path, tmp_path: Path
) -> None:
    returned, err = stop_at(tmp_path / "run", 7, number, *arguments(tmp_path, "run"))
    assert returned == code
    newest = max(int(p.name[5:]) for p in (tmp_path / "run" / "checkpoints").glob("step-*"))
    assert err.splitlines()[-1] == (
        f"error: stopped after step {newest}, which is saved. Go on with: zoo resume {tmp_path / 'run'}"
    )
    resume(tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(unbroken)


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(unbroken: Path, tmp_path: Path) -> None:
    stop_at(tmp_path / "run", 8, signal.SIGTERM, *arguments(tmp_path, "run"))
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    content = bytearray((newest / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "model.safetensors").write_bytes(content)
    result = here("resume", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert (
        f"warning: checkpoint {newest.name} is damaged (model.safetensors has other content than was written); "
        "going back to the one before"
    ) in result.stderr.splitlines()
    assert weights_hash(tmp_path / "run") == weights_hash(unbroken)


def test_a_run_without_a_checkpoint_starts_over(unbroken: Path, tmp_path: Path) -> None:
    stop_at(tmp_path / "run", 1, signal.SIGKILL, *arguments(tmp_path, "run"))
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    resume(tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(unbroken)


def test_a_finished_run_is_not_resumed(unbroken: Path) -> None:
    with pytest.raises(RunError) as caught:
        resume(unbroken)
    assert str(caught.value) == f"{unbroken} is finished; see its result: zoo evaluate {unbroken}"


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        resume(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is not a run folder (it has no recipe.yaml). Start one: zoo finetune --recipe NAME --out {tmp_path}"
    )


def test_a_running_run_is_locked(tmp_path: Path) -> None:
    process = start(*arguments(tmp_path, "run"))
    try:
        wait_for_step(tmp_path / "run", 1, process)
        process.send_signal(signal.SIGSTOP)
        result = here("resume", tmp_path / "run")
    finally:
        process.kill()
        process.communicate()
    assert result.returncode == 1
    held = f"error: {tmp_path / 'run'} is in use by process {process.pid} on "
    assert result.stderr.startswith(held) and result.stderr.endswith("; wait for it or stop it\n")


def test_changed_data_is_noticed(tmp_path: Path) -> None:
    from PIL import Image

    for name, colour in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (8, 8), colour).save(tmp_path / "data" / name / f"{i}.png")
    source = f"data.source={tmp_path / 'data'}"
    stop_at(tmp_path / "run", 1, signal.SIGKILL, *arguments(tmp_path, "run"), source)
    (tmp_path / "data" / "cat" / "0.png").unlink()
    with pytest.raises(
        RunError, match=r"^the data of .*/run changed since it started \(fingerprint \w{16}, was \w{16}\)"
    ):
        resume(tmp_path / "run")


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        result = here("finetune", "--recipe", tiny(tmp_path), "--out", disk / "run")
        assert result.returncode == 1
        last = result.stderr.splitlines()[-1]
        assert last.startswith(f"error: the disk is full: {disk / 'run' / 'checkpoints'} needs ")
        assert last.endswith(f"Earlier checkpoints are kept; make room, then: zoo resume {disk / 'run'}")
        kept = [p.name for p in (disk / "run" / "checkpoints").iterdir()]
        assert kept and all(name.startswith("step-") for name in kept)
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        resume(disk / "run")
        assert (disk / "run" / "metrics.json").is_file()
    finally:
        subprocess.run(["umount", "-l", disk], check=sys.platform == "linux")

import errno
import hashlib
import os
import re
from pathlib import Path

import pytest
from disks import read_only, small_disk

from zoo.errors import DiskFull, RunError
from zoo.storage.atomic import disk_faults, sha256, sync_tree, write_text


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"zoo" * 10_000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"zoo" * 10_000).hexdigest()


def test_write_text_replaces_the_whole_file(tmp_path):
    path = tmp_path / "deep" / "a.json"
    for text in ("long text, é and 日本", "b"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
        assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_write_text_keeps_the_old_file_when_it_fails(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "\ud800")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_permissions_are_those_of_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        (tmp_path / "a").touch(mode=0o600)
        sync_tree(tmp_path)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_text_on_a_full_disk(tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        write_text(disk / "a", "old")
        stats = os.statvfs(disk)
        (disk / "other").write_bytes(b"x" * (stats.f_bavail * stats.f_frsize))
        with pytest.raises(DiskFull) as caught:
            write_text(disk / "a", "new " * 1000)
        assert str(caught.value) == (
            f"the disk is full: {disk} needs 0 MB, 0 MB are free. Earlier checkpoints are kept; make room"
        )
        assert sorted(p.name for p in disk.iterdir()) == ["a", "other"]
        assert (disk / "a").read_text() == "old"
        (disk / "other").unlink()
        read_only(disk)
        with pytest.raises(RunError) as caught:
            write_text(disk / "a", "new")
        assert str(caught.value) == f"{disk} cannot be written: Read-only file system"


FULL = "the disk is full: {folder} needs 2 MB, [0-9,]+ MB are free. Earlier checkpoints are kept; make room"


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull, FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull, FULL),
        (OSError(errno.EFBIG, "File too large"), DiskFull, FULL),
        (RuntimeError("I/O error: No space left on device (os error 28)"), DiskFull, FULL),  # safetensors
        (OSError(errno.EIO, "Input/output error"), RunError, "{folder} cannot be written: Input/output error"),
        (OSError("odd"), RunError, "{folder} cannot be written: odd"),
        (ZeroDivisionError("no fault of the disk"), ZeroDivisionError, "no fault of the disk"),
        (RunError("it is taken"), RunError, "it is taken"),
    ],
)
def test_faults_of_disks(tmp_path: Path, fault, error, message):
    with pytest.raises(error) as caught, disk_faults(tmp_path, 2_000_000):
        raise fault
    assert re.fullmatch(message.format(folder=tmp_path), str(caught.value))


def test_what_cannot_fit_is_not_begun(tmp_path):
    with pytest.raises(DiskFull), disk_faults(tmp_path, 2**62):
        pytest.fail("it was begun")

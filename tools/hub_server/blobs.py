"""Contents, named by their sha256, and what git would call them."""

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .answers import PIECE, Refusal
from .files import make_folder, publish

LARGE_BYTES = 10_000_000
BINARY = {".safetensors", ".bin", ".pt", ".pth", ".npz", ".parquet", ".onnx", ".h5", ".zip", ".gz"}


@dataclass(frozen=True)
class File:
    """One file of a commit. `oid` is git's name for it: of the pointer if `lfs`. `mtime_ns` if it lies in a folder."""

    size: int
    sha256: str
    oid: str
    lfs: bool
    mtime_ns: int | None = None

    @property
    def pointer_size(self) -> int:
        return len(pointer(self.sha256, self.size))


def pointer(sha256: str, size: int) -> bytes:
    """What git keeps of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def git_oid(pieces: Iterable[bytes], size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file goes the way of large files: big, or binary by its name or its first bytes."""
    return size > LARGE_BYTES or (size > 0 and (PurePosixPath(path).suffix.lower() in BINARY or b"\0" in sample))


def pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def describe(path: Path, name: str, mtime_ns: int | None = None, large: bool | None = None) -> File:
    """A file on disk as part of a commit, under the given name."""
    digest, size, sample = hashlib.sha256(), 0, b""
    for piece in pieces_of(path):
        sample = sample or piece[:512]
        size += len(piece)
        digest.update(piece)
    lfs = is_large(name, size, sample) if large is None else large
    sha256 = digest.hexdigest()
    oid = git_oid([text := pointer(sha256, size)], len(text)) if lfs else git_oid(pieces_of(path), size)
    return File(size, sha256, oid, lfs, mtime_ns)


class Blobs:
    """A folder of contents. Unfinished ones lie in `incoming` and are forgotten at the next start."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.incoming = folder / "blobs", folder / "incoming"
        shutil.rmtree(self.incoming, ignore_errors=True)
        make_folder(self.incoming)

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def add(self, pieces: Iterable[bytes], sha256: str | None = None) -> str:
        """Keeps a content; returns its sha256, which must be the expected one."""
        beside = self.incoming / secrets.token_hex(8)
        digest = hashlib.sha256()
        try:
            with beside.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
            found = digest.hexdigest()
            if sha256 not in (None, found):
                raise Refusal(400, f"the content sent has sha256 {found}, not {sha256}")
            publish(beside, self.path(found))
        finally:
            beside.unlink(missing_ok=True)
        return found

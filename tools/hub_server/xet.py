"""The upload protocol of newer clients: files come as chunks in xorbs, and shards say how to put them together.

The formats are those of the public specification (huggingface.co/docs/xet): a xorb is a row of chunks, each with a
header of 8 bytes (version, packed size, packing, size); a shard is a row of records of 48 bytes. Xorbs are kept, as
later uploads refer to what earlier ones sent. Files are put together at once and checked by their sha256; downloads
then go the plain way.
"""

import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .answers import Refusal
from .blobs import Blobs
from .files import publish, read_json, write_json

RECORD = 48
HEADER_TAG = b"HFRepoMetaData\0"
VERIFIED, WITH_SHA256 = 1 << 31, 1 << 30
END = b"\xff" * 32
PLAIN, LZ4, GROUPED_LZ4 = 0, 1, 2
LZ4_MAGIC = 0x184D2204


class Term(NamedTuple):
    """Chunks `start` to `end` (exclusive) of a xorb."""

    xorb: str
    start: int
    end: int


class Xet:
    """Where xorbs are kept and shards become contents.

    Its `name` is a part of its address: clients remember by address what they uploaded, and must not take another
    folder, served at the same port, for this one.
    """

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self.folder, self.blobs = folder, blobs
        if read_json(folder / "name.json") is None:
            write_json(folder / "name.json", secrets.token_hex(8))
        self.name: str = read_json(folder / "name.json")

    def keep(self, xorb: str, content: bytes) -> None:
        chunks(content)
        beside = self.blobs.incoming / secrets.token_hex(8)
        beside.write_bytes(content)
        publish(beside, self._path(xorb))

    def assemble(self, shard: bytes) -> None:
        """Makes every file of a shard a content."""
        for sha256, terms in files(shard):
            self.blobs.add(self._pieces(terms), sha256)

    def _path(self, xorb: str) -> Path:
        return self.folder / xorb[:2] / xorb

    def _pieces(self, terms: list[Term]) -> Iterator[bytes]:
        for term in terms:
            if not (path := self._path(term.xorb)).is_file():
                raise Refusal(400, f"xorb {term.xorb} was never uploaded")
            content = path.read_bytes()
            for start, size, packing, unpacked in chunks(content)[term.start : term.end]:
                yield unpack(content[start : start + size], packing, unpacked)


def chunks(xorb: bytes) -> list[tuple[int, int, int, int]]:
    """Of each chunk: where it starts, its packed size, packing and size. What follows the last one is an index."""
    found, at = [], 0
    while at + 8 <= len(xorb) and xorb[at] == 0:
        size, unpacked = (int.from_bytes(xorb[at + i : at + i + 3], "little") for i in (1, 5))
        found.append((at + 8, size, xorb[at + 4], unpacked))
        at += 8 + size
    if not found or at > len(xorb):
        raise Refusal(400, "this is no xorb, or only a part of one")
    return found


def files(shard: bytes) -> Iterator[tuple[str, list[Term]]]:
    """The sha256 and the terms of each file of a shard."""
    if not shard.startswith(HEADER_TAG):
        raise Refusal(400, "this is no shard")
    try:
        at = RECORD
        while shard[at : at + 32] != END:
            flags, count = struct.unpack_from("<II", shard, at + 32)
            rows = [struct.unpack_from("<32sIIII", shard, at + RECORD * (1 + row)) for row in range(count)]
            at += RECORD * (1 + count * (2 if flags & VERIFIED else 1))
            if not flags & WITH_SHA256:
                raise Refusal(400, "a file of this shard has no sha256")
            yield hexadecimal(shard[at : at + 32]), [Term(hexadecimal(row[0]), row[3], row[4]) for row in rows]
            at += RECORD
    except struct.error:
        raise Refusal(400, "this is only a part of a shard") from None


def hexadecimal(digest: bytes) -> str:
    """How the protocol writes hashes: four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", digest))


def unpack(chunk: bytes, packing: int, size: int) -> bytes:
    content = chunk if packing == PLAIN else lz4(chunk)
    if packing == GROUPED_LZ4:
        content = ungroup(content)
    if packing > GROUPED_LZ4 or len(content) != size:
        raise Refusal(400, "a chunk of a xorb does not unpack to its size")
    return content


def ungroup(grouped: bytes) -> bytes:
    """Undoes the grouping of every fourth byte."""
    content, at = bytearray(len(grouped)), 0
    for first in range(4):
        size = len(content[first::4])
        content[first::4] = grouped[at : at + size]
        at += size
    return bytes(content)


def lz4(frame: bytes) -> bytes:
    """Unpacks an LZ4 frame (github.com/lz4/lz4, doc/lz4_Frame_format.md and lz4_Block_format.md)."""
    try:
        magic, flags = struct.unpack_from("<IB", frame)
        at = 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
        if magic != LZ4_MAGIC:
            raise ValueError
        out = bytearray()
        while size := int.from_bytes(frame[at : at + 4], "little"):
            block = frame[at + 4 : at + 4 + (size & 0x7FFFFFFF)]
            if size >> 31:
                out += block
            else:
                _lz4_block(block, out)
            at += 4 + len(block) + (4 if flags & 16 else 0)
            if at + 4 > len(frame):
                raise ValueError
        return bytes(out)
    except (struct.error, IndexError, ValueError):
        raise Refusal(400, "a chunk of a xorb does not unpack") from None


def _lz4_block(block: bytes, out: bytearray) -> None:
    """Adds what a block says: literals and copies of what came before, in turns."""
    at, end = 0, len(block)
    while at < end:
        token = block[at]
        at, count = _length(block, at + 1, token >> 4)
        out += block[at : at + count]
        at += count
        if at >= end:
            return
        back = block[at] | block[at + 1] << 8
        at, count = _length(block, at + 2, token & 15)
        count += 4
        start = len(out) - back
        if back == 0 or start < 0:
            raise ValueError
        seen = out[start : start + count]
        out += seen if back >= count else (seen * (count // back + 1))[:count]


def _length(block: bytes, at: int, count: int) -> tuple[int, int]:
    if count == 15:
        while (more := block[at]) == 255:
            count, at = count + 255, at + 1
        count, at = count + more, at + 1
    return at, count

"""The formats of the chunked upload protocol: hand-made examples of each kind, and what is refused."""

import struct

import pytest
from hub_server.answers import Refusal
from hub_server.xet import END, HEADER_TAG, RECORD, Term, chunks, files, hexadecimal, lz4, ungroup, unpack


def frame(*blocks: bytes, flags: int = 0x60, plain: bool = False) -> bytes:
    """An LZ4 frame; the header's checksum, which is not looked at, is 0."""
    sizes = (struct.pack("<I", len(block) | (1 << 31 if plain else 0)) for block in blocks)
    body = b"".join(size + block for size, block in zip(sizes, blocks, strict=True))
    return struct.pack("<IBBB", 0x184D2204, flags, 0x40, 0) + body + bytes(4)


def chunk(content: bytes, packing: int, size: int) -> bytes:
    return b"\0" + len(content).to_bytes(3, "little") + bytes([packing]) + size.to_bytes(3, "little") + content


@pytest.mark.parametrize(
    ("block", "content"),
    [
        (b"\x50hello", b"hello"),
        (b"\x32abc\x03\x00\x10!", b"abcabcabc!"),
        (b"\x1fa\x01\x00\x05\x10b", b"a" * 25 + b"b"),
        (b"\xf0\x05" + b"x" * 20, b"x" * 20),
        (b"\xf0\xff\x00" + b"y" * 270, b"y" * 270),
    ],
    ids=["literals", "copy", "overlapping copy", "long literals", "very long literals"],
)
def test_lz4_blocks(block: bytes, content: bytes) -> None:
    assert lz4(frame(block)) == content


def test_lz4_frames() -> None:
    assert lz4(frame(b"\x50hello", b"\x01\x05\x00")) == b"hello" + b"hello"
    assert lz4(frame(b"hello", plain=True)) == b"hello"
    assert lz4(frame()) == b""


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"no frame at all",
        frame(b"\x50hello")[:-6],
        frame(b"\x11a\x09\x00"),
        frame(b"\x11a\x00\x00"),
        frame(b"\xf0"),
    ],
    ids=["empty", "other", "cut", "copy of what is before the start", "copy of nothing", "no length"],
)
def test_broken_lz4_is_refused(broken: bytes) -> None:
    with pytest.raises(Refusal, match="does not unpack"):
        lz4(broken)


@pytest.mark.parametrize("size", range(9))
def test_grouped_bytes_come_back(size: int) -> None:
    content = bytes(range(size))
    assert ungroup(b"".join(content[first::4] for first in range(4))) == content


def test_a_xorb_is_a_row_of_chunks() -> None:
    xorb = chunk(b"plain", 0, 5) + chunk(frame(b"\x32abc\x03\x00\x10!"), 1, 10) + b"XETBLOB and an index"
    (first, second) = chunks(xorb)
    assert [unpack(xorb[at : at + size], packing, n) for at, size, packing, n in (first, second)] == [
        b"plain",
        b"abcabcabc!",
    ]
    for broken in (b"", b"XETBLOB", xorb[:10]):
        with pytest.raises(Refusal, match="this is no xorb"):
            chunks(broken)
    with pytest.raises(Refusal, match="does not unpack to its size"):
        unpack(b"plain", 0, 6)
    with pytest.raises(Refusal, match="does not unpack to its size"):
        unpack(frame(b"\x50hello"), 9, 5)


def test_a_shard_names_files_and_their_terms() -> None:
    def hashed(byte: int) -> bytes:
        return bytes([byte]) * 32

    header = HEADER_TAG.ljust(32, b"\0") + struct.pack("<QQ", 2, 0)
    with_all = hashed(1) + struct.pack("<II8x", 3 << 30, 1)
    entry = hashed(2) + struct.pack("<IIII", 0, 5, 3, 7)
    verification, digest = hashed(3) + bytes(16), bytes(range(32)) + bytes(16)
    shard = header + with_all + entry + verification + digest + END + bytes(16)
    assert list(files(shard)) == [(hexadecimal(bytes(range(32))), [Term("02" * 32, 3, 7)])]
    assert hexadecimal(bytes(range(32))).startswith("0706050403020100")
    for broken, said in (
        (b"other", "this is no shard"),
        (shard[: RECORD * 2], "only a part of a shard"),
        (header + hashed(1) + struct.pack("<II8x", 0, 0) + END, "has no sha256"),
    ):
        with pytest.raises(Refusal, match=said):
            list(files(broken))

"""What the client sent: path, query, token, body."""

import json
from collections.abc import Iterator
from email.message import Message
from typing import Any, BinaryIO
from urllib.parse import parse_qs

from .answers import PIECE, Refusal

LARGEST_FORM = 256 << 20
"""Bytes of a body that is read as a whole: a commit with its small files."""


class CutBody(Exception):
    """The connection ended before the body did."""


class Request:
    """One request. `endpoint` is how the client addressed this server."""

    def __init__(self, method: str, target: str, headers: Message, stream: BinaryIO, endpoint: str) -> None:
        self.method, self.headers, self.endpoint = method, headers, endpoint
        self.path, _, query = target.partition("?")
        self.query = {name: values[-1] for name, values in parse_qs(query).items()}
        self._stream = stream
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        length = headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise Refusal(400, f"Content-Length: {length!r} is no number")
        self._left = int(length)
        self.read = not self._chunked and not self._left
        """Whether nothing of the body is left in the connection."""

    @property
    def authorization(self) -> str | None:
        return self.headers.get("Authorization")

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    def pieces(self) -> Iterator[bytes]:
        """The body, piece by piece."""
        yield from self._chunks() if self._chunked else self._exactly(self._left)
        self.read = True

    def body(self) -> bytes:
        read = bytearray()
        for piece in self.pieces():
            read += piece
            if len(read) > LARGEST_FORM:
                raise Refusal(
                    413, f"more than {LARGEST_FORM >> 20} MiB in one request; send large files as large files"
                )
        return bytes(read)

    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body() or b"{}")
        except ValueError as error:
            raise Refusal(400, f"the body is no JSON: {error}") from None
        if not isinstance(value, dict):
            raise Refusal(400, "the body is no JSON object")
        return value

    def form(self) -> dict[str, list[str]]:
        """A body of either kind: a form, or JSON with the same names."""
        if "json" in self.headers.get("Content-Type", ""):
            return {key: value if isinstance(value, list) else [value] for key, value in self.json().items()}
        return parse_qs(self.body().decode("utf-8", "replace"))

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not (piece := self._stream.read(min(size, PIECE))):
                raise CutBody
            size -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                size = int(self._stream.readline(1024).split(b";")[0], 16)
            except ValueError:
                raise CutBody from None
            if size == 0:
                while self._stream.readline(65536).strip():
                    pass
                return
            yield from self._exactly(size)
            self._stream.readline(8)

"""What the server says: answers with their headers, and refusals in the Hub's own words."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PIECE = 1 << 20


@dataclass(frozen=True)
class Part:
    """`size` bytes of a file, from `start` on."""

    path: Path
    start: int
    size: int

    def pieces(self) -> Iterator[bytes]:
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.start)
            while left and (piece := file.read(min(left, PIECE))):
                left -= len(piece)
                yield piece


@dataclass
class Answer:
    """Status, headers and body; `Content-Length` is the server's business."""

    body: bytes | Part = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.body.size if isinstance(self.body, Part) else len(self.body)

    def pieces(self) -> Iterator[bytes]:
        yield from self.body.pieces() if isinstance(self.body, Part) else [self.body]


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json; charset=utf-8", **named})


class Refusal(Exception):
    """An answer that says no. `code` is what the client tells errors apart by (`X-Error-Code`)."""

    def __init__(self, status: int, message: str, code: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.more = status, message, code, more

    def answer(self) -> Answer:
        answer = as_json({"error": self.message, **self.more}, self.status)
        answer.headers["X-Error-Message"] = ascii(self.message)[1:-1]
        if self.code:
            answer.headers["X-Error-Code"] = self.code
        return answer

"""Answers that trickle: what keeps sending a byte now and then has hung, too."""

import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

SLOWEST = 1_000
"""Bytes a second; a server that sends less for as long as it may take to answer is left."""


class SlowResponse(TimeoutError):
    """An answer comes too slowly ever to end."""


def watched(stream: Any, seconds: float) -> Any:
    """The body of an answer, which raises Trickle where it does; a stream of the client's own kind."""
    from huggingface_hub.errors import HTTPError

    class Watched(import_module(HTTPError.__module__).SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return steady(stream, seconds)

        def close(self) -> None:
            stream.close()

    return Watched()


def steady(pieces: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    """The pieces as they come. Raises Trickle where `seconds` of waiting brought less than `SLOWEST` bytes a second.

    What the reader does between two pieces is not counted.
    """
    source, waited, size = iter(pieces), 0.0, 0
    while True:
        began = time.monotonic()
        piece = next(source, None)
        waited += time.monotonic() - began
        if piece is None:
            return
        size += len(piece)
        if waited >= seconds:
            if size < SLOWEST * seconds:
                raise SlowResponse(f"{size:,} bytes in {waited:,.1f} s")
            waited, size = 0.0, 0
        yield piece

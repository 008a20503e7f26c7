"""Failures on purpose: what a client must survive, one request at a time.

    drop        the connection closes without an answer          hang      no answer until `release()`
    cut         half of the body, then the connection closes     status    an error of that number
    truncate    half of the body, said to be all                 flip      one bit of the body is wrong
    drip        a byte of the body each `pause_s`, until `release()`

`drop` and `hang` come before the request has any effect, or with `after=True` when it has had it.
"""

import re
import threading
from dataclasses import dataclass

KINDS = ("drop", "hang", "cut", "truncate", "flip", "drip", "status")


@dataclass
class Fault:
    """Meets `times` requests whose method and path (without the query) match, after letting `skip` of them pass."""

    method: str
    path: str
    kind: str
    times: int = 1
    skip: int = 0
    after: bool = False
    status: int = 503
    retry_after: int | None = None
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no fault (has: {', '.join(KINDS)})")


class Faults:
    """Those still to come. `met` counts the requests that met one."""

    def __init__(self) -> None:
        self.met = 0
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()
        self._released = threading.Event()

    def add(self, method: str, path: str, kind: str, **more: float | bool | None) -> None:
        """`path` is a regular expression, searched for."""
        with self._lock:
            self._waiting.append(Fault(method, path, kind, **more))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def release(self) -> None:
        """Ends all that hang or drip, for good."""
        self._released.set()

    def hang(self, seconds: float | None = None) -> bool:
        """Until `release()`, or so long; whether it was released."""
        return self._released.wait(seconds)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault this request meets."""
        with self._lock:
            for fault in self._waiting:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    self.met += 1
                    return fault
        return None

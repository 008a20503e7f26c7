"""SIGINT and SIGTERM: the first asks for a stop at the next step, the second ends the process at once."""

import os
import signal
import threading
from types import FrameType
from typing import Any

from zoo.errors import RunError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
RUNNING = threading.Lock()
"""Held by the one run of a process."""


class StopFlag:
    """`with StopFlag() as stop:` — `stop.signal` is 0 until a signal arrives, then its number."""

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopFlag":
        if not RUNNING.acquire(blocking=False):
            raise RunError(
                "another run is at work in this process, and both would draw from the same random numbers; take a process each"
            )
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._ask) for s in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        RUNNING.release()

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)
        self.signal = number

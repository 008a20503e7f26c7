"""Several processes on this machine: start them, pass signals on, leave no orphan, and speak with one voice."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import IO

GRACE_S = 30.0
"""How long processes may take to end after the first of them failed or a signal came."""


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `python -m zoo ARGUMENTS` in `processes` processes that train together; the exit code of the first to fail."""
    with ExitStack() as held:
        voices = [held.enter_context(tempfile.TemporaryFile()) if rank else None for rank in range(processes)]
        return _launch(arguments, processes, voices)


def _launch(arguments: Sequence[str], processes: int, voices: Sequence[IO[bytes] | None]) -> int:
    """voices: where each process writes its errors, None for the terminal."""
    port, alive = _free_port(), os.pipe()
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "zoo", *arguments],
            env={**os.environ, **_variables(rank, processes, port, alive[0])},
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=voices[rank],
            pass_fds=[alive[0]],
            start_new_session=True,
        )
        for rank in range(processes)
    ]
    os.close(alive[0])
    asked = _pass_on_signals(children)
    culprit = _wait(children, asked)
    code = children[culprit].returncode
    if code < 0 and not asked:
        why = f"{signal.Signals(-code).name}{', perhaps for want of memory' if code == -signal.SIGKILL else ''}"
        print(
            f"error: process {culprit + 1} of {processes} was ended by {why}. Go on with: zoo resume RUN",
            file=sys.stderr,
        )
    elif culprit and children[0].returncode in (0, -signal.SIGTERM, -signal.SIGKILL) and not asked:
        voices[culprit].seek(0)
        sys.stderr.write(voices[culprit].read().decode(errors="replace"))
    return 128 - code if code < 0 else code


def _variables(rank: int, processes: int, port: int, alive: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ZOO_PROCESSES": str(processes),
        "ZOO_LAUNCHER_FD": str(alive),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0"),
        # `python -m` would let files of the current folder stand in for installed plugins, which `zoo` itself does not.
        "PYTHONSAFEPATH": "" if {"", os.getcwd()} & set(sys.path) else "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes))),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _pass_on_signals(children: Sequence[subprocess.Popen]) -> list[int]:
    """Signals received so far; each is handed to every process."""
    asked: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        for process in children:
            if process.poll() is None:
                process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hand_on)
    return asked


def _wait(children: Sequence[subprocess.Popen], asked: list[int]) -> int:
    """Wait for all; once one failed the others get a little time, then are ended. Returns the rank that failed first, else 0."""
    culprit, deadline = 0, None
    while any(process.poll() is None for process in children):
        failed = [rank for rank, process in enumerate(children) if process.returncode]
        if failed and deadline is None:
            killed = [rank for rank in failed if children[rank].returncode < 0]  # what the others then say is no cause
            culprit, deadline = (killed or failed)[0], time.monotonic() + (GRACE_S if asked else 5.0)
        if deadline is not None and time.monotonic() > deadline:
            for process in children:
                process.kill()
        time.sleep(0.05)
    if deadline is None:
        codes = [process.returncode for process in children]
        culprit = next(
            (rank for rank in sorted(range(len(codes)), key=lambda rank: codes[rank] >= 0) if codes[rank]), 0
        )
    return culprit


def end_with_launcher() -> None:
    """In a launched process: end at once when the launcher is gone, however it went."""
    descriptor = os.environ.get("ZOO_LAUNCHER_FD")
    if descriptor is None:
        return

    def watch() -> None:
        os.read(int(descriptor), 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

"""Python processes that are forked from a server which has imported torch and `zoo`, in place of cold starts.

Each is a real process: it has its own pid, signals, environment, folder and streams, and can be killed. What libraries
read at import stays as the server found it; a process for which that matters starts cold, or imports them itself.
"""

import atexit
import inspect
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fork_server import NUMBER, frozen

TORCH = (
    *("numpy", "torch", "torch.distributed", "torch._dynamo", "torchvision", "torch.utils.tensorboard", "PIL.Image"),
    *("pyarrow.parquet", "pandas", "sklearn.metrics", "safetensors.torch", "rich.progress", "pydantic", "yaml"),
)
"""Libraries that read nothing of the environment about the Hub. None of them starts a thread when it is imported."""
ZOO = (*TORCH, "timm", "datasets", "accelerate", "zoo.cli.finetune_", "zoo.verbs.finetune", "zoo.verbs.probe")
"""What `zoo` imports, too."""
HUB = ("HF_", "HOME", "HUGGINGFACE", "XDG_")
"""How variables begin that the clients of the Hub read at import."""

_execute_child = inspect.signature(subprocess.Popen._execute_child)


class Server:
    """A server that has imported some modules in the environment of the tests."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._requests, theirs = socket.socketpair()
        self._turn = threading.Lock()
        quiet = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}  # Arrow's allocator would start a thread
        script = Path(__file__).with_name("fork_server.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(script), str(theirs.fileno()), "." * 4000, *modules],
                env={**os.environ, **quiet},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,  # a pipe: Python remembers places in files
                stderr=subprocess.PIPE,
            )

    def ask(self, request: Mapping[str, Any], files: Sequence[int]) -> tuple[int, socket.socket]:
        """The pid of a new process, and the socket on which its exit code will come."""
        answer, theirs = socket.socketpair()
        content = json.dumps(request).encode()
        with theirs, self._turn:
            socket.send_fds(self._requests, [NUMBER.pack(len(content))], [*files, theirs.fileno()])
            self._requests.sendall(content)
        try:
            return read_number(answer), answer
        except EOFError:
            raise RuntimeError(f"the server of processes ended: {self._process.communicate()[1].decode()}") from None

    def close(self) -> None:
        """End the server."""
        self._requests.close()
        self._process.communicate()


class Forked(subprocess.Popen):
    """A process of a server, used as any other `Popen`. Its command is `python -m ...`, `-c ...` or a script."""

    def __init__(self, server: Server, command: Sequence[str], **options: Any) -> None:
        self._server = server
        super().__init__(command, **options)

    def _execute_child(self, *values: Any) -> None:
        given = _execute_child.bind(self, *values).arguments
        ends = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        request = {
            "words": given["args"][1:],
            "folder": os.fspath(given["cwd"] or os.getcwd()),
            "environment": dict(given["env"]),
            "session": bool(given["start_new_session"]),
        }
        files = [number if end == -1 else end for number, end in enumerate((ends[0], ends[3], ends[5]))]
        self.pid, self._answer = self._server.ask(request, files)
        self._child_created = True
        self._close_pipe_fds(*ends)

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        return self._read_code(0)

    def _wait(self, timeout: float | None) -> int:
        if self._read_code(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _read_code(self, timeout: float | None) -> int | None:
        with self._waitpid_lock:
            if self.returncode is None and select.select([self._answer], [], [], timeout)[0]:
                with self._answer:
                    self.returncode = read_number(self._answer)
        return self.returncode


_servers: dict[tuple[str, ...], Server] = {}


def popen(command: Sequence[object], env: Mapping[str, str], **options: Any) -> subprocess.Popen:
    """Start `python ...`: forked where the environment allows it, else cold.

    Where only variables of the Hub differ from the tests' own, the clients of the Hub are left to the process to import.
    """
    words = list(map(str, command))
    differing = {name for name, _ in frozen(env) ^ frozen(os.environ)}
    if os.name != "posix" or any(not name.startswith(HUB) for name in differing):
        return subprocess.Popen(words, env=env, **options)
    modules = TORCH if differing else ZOO
    if modules not in _servers:
        _servers[modules] = Server(modules)
    return Forked(_servers[modules], words, env=env, **options)


@atexit.register
def close() -> None:
    """End all servers."""
    while _servers:
        _servers.popitem()[1].close()


def read_number(answer: socket.socket) -> int:
    """Raises EOFError when the server ended."""
    content = answer.recv(NUMBER.size, socket.MSG_WAITALL)
    if not content:
        raise EOFError
    return NUMBER.unpack(content)[0]

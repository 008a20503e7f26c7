"""A process that has imported what `zoo` imports and forks a copy of itself for each request; `forks.py` starts it.

Usage: fork_server.py SOCKET PADDING MODULE...

A request on the socket is a length (4 bytes), JSON of that length, and four open files: the standard input, output and
error of the new process, and a socket on which the answer goes: its pid, then, once it ended, its exit code as
`subprocess` counts it. The server ends when the socket is closed.

PADDING is text of any kind: its memory later holds the arguments of a forked process, so that `ps` shows them.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import inspect
import json
import os
import random
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

NUMBER = struct.Struct("i")
FROZEN = (
    *("ACCELERATE", "ARROW", "CUDA", "DATASETS", "HF_", "HOME", "HUGGINGFACE", "KMP_", "LANG", "LC_", "LD_", "MALLOC"),
    *("MKL", "MPL", "OMP_", "OPENBLAS", "PYTHON", "TIMM", "TORCH", "TRANSFORMERS", "TZ", "XDG_"),
    "CXX",
)
"""How variables begin that are read when Python starts or a library is imported."""
READ_AT_CALL = ("HF_TOKEN", "PYTHONPATH", "PYTHONSAFEPATH")
"""Those of them that `live` takes into account, or that are read whenever they are used."""

OWN_PATH = os.environ.get("PYTHONPATH", "").split(os.pathsep)
files_of_libraries: set[int] = set()
_execute_child = inspect.signature(subprocess.Popen._execute_child)


def serve(requests: socket.socket) -> NoReturn:
    """Fork a process for each request."""
    answers: dict[int, socket.socket] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the processes; the server ends with the tests
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            report_ended(answers)
        if requests in ready:
            head, files, _, _ = socket.recv_fds(requests, NUMBER.size, 4)
            if not head:
                os._exit(0)
            request = json.loads(requests.recv(*NUMBER.unpack(head), socket.MSG_WAITALL))
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                live(files=files[:3], **request)
            for file in files[:3]:
                os.close(file)
            answers[pid] = socket.socket(fileno=files[3])
            answers[pid].sendall(NUMBER.pack(pid))


def report_ended(answers: dict[int, socket.socket]) -> None:
    """Send the exit codes of the processes that ended."""
    for pid in list(answers):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with answers.pop(pid) as answer, contextlib.suppress(BrokenPipeError):  # somebody may no longer wait
                answer.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def live(
    words: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    files: Sequence[int],
    session: bool = False,
    kept: Collection[int] = (),
) -> NoReturn:
    """Be `python WORDS` in a process just forked, to its end.

    The end is that of any Python: threads are awaited, exit functions run, streams are flushed. Only the modules are left
    to the system, since to take them apart costs 2.5 CPU seconds.
    """
    if session:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in map(int, os.listdir("/dev/fd")):
        if file > 2 and file not in files_of_libraries and file not in kept:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(file)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    show_arguments([sys.executable, *words])
    set_path_and_arguments(list(words), folder)
    tempfile.tempdir = None
    random.seed()
    sys.modules["numpy"].random.seed()
    subprocess.Popen = Popen
    code = 1
    try:
        run(*words)
        code = 0
    except SystemExit as error:
        code = error.code & 255 if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = 120
    finally:
        os._exit(code)


def show_arguments(words: Sequence[str]) -> None:
    """Overwrite the server's arguments in memory, where Linux reads them."""
    if sys.platform == "linux":
        start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
        text = "\0".join(words).encode()[: end - start - 1]
        ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def set_path_and_arguments(words: list[str], folder: str) -> None:
    """Set `sys.path` and `sys.argv` as Python does when it starts."""
    way = words[0]
    first = {"-m": folder, "-c": ""}.get(way, str(Path(way).resolve().parent))
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    base = [path for path in base_path if path not in OWN_PATH]
    sys.path[:] = [*([] if os.environ.get("PYTHONSAFEPATH") else [first]), *given, *base]
    importlib.invalidate_caches()
    sys.orig_argv[1:] = words
    sys.argv[:] = words[1:] if way == "-m" else [way, *words[2:]] if way == "-c" else words


def run(way: str, *words: str) -> None:
    """Run a module, code or a script as `__main__`."""
    if way == "-m":
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif way == "-c":
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[0], "<string>", "exec"), main.__dict__)
    else:
        runpy.run_path(way, run_name="__main__")


def frozen(environment: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """The variables of an environment that a forked process cannot change any more."""
    return frozenset((k, v) for k, v in environment.items() if k.startswith(FROZEN) and k not in READ_AT_CALL)


class Popen(subprocess.Popen):
    """Forks `python -m zoo ...` from the calling process; starts any other command as usual."""

    def _execute_child(self, *values: Any) -> None:
        given = _execute_child.bind(self, *values).arguments
        words, environment = given["args"], os.environ if given["env"] is None else given["env"]
        forks = list(words[:3]) == [sys.executable, "-m", "zoo"] and frozen(environment) == frozen(os.environ)
        if not forks or threading.active_count() > 1:
            return super()._execute_child(*values)
        ends = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        files = [number if end == -1 else end for number, end in enumerate((ends[0], ends[3], ends[5]))]
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            folder = given["cwd"] or os.getcwd()
            live(words[1:], folder, dict(environment), files, given["start_new_session"], given["pass_fds"])
        self._child_created = True
        self._close_pipe_fds(*ends)


if __name__ == "__main__":
    _, handle, _, *modules = sys.argv
    base_path = sys.path[1:]
    sys.path[:] = base_path  # without the folder of this file
    for module in modules:
        importlib.import_module(module)
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()
    if threads != 1:
        sys.exit(f"{threads} threads run after importing {', '.join(modules)}; only one survives a fork")
    files_of_libraries.update(set(map(int, os.listdir("/dev/fd"))) - {int(handle)})
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(handle)))

"""A forked process does what one started cold does, and is as real."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forks import Forked, popen
from processes import start, tiny, weights_hash

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def python(code: str, *words: str, env: dict[str, str] | None = None, **options) -> subprocess.Popen:
    process = popen([sys.executable, "-c", code, *words], {**os.environ, **(env or {})}, **{**PIPES, **options})
    assert isinstance(process, Forked)
    return process


def said(process: subprocess.Popen, given: str | None = None) -> tuple[int, str, str]:
    out, err = process.communicate(given, timeout=60)
    return process.returncode, out, err


def test_a_run_is_the_same_forked_and_cold(tmp_path: Path) -> None:
    forked = start("finetune", "--recipe", tiny(tmp_path), "--out", tmp_path / "run")
    assert isinstance(forked, Forked)
    first = said(forked)
    (tmp_path / "run").rename(tmp_path / "forked")
    cold = said(subprocess.Popen([sys.executable, *forked.args[1:]], env=os.environ, **PIPES))
    assert first[0] == cold[0] == 0, (first, cold)
    for one, two in zip(first[1:], cold[1:], strict=True):
        assert without_times(one) == without_times(two)
    assert weights_hash(tmp_path / "forked") == weights_hash(tmp_path / "run")


def without_times(text: str) -> str:
    return re.sub(r"\d[\d,.]* (ms|s|min|minutes?|images/s|MB|GB)\b", "N", text)


SHOW = """
import json, os, sys, threading
print(json.dumps([sys.argv, sys.path[:2], os.getcwd(), os.environ.get("NEW"), os.getpid(), os.getppid() != os.getsid(0),
    __name__, sys.stdin.read(), os.getsid(0) == os.getpid()]))
sys.exit("goodbye" if sys.argv[1:] == ["text"] else 7)
"""


def test_it_has_arguments_folder_environment_and_streams_of_its_own(tmp_path: Path) -> None:
    extra = {"NEW": "x", "PYTHONPATH": str(tmp_path)}
    process = python(SHOW, "a", "b c", env=extra, cwd=tmp_path, stdin=subprocess.PIPE, start_new_session=True)
    code, out, err = said(process, "hello\n")
    assert (code, err) == (7, "")
    here = str(tmp_path)
    assert json.loads(out) == [
        ["-c", "a", "b c"], ["", here], here, "x", process.pid, True, "__main__", "hello\n", True,
    ]  # fmt: skip
    assert "NEW" not in os.environ and os.getcwd() != here


def test_it_ends_as_python_does(tmp_path: Path) -> None:
    assert said(python(SHOW, "text", stdin=subprocess.DEVNULL))[::2] == (1, "goodbye\n")
    code, _, err = said(python("1 / 0"))
    assert code == 1 and err.endswith("ZeroDivisionError: division by zero\n")
    late = "import atexit, threading, time; atexit.register(print, 'last', end='')\n"
    late += "threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()"
    assert said(python(late)) == (0, "late\nlast", "")
    with open(tmp_path / "out", "w+") as file:
        assert python("print('to a file')", stdout=file, stderr=None).wait(60) == 0
        file.seek(0)
        assert file.read() == "to a file\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_signals_reach_it_and_its_end_is_told(number: signal.Signals) -> None:
    process = python("import time; print('in', flush=True); time.sleep(60)", "some-word")
    assert process.stdout.readline() == "in\n" and process.poll() is None
    if sys.platform == "linux":
        assert Path(f"/proc/{process.pid}/cmdline").read_bytes().rstrip(b"\0").endswith(b"\0some-word")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number


def test_an_interrupt_is_pythons_own() -> None:
    code = "import time\ntry: print('in', flush=True), time.sleep(60)\nexcept KeyboardInterrupt: print('caught')"
    process = python(code)
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGINT)
    assert said(process) == (0, "caught\n", "")


def test_the_hub_is_read_from_the_processs_own_environment() -> None:
    env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": "/nowhere"}
    code = "import sys, huggingface_hub.constants as c; print('torch' in sys.modules, c.ENDPOINT, c.HF_HOME)"
    assert said(python(code, env=env)) == (0, "True http://127.0.0.1:9 /nowhere\n", "")


def test_other_variables_that_are_read_at_import_start_it_cold() -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    process = popen([sys.executable, "-c", "import torch; print(torch.get_num_threads())"], env, **PIPES)
    assert not isinstance(process, Forked)
    assert said(process) == (0, "2\n", "")

"""The small Hub killed at any moment: what it said was done is done, and the rest never happened."""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from hub_server import Server
from hubs import ANN, TOKENS, Hub

SERVE = """
import sys
import time
from pathlib import Path
sys.path[:0] = {paths!r}
from hub_server import Server
from hubs import TOKENS
with Server(Path(sys.argv[1]), TOKENS) as server:
    if sys.argv[2:]:
        server.faults.add(*sys.argv[2:])
    print(server.url, flush=True)
    while not server.faults.met:
        time.sleep(0.01)
    print("a fault was met", flush=True)
    sys.stdin.read()
"""
HERE = Path(__file__)
PATHS = [str(HERE.parents[1]), str(HERE.parents[2] / "tools")]


@contextmanager
def server(folder: Path, *fault: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server in a process of its own, killed at the end if not before; its address."""
    command = [sys.executable, "-c", SERVE.format(paths=PATHS), folder, *fault]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_killed_between_contents_and_commit(tmp_path: Path) -> None:
    """The client's second try finds its contents there and only commits."""
    folder, home = tmp_path / "hub", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    sent = random.Random(0).randbytes(200_000)
    (home / "w.safetensors").write_bytes(sent)
    code = 'api.create_repo("ann/m", exist_ok=True)\n'
    code += 'api.upload_file(path_or_fileobj="w.safetensors", path_in_repo="w.safetensors", repo_id="ann/m")'
    with server(folder, "POST", "/commit/", "hang") as (process, url):
        client = Hub(url, folder, home)
        pushing = subprocess.Popen(
            [sys.executable, "-c", f"import huggingface_hub as hub\napi = hub.HfApi()\n{code}"],
            env=client.environment(HF_HUB_DISABLE_XET="1"),
            cwd=home,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "a fault was met\n"
        process.kill()
        assert pushing.communicate(timeout=120)[1] and pushing.returncode
    with Server(folder, TOKENS) as again:
        hub = Hub(again.url, folder, home, again)
        assert [e["path"] for e in hub.ask("GET", "/api/models/ann/m/tree/main")[1]] == [".gitattributes"]
        assert hub.python(code, HF_HUB_DISABLE_XET="1") is None
        assert hub.asked("PUT") == []
        assert hub.ask("GET", "/ann/m/resolve/main/w.safetensors")[1] == sent
        assert len(hub.ask("GET", "/api/models/ann/m/commits/main")[1]) == 2


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Commits that were answered are there after a restart; at most the one in flight is there too."""
    folder, answered = tmp_path / "hub", 0
    folder.mkdir()
    for seed in range(6):
        with server(folder) as (process, url):
            _ask(url, "POST", "/api/repos/create", {"name": "m"})
            kill = random.Random(seed).randrange(3, 12)
            for number in range(kill):
                if number == kill - 1:
                    killer = subprocess.Popen(["sh", "-c", f"sleep 0.0{seed}; kill -9 {process.pid}"])
                try:
                    answered = _ask(url, "POST", "/api/models/ann/m/commit/main", f"{answered + 1}")["count"]
                except (OSError, HTTPException):
                    break
            killer.wait()
        with Server(folder, TOKENS) as again:
            hub = Hub(again.url, folder, tmp_path, again)
            files = {e["path"]: e for e in hub.ask("GET", "/api/models/ann/m/tree/main")[1]}
            count = len(files) - 1
            assert answered <= count <= answered + 1
            for path, entry in files.items():
                content = hub.ask("GET", f"/ann/m/resolve/main/{path}")[1]
                assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry["oid"]
            assert len(hub.ask("GET", "/api/models/ann/m/commits/main?limit=50")[1]) >= min(count + 1, 50)
            assert not list((folder / ".hub" / "incoming").iterdir())
            answered = count


def _ask(url: str, method: str, path: str, body: dict | str) -> dict:
    """One request to a server of another process; a text is committed as a file of that name."""
    if isinstance(body, str):
        value = {"path": f"{int(body):05d}", "content": body, "encoding": "utf-8"}
        lines = [{"key": "header", "value": {"summary": body}}, {"key": "file", "value": value}]
        answer = _ask(url, method, path, {"lines": lines})
        return {**answer, "count": int(body)}
    sent = "\n".join(map(json.dumps, body["lines"])) if "lines" in body else json.dumps(body)
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, path, sent.encode(), {"Authorization": f"Bearer {ANN}"})
        answer = connection.getresponse()
        assert answer.status in (200, 409), answer.read()
        return json.loads(answer.read())
    finally:
        connection.close()

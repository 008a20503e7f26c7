"""A Hub of our own for tests: the server of `tools/hub` over loopback, and clients of it in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from forks import popen
from hub_server import Faults, Server, User

TOKENS = {
    "hf_ann_writes": User("ann", "write", ("lab",)),
    "hf_ann_reads": User("ann", "read", ("lab",)),
    "hf_bob_writes": User("bob", "write"),
}
ANN, READER, BOB = TOKENS
CLIENT_S = 300
OURS = ("HF_", "HUGGINGFACE", "XDG_", "TRANSFORMERS_", "HTTP_", "HTTPS_", "ALL_PROXY", "NO_PROXY", "ZOO_")
"""Variables of the caller that would reach a client."""


@dataclass(frozen=True)
class Hub:
    """A running server; `folder` is what it serves, `home` where its clients keep their caches.

    `server` is None for one that runs in another process.
    """

    url: str
    folder: Path
    home: Path
    server: Server | None = None

    @property
    def faults(self) -> Faults:
        return self.server.faults

    def asked(self, method: str = "", path: str = "") -> list[str]:
        """The paths of the requests so far, of one method and with a text in them."""
        return [line.path for line in self.server.log if method in ("", line.method) and path in line.path]

    def environment(self, token: str | None = ANN, **more: str) -> dict[str, str]:
        """The variables of a client process."""
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(OURS)}
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.home / "hf"),
            "HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
        }
        quiet = {
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        return {**kept, **own, **quiet, **({"HF_TOKEN": token} if token else {}), "OMP_NUM_THREADS": "1", **more}

    def run(self, *command: object, token: str | None = ANN, **more: str) -> subprocess.CompletedProcess:
        """A client process to its end."""
        with self.start(*command, token=token, **more) as process:
            try:
                out, err = process.communicate(timeout=CLIENT_S)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *command: object, token: str | None = ANN, **more: str) -> subprocess.Popen:
        """A client process; forked if it is Python."""
        line, pipes = list(map(str, command)), {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begin = popen if line[0] == sys.executable else subprocess.Popen
        return begin(line, env=self.environment(token, **more), cwd=self.home, **pipes)

    def python(self, code: str, token: str | None = ANN, **more: str) -> Any:
        """What `code` leaves in `result`, run with `api` and `hub` (the package) at hand, in a process of its own.

        An exception is a result too: its type, its status and its message.
        """
        process = self.run(sys.executable, "-c", CLIENT.format(json.dumps(code)), token=token, **more)
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout.splitlines()[-1])

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = ANN,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """One request without the client: status, body (read as JSON if it is), headers."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, sent, {**own, **(headers or {})})
        answer: HTTPResponse = connection.getresponse()
        content = answer.read()
        connection.close()
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status, json.loads(content) if is_json and content else content, answer.headers


CLIENT = """
import json
import huggingface_hub as hub
api, result = hub.HfApi(), None
try:
    exec({})
except Exception as error:
    status = getattr(getattr(error, "response", None), "status_code", None)
    result = [type(error).__name__, status, str(error)]
print()
print(json.dumps(result, default=str))
"""


@contextmanager
def serving(folder: Path, home: Path, **settings: Any) -> Iterator[Hub]:
    """A server of a folder; the client's caches go to `home`."""
    folder.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    with Server(folder, TOKENS, **settings) as server:
        yield Hub(server.url, folder, home, server)

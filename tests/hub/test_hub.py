"""Without a Hub: quick, exact advice. Each case is a fresh process, as the endpoint is read once, at import."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hubs import serving

from zoo.data.sources.naming import ADVICE
from zoo.models.backbone import NEXT

DATA = "from zoo.config.recipe import Data; from zoo.data.sources import open_source; open_source(Data(source={!r}))"
MODEL = (
    "from zoo.config.recipe import Model; from zoo.models.backbone import build_backbone; "
    "build_backbone(Model(backbone={!r}), None)"
)
SAY = """
try:
    {}
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""
CLOSED = "http://127.0.0.1:9"
NO_FOLDER = f"There is no folder of that name either. {ADVICE}"

Said = Callable[..., str]


@pytest.fixture
def said(tmp_path: Path) -> Said:
    """said(code, HF_ENDPOINT=...): what a process in an empty home says of the error each piece of code meets."""

    def run(*codes: str, **env: str) -> str:
        (tmp_path / "home").mkdir(exist_ok=True)
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE", "XDG_", "TRANSFORMERS_"))
        }
        env = kept | {"HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"} | env
        command = [sys.executable, "-c", "".join(map(SAY.format, codes))]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "Retrying" not in done.stderr, "without network the client would try for half a minute"
        return done.stdout.strip()

    return run


@pytest.fixture
def hub() -> Iterator[Callable[[int | None], str]]:
    """hub(status): a server that answers its front page and refuses all else with `status`, or hangs up on None."""
    servers = []

    def start(status: int | None) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                if status or self.path == "/":
                    self.send_response(200 if self.path == "/" else status)
                    self.send_header("Content-Length", "0")
                    if status == 404:
                        self.send_header("X-Error-Code", "RepoNotFound")
                    self.end_headers()
                self.close_connection = True

            do_GET = do_HEAD

            def log_message(self, *args: object) -> None: ...

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


UNREACHED = "cannot be fetched: {} and it is not in the local cache."


@pytest.mark.parametrize(
    ("code", "env", "message"),
    [
        (
            DATA.format("uoft-cs/cifar10"), {"HF_ENDPOINT": CLOSED},
            f"DataError: 'uoft-cs/cifar10' {UNREACHED.format(f'{CLOSED} cannot be reached')} {NO_FOLDER}",
        ),
        (
            DATA.format("mnist"), {"HF_ENDPOINT": CLOSED, "HF_HUB_OFFLINE": "1"},
            f"DataError: 'mnist' {UNREACHED.format('HF_HUB_OFFLINE is set')} {NO_FOLDER}",
        ),
        (
            MODEL.format("densenet121"), {"HF_ENDPOINT": CLOSED},
            f"ModelError: 'densenet121' {UNREACHED.format(f'{CLOSED} cannot be reached')} {NEXT}",
        ),
        (
            "import zoo; zoo.load('timm:resnet50')", {"HF_ENDPOINT": CLOSED},
            f"ModelError: 'resnet50' {UNREACHED.format(f'{CLOSED} cannot be reached')} {NEXT}",
        ),
        (
            MODEL.format("hf-hub:me/mine"), {"HF_ENDPOINT": CLOSED},
            f"HubError: fetching me/mine failed: {CLOSED} cannot be reached, or hung up ([Errno 111] Connection refused). "
            "Try again: zoo pull me/mine",
        ),
    ],
)  # fmt: skip
def test_without_network_it_says_at_once_what_to_do(code: str, env: dict[str, str], message: str, said: Said) -> None:
    assert said(code, **env) == message


@pytest.mark.parametrize(
    ("status", "data", "model"),
    [
        (403, "HUB answered 403: 403 Forbidden: None.", None),
        (404, "Dataset 'me/mine' doesn't exist on the Hub or cannot be accessed.", "HUB answered 404: 404 Client Error."),
        (None, "the Hub hung up.", "the Hub hung up."),
    ],
    ids=["403", "404", "hangs-up"],
)  # fmt: skip
def test_a_hub_that_refuses_or_hangs_up(
    status: int | None, data: str, model: str | None, hub: Callable[[int | None], str], said: Said
) -> None:
    endpoint = hub(status)
    tries = {DATA.format("me/mine"): f"DataError: 'me/mine' cannot be fetched: {data} {NO_FOLDER}"}
    if model:
        tries[MODEL.format("densenet121")] = f"ModelError: 'densenet121' cannot be fetched: {model} {NEXT}"
    expected = [line.replace("HUB", endpoint) for line in tries.values()]
    assert said(*tries, HF_ENDPOINT=endpoint).splitlines() == expected


def test_nothing_fetched_in_the_clear_carries_a_token(tmp_path: Path) -> None:
    """By the libraries that fetch weights; the address is this machine's, but none of the names that are known to be."""
    with serving(tmp_path / "served", tmp_path / "home", host="127.0.0.2") as hub:
        code = SAY.format(MODEL.format("test_resnet"))
        done = hub.run(sys.executable, "-c", code, NO_PROXY="127.0.0.2")
        assert done.stdout.startswith("ModelError: 'test_resnet' cannot be fetched: ")
        assert hub.asked("HEAD", "resolve") and not any(line.token for line in hub.server.log)

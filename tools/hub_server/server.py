"""The HTTP server: connections, requests, answers, injected faults, and a log that never holds a token."""

import http.server
import re
import sys
import threading
import traceback
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple, Self

from . import reading, uploads, writing  # noqa: F401  (registers the routes)
from .accounts import Accounts, User
from .answers import Answer, Refusal, as_json
from .faults import Fault, Faults
from .request import CutBody, Request
from .routes import Hub, find
from .store import Store

IDLE_S = 300
LOG_LENGTH = 100_000
HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
TICKET = re.compile(r"(?<=^/lfs/)[^/]+")


class Logged(NamedTuple):
    """One request. `path` without query and ticket; `token`: whether one was sent; `status`: None without an answer."""

    method: str
    path: str
    token: bool
    status: int | None


class Server:
    """Serves a folder from a thread of its own: `with Server(folder, {"hf_x": User("ann", "write")}) as server:`"""

    def __init__(
        self, folder: Path, users: dict[str, User], *, host: str = "127.0.0.1", port: int = 0, **settings: Any
    ) -> None:
        self.faults = Faults()
        self.log: deque[Logged] = deque(maxlen=LOG_LENGTH)
        self.shows_log = False
        self.store = Store(folder)
        self.hub = Hub(self.store, Accounts(users), **settings)
        try:
            self._http = _Http((host, port), _Handler)
        except BaseException:
            self.store.close()
            raise
        self._http.owner = self
        self.url = f"http://{host}:{self._http.server_address[1]}"

    def run(self) -> None:
        self._http.serve_forever(poll_interval=0.05)

    def start(self) -> Self:
        threading.Thread(target=self.run, name="hub", daemon=True).start()
        return self

    def close(self) -> None:
        self.faults.release()
        self._http.shutdown()
        self._http.server_close()
        self.store.close()

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.close()


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "zoo-hub", ""
    timeout = IDLE_S
    server: _Http

    def _serve(self) -> None:
        owner = self.server.owner
        path = self.path.partition("?")[0]
        fault = owner.faults.take(self.command, path)
        answer = None if _stops(owner, fault, after=False) else self._answer()
        status = answer and answer.status
        if fault and fault.kind == "status":
            answer = _failure(fault)
            status = answer.status
            self.close_connection = True
        if _stops(owner, fault, after=True):
            answer = status = None
        owner.log.append(logged := Logged(self.command, TICKET.sub("*", path), "Authorization" in self.headers, status))
        if owner.shows_log:
            token = " (with a token)" if logged.token else ""
            print(
                f"{self.command} {ascii(logged.path)[1:-1]} {status or 'no answer'}{token}", file=sys.stderr, flush=True
            )
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def _answer(self) -> Answer | None:
        """None if the client is gone."""
        owner = self.server.owner
        request = None
        try:
            host = self.headers.get("Host", "")
            scheme = "https" if self.headers.get("X-Forwarded-Proto") == "https" else "http"
            endpoint = f"{scheme}://{host}" if HOST.fullmatch(host) else owner.url
            request = Request(self.command, self.path, self.headers, self.rfile, endpoint)
            function, parts = find("GET" if self.command == "HEAD" else self.command, request.path)
            return function(owner.hub, request, **parts)
        except Refusal as refusal:
            return refusal.answer()
        except CutBody:
            return None
        except Exception:
            traceback.print_exc()
            return as_json({"error": "Internal error; the server's own output says more."}, 500)
        finally:
            if request is None or not request.read:
                self.close_connection = True

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        size = answer.size // 2 if kind in ("cut", "truncate") else answer.size
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.size if kind != "truncate" else size))
        if self.close_connection or kind == "cut":
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        flip, sent = (size // 2 if kind == "flip" else -1), 0
        for piece in answer.pieces():
            piece = piece[: size - sent]
            if 0 <= flip - sent < len(piece):
                piece = piece[: flip - sent] + bytes([piece[flip - sent] ^ 1]) + piece[flip - sent + 1 :]
            sent += len(piece)
            if fault and kind == "drip":
                piece = self._dripped(piece, fault.pause_s)
            self.wfile.write(piece)

    def _dripped(self, piece: bytes, pause_s: float) -> bytes:
        """Sends a byte after each pause until what drips is released; what is left."""
        sent = 0
        while sent < len(piece) and not self.server.owner.faults.hang(pause_s):
            self.wfile.write(piece[sent : sent + 1])
            sent += 1
        return piece[sent:]

    def log_message(self, *_: object) -> None:
        """Requests are logged by `Server.log` alone."""


def _stops(owner: Server, fault: Fault | None, after: bool) -> bool:
    """Whether a fault keeps the answer back, waiting first if it hangs. An error comes instead of any effect."""
    if fault is None or fault.after is not after:
        return False
    if fault.kind == "hang":
        owner.faults.hang()
    return fault.kind in ("drop", "hang") or (fault.kind == "status" and not after)


def _failure(fault: Fault) -> Answer:
    answer = as_json({"error": "Injected failure"}, fault.status)
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = str(fault.retry_after)
    return answer

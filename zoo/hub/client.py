"""The Hub's client with time limits, which sends the token only where nobody reads along."""

import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from zoo.errors import HubError, UsageError
from zoo.hub.slow_response import watched

if TYPE_CHECKING:
    from huggingface_hub import HfApi

WAIT_S = 60.0
TRIES = 3
"""How often a download is begun that the network cut, and an upload of a large file."""


def request_timeout() -> float:
    """Seconds that the Hub may take for each answer: `ZOO_HUB_TIMEOUT_S`, else 60. Its client alone would wait for ever.

    Raises UsageError for a value that is not seconds above 0.
    """
    given = os.environ.get("ZOO_HUB_TIMEOUT_S") or str(WAIT_S)
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"ZOO_HUB_TIMEOUT_S={given} is no number of seconds")
    return seconds


def patient() -> None:
    """Give the Hub's client a time limit on each answer and its pace, downloads by other libraries included."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    limit = request_timeout()

    def hurry(request: Any) -> None:
        """Many calls of the client say themselves that they wait for ever."""
        given = request.extensions.get("timeout", {})
        limits = {kind: min(given.get(kind) or limit, limit) for kind in ("connect", "read", "write", "pool")}
        request.extensions["timeout"] = limits

    def watch(response: Any) -> None:
        response.stream = watched(response.stream, limit)

    def client() -> Any:
        made = default_client_factory()
        hooks = made.event_hooks
        made.event_hooks = {"request": [*hooks["request"], hurry], "response": [*hooks["response"], watch]}
        return made

    set_client_factory(client)
    for name in ("READ_TIMEOUT", "CONNECT_TIMEOUT"):  # of the client that uploads large files
        os.environ.setdefault(f"HF_XET_CLIENT_{name}", f"{math.ceil(limit)}s")
    os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", str(TRIES))


def api(write: bool = False) -> "HfApi":
    """The Hub's client with time limits. write: the user's token goes along, but never in the clear over a network.

    Reading sends the token too where there is one, since repositories may be private.
    Raises UsageError for an endpoint without https beyond this machine, HubError without a token to write with.
    """
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.utils import disable_progress_bars

    token = get_token()
    if token and not is_safe(constants.ENDPOINT):
        raise UsageError(
            f"HF_ENDPOINT={constants.ENDPOINT} is not encrypted and not on this machine, so your token is not sent there. "
            f"Use https, or unset HF_TOKEN"
        )
    if write and not token:
        raise HubError("no Hugging Face token. Log in with: hf auth login, or set HF_TOKEN to a token that may write")
    if constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set; unset it to reach the Hub")
    patient()
    if not sys.stderr.isatty():
        disable_progress_bars()
    return HfApi(endpoint=constants.ENDPOINT, token=token or False, library_name="timm-zoo")


def is_safe(endpoint: str) -> bool:
    """Whether nobody between here and the endpoint can read along."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def downloaded(client: "HfApi", repo: str, file: str, revision: str, to: Path, limit: int) -> Path:
    """A file of a repository, at most `limit` bytes of it, written to `to`. Raises what the Hub's client raises, HubError.

    The library's own download waits longer than it is told, and leaves files of its own beside.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    url = f"{client.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(file)}"
    for attempt in range(1, TRIES + 1):
        try:
            return _stream(client, url, to, limit)
        except HfHubHTTPError:
            raise
        except (HTTPError, ConnectionError) as problem:
            if attempt == TRIES or "timeout" in type(problem).__name__.lower():
                raise
            time.sleep(attempt / 2)
    raise AssertionError("unreachable")


def _stream(client: "HfApi", url: str, to: Path, limit: int) -> Path:
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = {**build_hf_headers(token=client.token, library_name="timm-zoo"), "Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=headers) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        size = 0
        with to.open("wb") as file:
            for piece in response.iter_bytes():
                if (size := size + len(piece)) > limit:
                    raise HubError(f"{url} sends more than the {limit:,} bytes that were announced; refused")
                file.write(piece)
    return to

"""The Hugging Face Hub, asked politely: is it there, and if not, what can be done without it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from zoo.errors import ModelError, ZooError

TIMEOUT_S = 5.0


@cache
def reachable() -> bool:
    """Whether the Hub answers within 5 seconds; asked once per process."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT_S)
    except Exception:
        return False
    return True


def go_offline() -> None:
    """From here on Hub libraries read their caches only and fail at once instead of retrying."""
    import huggingface_hub.constants
    from huggingface_hub.utils import disable_progress_bars

    os.environ["HF_HUB_OFFLINE"] = "1"
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    disable_progress_bars()


@contextmanager
def hub(name: str, advice: str, error: type[ZooError] = ModelError, needed: bool = True) -> Iterator[None]:
    """Around code that may fetch `name` from the Hub: without network only the cache is tried, and failing is quick.

    Raises `error`: one line that says whether the Hub was out of reach or refused, then `advice`.
    """
    if not needed:
        yield
        return
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    online = reachable()
    if not online:
        go_offline()
    try:
        yield
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, ConnectionError, TimeoutError) as problem:
        where = os.environ.get("HF_ENDPOINT", "the Hugging Face Hub")
        why = f"{where} cannot be reached and it is not in the local cache" if not online else f"{where} broke off"
        raise error(f"'{name}' cannot be fetched: {why}. {advice}") from problem
    except HfHubHTTPError as problem:
        status = getattr(problem.response, "status_code", None)
        raise error(f"'{name}' cannot be fetched: the Hub answered {status}: {_first_line(problem)}. {advice}") from problem


def _first_line(problem: Exception) -> str:
    return next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)

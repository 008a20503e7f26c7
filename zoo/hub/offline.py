"""Is the Hub there? Fetches that other libraries make of it, with an answer at once where it is not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from zoo.errors import ModelError, ZooError
from zoo.hub.client import is_safe, patient
from zoo.hub.errors import refusal, silence

TIMEOUT_S = 5.0


def reachable() -> bool:
    """Whether the Hub answers within 5 seconds; asked once per process."""
    return not _obstacle()


@cache
def _obstacle() -> str:
    """Why the Hub cannot be asked, '' where it can."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT_S)
    except Exception:
        return f"{constants.ENDPOINT} cannot be reached"
    return ""


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
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    patient()
    if not reachable():
        go_offline()
    if not is_safe(constants.ENDPOINT):
        constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = True
    try:
        yield
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, ConnectionError, TimeoutError, HTTPError) as problem:
        why = refusal(problem) or silence(problem) or "the Hub hung up"
        if _obstacle():
            why = f"{_obstacle()} and it is not in the local cache"
        raise error(f"'{name}' cannot be fetched: {why}. {advice}") from problem

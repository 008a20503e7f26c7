"""What the Hub or the network says, in the user's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zoo.errors import HubError, first_line
from zoo.hub.client import request_timeout
from zoo.hub.slow_response import SlowResponse

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError


def refusal(problem: BaseException | None) -> str:
    """What the Hub answered, where that is why `problem` was raised, else ''."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import HfHubHTTPError

    for cause in _causes(problem):
        if isinstance(cause, HfHubHTTPError):
            return f"{ENDPOINT} answered {cause.response.status_code}: {first_line(cause).rstrip('.')}"
    return ""


@contextmanager
def explained(doing: str, repo: str, again: str) -> Iterator[None]:
    """Whatever the Hub or the network does while `doing`, as one HubError; `again` says what to type next.

    Raises HubError.
    """
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except (HTTPError, ConnectionError, TimeoutError, RuntimeError) as problem:  # the last wraps what uploads meet
        raise HubError(f"{doing} {repo} failed: {_why(problem, repo)}. {again}") from problem


def silence(problem: BaseException | None) -> str:
    """That the Hub said nothing, or as good as nothing, where that is why `problem` was raised, else ''."""
    return next(filter(None, map(_silence, _causes(problem))), "")


def _silence(cause: BaseException) -> str:
    from huggingface_hub.constants import ENDPOINT

    if isinstance(cause, SlowResponse):
        return f"{ENDPOINT} sends too slowly ({cause})"
    if "timeout" in type(cause).__name__.lower() or "timed out" in str(cause):
        return f"{ENDPOINT} did not answer within {request_timeout():g} s"
    return ""


def _why(problem: BaseException, repo: str) -> str:
    """An answer, no answer, or half of one; whichever is found first going back through the causes."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    for cause in _causes(problem):
        if isinstance(cause, HfHubHTTPError):
            return _meaning(cause, repo)
        if why := _silence(cause):
            return why
        if isinstance(cause, HTTPError | ConnectionError):
            return f"{ENDPOINT} cannot be reached, or hung up ({first_line(cause).rstrip('.')})"
    return first_line(problem).rstrip(".")


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _meaning(problem: "HfHubHTTPError", repo: str) -> str:
    """A refusal of the Hub."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    status, wait = problem.response.status_code, problem.response.headers.get("Retry-After")
    if isinstance(problem, RevisionNotFoundError):
        return "it has no such revision (branch, tag or commit)"
    if isinstance(problem, GatedRepoError):
        return "its owner lets nobody in unasked; ask for access on its page"
    if isinstance(problem, RepositoryNotFoundError) or status == 404:
        return "there is no such repository, or your token may not see it"
    known = {
        401: "the Hub does not know your token (hf auth login)",
        403: f"your token may not write to {repo}; it needs the role write, and the owner must be you or your organisation",
        412: "the repository changed meanwhile, and nothing of that is overwritten",
        413: "a file is too large for the Hub",
        429: f"too many requests{f'; wait {wait} s' if wait else ''}",
    }
    said = " ".join((problem.server_message or first_line(problem)).split())
    return known.get(status) or f"the Hub answered {status}: {said.rstrip('.')}"

"""The table of routes, and who may do what."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .accounts import Accounts, Tickets, User
from .answers import Answer, Refusal
from .names import Repo, checked_repo
from .request import Request
from .store import Record, Store
from .xet import Xet

REPO = r"(?P<kind>models|datasets|spaces)/(?P<owner>[^/]+)/(?P<name>[^/]+)"
ADDRESS = r"(?:(?P<kind>datasets|spaces)/)?(?P<owner>[^/]+)/(?P<name>[^/]+?)"

Route = Callable[..., Answer]
ROUTES: list[tuple[str, re.Pattern, Route]] = []


def route(method: str, path: str) -> Callable[[Route], Route]:
    """Registers `function(hub, request, **parts)`; `path` is a pattern whose named groups are the parts, unquoted.

    Three parts `kind`, `owner`, `name` together become one `repo`, checked.
    """

    def register(function: Route) -> Route:
        ROUTES.append((method, re.compile(path), function))
        return function

    return register


def find(method: str, path: str) -> tuple[Route, dict[str, Any]]:
    """The function for a path as it was sent, still quoted, and its arguments."""
    for wanted, pattern, function in ROUTES:
        if wanted == method and (match := pattern.fullmatch(path)):
            parts = {
                key: value and unquote(value, errors="surrogateescape") for key, value in match.groupdict().items()
            }
            if "owner" in parts:
                parts["repo"] = checked_repo(parts.pop("kind") or "models", parts.pop("owner"), parts.pop("name"))
            return function, parts
    raise Refusal(404, f"this Hub has no {method} {path}")


@dataclass
class Hub:
    """What the routes work on. `page_size`: entries of a listing; `part_bytes`: above it, an upload goes in parts."""

    store: Store
    accounts: Accounts
    page_size: int = 1000
    part_bytes: int = 512 << 20
    tickets: Tickets = field(default_factory=Tickets)

    def __post_init__(self) -> None:
        self.xet = Xet(self.store.hidden / "xet", self.store.blobs)

    @property
    def incoming(self) -> Path:
        return self.store.blobs.incoming

    def known(self, request: Request) -> User:
        """Who asks, which must be somebody."""
        user = self.accounts.user(request.authorization)
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        return user

    def sees(self, user: User | None, repo: Repo, record: Record | None) -> bool:
        return record is not None and (not record.private or (user is not None and repo.owner in user.namespaces))

    def readable(self, request: Request, repo: Repo, content: bool = False) -> Record:
        """The repository's record. One that does not exist and one that is not shown look the same."""
        user = self.accounts.user(request.authorization)
        record = self.store.record(repo)
        if not self.sees(user, repo, record):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        if content and record.gated and not (user and repo.owner in user.namespaces):
            message = f"Access to {repo.kind[:-1]} {repo.id} is restricted; ask its owner."
            raise Refusal(403 if user else 401, message, "GatedRepo")
        return record

    def writable(self, request: Request, repo: Repo, pull: bool = False) -> User:
        """Who asks, if allowed to write here; a pull request may come from anyone with a token that writes."""
        user = self.known(request)
        self.readable(request, repo)
        self.may_write(user, None if pull else repo.owner)
        return user

    def may_write(self, user: User, namespace: str | None) -> None:
        if user.role != "write":
            raise Refusal(
                403, "Forbidden: this token has the role 'read'; writing takes a token with the role 'write'."
            )
        if namespace is not None and namespace not in user.namespaces:
            raise Refusal(403, f"You don't have the rights to write under the namespace {namespace!r}.")

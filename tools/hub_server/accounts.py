"""Who asks: users with a token, what the token may do, and which namespaces are theirs."""

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from .answers import Refusal
from .files import make_folder, publish

ROLES = ("read", "write")
TICKET_S = 3600


@dataclass(frozen=True)
class User:
    """`role` is what the token may do; `organizations` are further namespaces that are the user's."""

    name: str
    role: str
    organizations: tuple[str, ...] = ()

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (self.name, *self.organizations)


class Accounts:
    """token -> user. Only hashes are kept in memory."""

    def __init__(self, users: dict[str, User]) -> None:
        self._users = {_hash(token): user for token, user in users.items()}

    def user(self, authorization: str | None) -> User | None:
        """Who sent this header; None without one. A token nobody has is refused, on any address."""
        if not authorization:
            return None
        scheme, _, token = authorization.partition(" ")
        user = self._users.get(_hash(token.strip()))
        if scheme.lower() != "bearer" or user is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return user


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


class Tickets:
    """Short-lived permissions for the requests of an upload that carry no token."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    def issue(self) -> tuple[str, int]:
        """A ticket, and when it ends (Unix time)."""
        ticket, end = secrets.token_urlsafe(24), time.time() + TICKET_S
        self._ends = {kept: until for kept, until in self._ends.items() if until > time.time()} | {ticket: end}
        return ticket, int(end)

    def check(self, ticket: str) -> None:
        if self._ends.get(ticket, 0) < time.time():
            raise Refusal(403, "this upload address is no longer valid; start the upload again")


def token_file(folder: Path, name: str) -> Path:
    """The file with a user's token, readable by its owner alone, as `HF_TOKEN_PATH` takes it; made when missing."""
    path = folder / name
    if not path.is_file():
        make_folder(folder)
        folder.chmod(0o700)
        beside = folder / f".{name}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"hf_{secrets.token_urlsafe(32)}")
        publish(beside, path)
    return path

"""Which names are safe: of repositories, of files in them, of branches and tags."""

import re
from typing import NamedTuple

from .answers import Refusal

KINDS = ("models", "datasets", "spaces")
NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
REF = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]{0,250}[A-Za-z0-9_])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_PART = 255
"""Bytes of one part of a path, the limit of common file systems."""


class Repo(NamedTuple):
    """`kind` is one of `KINDS`."""

    kind: str
    owner: str
    name: str

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def address(self) -> str:
        """Its path in a browser: models have no prefix."""
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"


def is_name(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and ".." not in name and "--" not in name and not name.endswith(".git")


def checked_repo(kind: str, owner: str, name: str) -> Repo:
    for part in (owner, name):
        if not is_name(part):
            raise Refusal(400, f"{part!r} is no name for a repository: letters, digits, '-', '_', '.', at most 96")
    if kind not in KINDS:
        raise Refusal(400, f"{kind!r} is no kind of repository (has: {', '.join(KINDS)})")
    return Repo(kind, owner, name)


def checked_path(path: str) -> str:
    """The path of a file in a repository, or a refusal of anything that could leave it."""
    parts = path.split("/")
    unsafe = any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\\" in path
    if unsafe or any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) < 0xE000 for char in path):
        raise Refusal(400, f"{path!r} is no path in a repository")
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        raise Refusal(400, f"{path[:40]!r}... is too long: {LONGEST_PART} bytes between slashes at most")
    return path


def checked_ref(name: str) -> str:
    """The name of a branch or a tag."""
    if not REF.fullmatch(name) or ".." in name or "//" in name or "/." in name or name.endswith(".lock"):
        raise Refusal(400, f"{name!r} is no name for a branch or a tag")
    return name


def checked_sha256(oid: str) -> str:
    if not SHA256.fullmatch(oid):
        raise Refusal(400, f"{oid[:80]!r} is no sha256")
    return oid

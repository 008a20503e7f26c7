"""The files of a model: which they are, whence they come, and that they arrived whole."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import DiskFull, HubError, ModelError, RunError, UsageError
from zoo.hub import api, downloaded, explained
from zoo.hub.model_cache import damage, hand_over, home_of, keep
from zoo.hub.verify_config import check
from zoo.storage.atomic import disk_faults, git_hash, sha256
from zoo.storage.workdir import room
from zoo.timm_index import cache_folder

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

FILES = (
    *("config.json", "model.safetensors", "head.safetensors", "recipe.yaml", "metrics.json", "environment.json"),
    *("preprocessor.json", "README.md", "confusion.png", "curves.png"),
)
WEIGHTS = ("model.safetensors", "head.safetensors")
"""What a repository of a model holds, and what of it is weights."""
PREFIX = "hf-hub:"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
COMMIT = re.compile("[0-9a-f]{40}")
SMALL = 20_000_000
"""Most bytes of a file that is not weights."""


@dataclass(frozen=True)
class Fetched:
    """A checked model folder and where it came from. revision: the commit's hash."""

    folder: Path
    repo: str
    revision: str


def local(name: str | Path) -> Path:
    """A folder as it is; `hf-hub:user/name` fetched and checked."""
    return fetch(str(name)).folder if str(name).startswith(PREFIX) else Path(name)


def fetch(name: str, to: Path | None = None) -> Fetched:
    """The model `user/name[@revision]` (`hf-hub:` before it or not) as a checked folder: `to`, or one in the cache.

    A commit that is in the cache needs no network when it is named by its whole hash. Every byte of what is in the cache
    is compared each time; what is damaged is fetched again.
    Raises HubError, ModelError for what must not be built, RunError where `to` exists, DiskFull, UsageError.
    """
    repo, revision = _parsed(name)
    kept = _cached(repo, revision) if to is None and revision and COMMIT.fullmatch(revision) else None
    if kept and not damage(kept):
        return Fetched(kept, repo, kept.name)
    try:
        return _fetched(repo, revision, to)
    except HubError as error:
        if kept and kept.is_dir():
            raise HubError(f"{kept / damage(kept)} is damaged and cannot be fetched again: {error}") from error
        raise


def _fetched(repo: str, revision: str | None, to: Path | None) -> Fetched:
    name = f"{repo}@{revision}" if revision else repo
    again = f"Try again: zoo pull {name}"
    home = home_of(to) if to else cache_folder() / "hub"
    client = api()
    with explained("fetching", repo, again):
        info = client.model_info(repo, revision=revision, files_metadata=True)
    commit = str(info.sha)
    folder = to or _cached(repo, commit)
    if not to and not damage(folder):
        return Fetched(folder, repo, commit)
    wanted = _wanted(info, repo)
    with _space(home, sum(sibling.size or 0 for sibling in wanted), name, bool(to)), room(home) as part:
        for sibling in wanted:
            with explained(f"fetching {sibling.rfilename} of", repo, again):
                downloaded(client, repo, sibling.rfilename, commit, part / sibling.rfilename, sibling.size or SMALL)
            _check_hash(part / sibling.rfilename, sibling, f"{repo}. {again}")
        check(part, repo)
        hand_over(part, to.absolute()) if to else keep(part, folder)
    return Fetched(folder, repo, commit)


def _cached(repo: str, commit: str) -> Path:
    return cache_folder() / "hub" / repo.replace("/", "--") / commit


@contextmanager
def _space(home: Path, size: int, name: str, chosen: bool) -> Iterator[None]:
    """Raises DiskFull where `size` bytes do not fit into `home`, RunError where it is not writable. chosen: by the user."""
    other = "choose another --to" if chosen else "set ZOO_CACHE to another folder"
    try:
        with disk_faults(home, size):
            yield
    except DiskFull as error:
        free = shutil.disk_usage(home).free
        raise DiskFull(
            f"the disk is full: {name} needs {size / 1e6:,.1f} MB in {home}, where {free / 1e6:,.1f} MB are free. "
            f"Make room, or {other}"
        ) from error
    except RunError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise RunError(f"{error}; {other}") from error


def _parsed(name: str) -> tuple[str, str | None]:
    """`user/name@revision` -> (`user/name`, revision or None). Raises UsageError."""
    repo, at, revision = name.removeprefix(PREFIX).partition("@")
    if not re.fullmatch(r"[A-Za-z0-9_-][\w.-]*/[A-Za-z0-9_-][\w.-]*", repo, re.ASCII) or (at and not revision):
        raise UsageError(f"'{name}' is no model on the Hub. Write user/name or user/name@revision")
    return repo, revision or None


def _wanted(info: "ModelInfo", repo: str) -> "list[RepoSibling]":
    """The files of a model in a repository. Raises ModelError where there are none, or only pickles."""
    siblings = {s.rfilename: s for s in info.siblings or []}
    if WEIGHTS[0] not in siblings:
        if pickles := [name for name in siblings if name.endswith(PICKLES)]:
            raise ModelError(
                f"{repo} holds its weights only as a pickle ({pickles[0]}), which can run code when it is read; it is refused. "
                f"Ask its author for safetensors"
            )
        raise ModelError(f"{repo} holds no model.safetensors; it is not a model that zoo or timm made")
    if "config.json" not in siblings:
        raise ModelError(f"{repo} holds no config.json; it is not a model that zoo or timm made")
    wanted = [siblings[name] for name in FILES if name in siblings]
    for sibling in wanted:
        if sibling.rfilename not in WEIGHTS and (sibling.size or 0) > SMALL:
            raise ModelError(
                f"{repo}: {sibling.rfilename} is {sibling.size:,} bytes long, which it never should be; refused"
            )
    return wanted


def _check_hash(path: Path, sibling: "RepoSibling", again: str) -> None:
    """Raises HubError unless a file is what the Hub says it is."""
    expected, found = (sibling.lfs.sha256, sha256(path)) if sibling.lfs else (sibling.blob_id, git_hash(path))
    if expected != found:
        raise HubError(
            f"{path.name} arrived damaged: {path.stat().st_size:,} bytes, hash {found[:12]}, "
            f"expected {sibling.size or 0:,} bytes, {str(expected)[:12]}, of {again}"
        )

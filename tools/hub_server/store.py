"""Repositories on disk: immutable commits, and one record for each repository that says what is current.

FOLDER/KIND/OWNER/NAME/                    a plain folder (optional): the files of the first commit
FOLDER/.hub/repositories/KIND/OWNER/NAME/
    record.json                            branches, tags, pull requests -> commit; visibility
    commits/OID.json                       parent, title, author, date, files
FOLDER/.hub/blobs/XX/SHA256                contents that were pushed
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from .answers import Refusal
from .blobs import Blobs, File, describe
from .files import make_folder, read_json, write_json
from .folders import repositories, snapshot, unchanged
from .names import KINDS, Repo, checked_ref, is_name

ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.parquet filter=lfs diff=lfs merge=lfs -text\n"
PULLS = "refs/pr/"
Files = dict[str, File]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Commit:
    title: str
    author: str
    files: Files
    parent: str | None = None
    message: str = ""
    date: str = field(default_factory=now)

    @property
    def oid(self) -> str:
        return hashlib.sha1(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """`branches`, `tags` and `pulls` (by `refs/pr/N`) name commits. `folder` is the commit a plain folder gave."""

    branches: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool | str = False
    created: str = field(default_factory=now)
    folder: str | None = None


class Store:
    """All repositories below a folder. One lock guards every change; nothing is remembered between requests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hidden = folder.resolve(), folder.resolve() / ".hub"
        make_folder(self.hidden)
        self._alone = (self.hidden / "lock").open("w")
        try:
            fcntl.flock(self._alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._alone.close()
            raise Refusal(409, f"{folder}: another server serves this folder already") from None
        self.lock = threading.RLock()
        self.blobs = Blobs(self.hidden)
        shutil.rmtree(self.hidden / "trash", ignore_errors=True)

    def close(self) -> None:
        self._alone.close()

    # What there is

    def repositories(self) -> list[Repo]:
        pushed = (self.hidden / "repositories").glob("*/*/*/record.json")
        names = {Repo(*path.parts[-4:-1]) for path in pushed} | set(repositories(self.folder))
        return sorted(names, key=lambda repo: (KINDS.index(repo.kind), repo.id))

    def record(self, repo: Repo) -> Record | None:
        """None if there is no such repository. A plain folder that changed gets its first commit anew."""
        with self.lock:
            found = read_json(self._place(repo) / "record.json")
            record = Record(**found) if found else None
            untouched = record is None or record.branches.get("main") == record.folder
            if untouched and (record is None or record.folder) and self._plain(repo).is_dir():
                return self._import(repo, record)
            return record

    def commit(self, repo: Repo, oid: str) -> Commit | None:
        found = read_json(self._place(repo) / "commits" / f"{oid}.json")
        return found and Commit(**{**found, "files": {path: File(**file) for path, file in found["files"].items()}})

    def history(self, repo: Repo, oid: str | None) -> Iterator[tuple[str, Commit]]:
        """A commit and its ancestors, newest first."""
        while oid and (commit := self.commit(repo, oid)):
            yield oid, commit
            oid = commit.parent

    def resolve(self, repo: Repo, revision: str) -> str:
        """The commit that a branch, a tag, a pull request or a commit's own name stands for."""
        record = self.record(repo)
        named = {**record.tags, **{f"refs/heads/{name}": oid for name, oid in record.branches.items()}}
        oid = {**named, **record.pulls, **record.branches}.get(revision, revision)
        if not is_name(oid) or not self.commit(repo, oid):
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid

    def content(self, repo: Repo, path: str, file: File) -> Path:
        """Where the bytes of a file of a commit lie."""
        if file.mtime_ns is None:
            return self.blobs.path(file.sha256)
        if not unchanged(place := self._plain(repo) / path, file):
            raise Refusal(410, f"{path} was changed on the server's disk after this commit; ask for the branch again")
        return place

    # What changes it

    def create(self, repo: Repo, author: str, private: bool) -> None:
        with self.lock:
            if self.record(repo):
                raise Refusal(409, f"You already created this {repo.kind[:-1]} repo: {repo.id}")
            sha256 = self.blobs.add([ATTRIBUTES])
            files = {".gitattributes": describe(self.blobs.path(sha256), ".gitattributes")}
            first = self._keep(repo, Commit("initial commit", author, files))
            self._write(repo, Record({"main": first}, private=private))

    def add_commit(
        self, repo: Repo, revision: str, change: Callable[[Files], Files], pull: bool, parent: str | None, **about: str
    ) -> tuple[str, str]:
        """A commit on a branch or pull request (or on a new pull request); (its name, the ref it went to).

        Whatever `change` refuses leaves all as it was. `parent` is where the caller believes the branch to be.
        """
        with self.lock:
            record, base = self.record(repo), self.resolve(repo, revision)
            if revision not in record.branches and revision not in record.pulls:
                raise Refusal(400, f"{revision} is no branch, and only branches take commits")
            if pull and parent:
                base = self.resolve(repo, parent)
            elif parent and not base.startswith(parent.lower()):
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            files = change(dict(self.commit(repo, base).files))
            oid = self._keep(repo, Commit(files=dict(sorted(files.items())), parent=base, **about))
            ref = f"{PULLS}{len(record.pulls) + 1}" if pull else revision
            kind = "pulls" if ref.startswith(PULLS) else "branches"
            self._write(repo, replace(record, **{kind: {**getattr(record, kind), ref: oid}}))
            return oid, ref

    def point(self, repo: Repo, kind: str, name: str, oid: str | None, force: bool = False) -> None:
        """Makes, or with None removes, a branch or tag (`kind` is the field of the record)."""
        with self.lock:
            record = self.record(repo)
            refs = dict(getattr(record, kind))
            if oid is None:
                if name not in refs:
                    raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
                del refs[name]
            elif checked_ref(name) in refs and not force:
                raise Refusal(409, f"Reference already exists: {name}")
            else:
                refs[name] = oid
            self._write(repo, replace(record, **{kind: refs}))

    def set(self, repo: Repo, **settings: bool | str) -> None:
        with self.lock:
            self._write(repo, replace(self.record(repo), **settings))

    def move(self, repo: Repo, to: Repo) -> None:
        with self.lock:
            self._own(repo)
            if self.record(to):
                raise Refusal(409, f"{to.id} exists already")
            make_folder(self._place(to).parent)
            os.rename(self._place(repo), self._place(to))

    def delete(self, repo: Repo) -> None:
        with self.lock:
            self._own(repo)
            trash = self.hidden / "trash" / secrets.token_hex(8)
            make_folder(trash.parent)
            os.rename(self._place(repo), trash)
        shutil.rmtree(trash)

    # Below

    def _place(self, repo: Repo) -> Path:
        return self.hidden.joinpath("repositories", *repo)

    def _plain(self, repo: Repo) -> Path:
        return self.folder.joinpath(*repo)

    def _own(self, repo: Repo) -> None:
        if self._plain(repo).is_dir():
            raise Refusal(403, f"{repo.id} is a folder of the server's owner, who alone moves or removes it")

    def _keep(self, repo: Repo, commit: Commit) -> str:
        write_json(self._place(repo) / "commits" / f"{commit.oid}.json", asdict(commit))
        return commit.oid

    def _write(self, repo: Repo, record: Record) -> None:
        write_json(self._place(repo) / "record.json", asdict(record))

    def _import(self, repo: Repo, record: Record | None) -> Record:
        before = self.commit(repo, record.folder).files if record else {}
        files = snapshot(self._plain(repo), before)
        if record and files == before:
            return record
        oid = self._keep(repo, Commit("initial commit", "system", files))
        branches = {**(record.branches if record else {}), "main": oid}
        self._write(repo, made := replace(record or Record(branches), branches=branches, folder=oid))
        return made

"""A repository on the Hub: what it holds, and one commit on top of exactly that."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from zoo.errors import HubError, ZooError
from zoo.hub.client import downloaded
from zoo.hub.errors import explained
from zoo.storage.atomic import git_hash, sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "README.md"
LONGEST_CARD = 5_000_000
BORN_WITH = {".gitattributes"}
"""What the Hub puts into a new repository."""


@dataclass(frozen=True)
class Destination:
    """Where and how to publish. repo: `user/name`, '' for the token's user and the run's name; the rest as in `zoo push`."""

    repo: str = ""
    public: bool = False
    branch: str | None = None
    tag: str | None = None
    create_pr: bool = False
    message: str | None = None


@dataclass(frozen=True)
class Contents:
    """What one revision of a repository holds.

    head: its commit, None where there is none; files: hash by path (sha256 of large files, git's of small ones);
    private: None where the repository does not exist.
    """

    head: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    card: str = ""
    private: bool | None = None

    @property
    def exists(self) -> bool:
        return self.private is not None

    def lacks(self, folder: Path, names: Collection[str]) -> list[str]:
        """Those of a folder's files that are not here, or other than here."""
        return [name for name in names if self.files.get(name) not in (sha256(folder / name), git_hash(folder / name))]


@dataclass(frozen=True)
class Published:
    """commit: that holds the files; changed: whether it had to be made; revision: of the pull request, if it is one."""

    commit: str
    changed: bool
    revision: str | None = None


class Repository:
    """One repository, new or not. again: what to type after a failure."""

    def __init__(self, client: "HfApi", to: Destination, again: str) -> None:
        self.client, self.to = client, to
        self.again = f"Nothing is half published. Try again: {again}"

    def read(self) -> Contents:
        """What it holds now, on the branch where one is named and there. Raises HubError."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        with self._explained("reading"):
            try:
                info = self.client.model_info(self.to.repo)
            except RepositoryNotFoundError:
                return Contents()
            head = info.sha
            if self.to.branch:
                with suppress(RevisionNotFoundError):  # it will begin where main is
                    head = self.client.model_info(self.to.repo, revision=self.to.branch).sha
            return self._at(head, bool(info.private)) if head else Contents(private=bool(info.private))

    def publish(self, folder: Path, names: Collection[str], before: Contents, ours: Collection[str]) -> Published:
        """Make the repository hold `names` of `folder`, in one commit on top of `before`, and compare what it then holds.

        ours: names that are removed where the folder does not have them. No commit is made where nothing differs.
        Raises HubError where the repository is no longer as it was `before`, and for all that the Hub refuses.
        """
        self._check_tag(before, folder, names)
        if not before.exists:
            before = self._created()
        gone = [name for name in ours if name in before.files and name not in names]
        changed = before.lacks(folder, names)
        if self.to.branch:
            with self._explained("making a branch of"):
                self.client.create_branch(self.to.repo, branch=self.to.branch, exist_ok=True)
        published = self._commit(folder, changed, gone, before) if changed or gone else Published(before.head, False)
        if wrong := self._at(published.commit, True, card=False).lacks(folder, names):
            raise HubError(f"{self.to.repo} does not hold what was pushed: {', '.join(wrong)}. {self.again}")
        if self.to.tag:
            with self._explained("tagging"):
                self.client.create_tag(self.to.repo, tag=self.to.tag, revision=published.commit, exist_ok=True)
        return published

    def _at(self, commit: str, private: bool, card: bool = True) -> Contents:
        from huggingface_hub import RepoFile

        with self._explained("reading"):
            tree = self.client.list_repo_tree(self.to.repo, revision=commit, recursive=True)
            files = {f.path: f.lfs.sha256 if f.lfs else f.blob_id for f in tree if isinstance(f, RepoFile)}
            text = self._card(commit) if card and CARD in files else ""
        return Contents(commit, files, text, private)

    def _card(self, commit: str) -> str:
        with TemporaryDirectory() as scratch:
            path = downloaded(self.client, self.to.repo, CARD, commit, Path(scratch, CARD), LONGEST_CARD)
            return path.read_text(encoding="utf-8", errors="replace")

    def _created(self) -> Contents:
        from huggingface_hub.errors import HfHubHTTPError

        with self._explained("creating"):
            try:
                self.client.create_repo(self.to.repo, private=not self.to.public)
            except HfHubHTTPError as problem:
                if problem.response.status_code != 409:
                    raise
        made = replace(self.read(), card="")
        if not made.exists:
            raise HubError(f"the name {self.to.repo} is taken by something that your token may not see; choose another")
        if made.files.keys() - BORN_WITH:
            raise HubError(f"{self.to.repo} was made by somebody else meanwhile. {self.again}")
        return made

    def _check_tag(self, before: Contents, folder: Path, names: Collection[str]) -> None:
        """Raises HubError for a tag that is taken by other files, which would not move."""
        if not self.to.tag or not before.exists:
            return
        with self._explained("reading"):
            tags = {tag.name: tag.target_commit for tag in self.client.list_repo_refs(self.to.repo).tags}
        taken = tags.get(self.to.tag)
        if taken and self._at(taken, True, card=False).lacks(folder, names):
            raise HubError(f"{self.to.repo} has a tag {self.to.tag} already, of another version; choose another --tag")

    def _commit(self, folder: Path, changed: list[str], gone: list[str], before: Contents) -> Published:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        if self.to.create_pr and (open_ := self._pull_request(folder, changed)):
            return open_
        adds = [CommitOperationAdd(name, str(folder / name)) for name in changed]
        try:
            with self._explained("pushing to"):
                made = self.client.create_commit(
                    self.to.repo,
                    [*adds, *(CommitOperationDelete(name) for name in gone)],
                    commit_message=self.to.message or f"Model trained by zoo: {', '.join(changed + gone)}",
                    revision=self.to.branch,
                    parent_commit=before.head,
                    create_pr=self.to.create_pr,
                )
        except ZooError:
            # The answer may have been lost after the commit was made; what the repository holds decides.
            if found := self._found(folder, changed, gone):
                return found
            raise
        return Published(made.oid, True, made.pr_revision)

    def _found(self, folder: Path, changed: list[str], gone: list[str]) -> Published | None:
        """A commit whose answer was lost, if it was made."""
        if self.to.create_pr:
            return self._pull_request(folder, changed)
        after = self.read()
        if after.lacks(folder, changed) or any(name in after.files for name in gone):
            return None
        return Published(after.head, True)

    def _pull_request(self, folder: Path, changed: list[str]) -> Published | None:
        """The newest pull request, if it holds just this: an earlier try opened it."""
        with self._explained("reading"):
            refs = self.client.list_repo_refs(self.to.repo, include_pull_requests=True).pull_requests or []
        newest = max(refs, key=lambda ref: int(ref.ref.rpartition("/")[2]), default=None)
        if newest is None or self._at(newest.target_commit, True, card=False).lacks(folder, changed):
            return None
        return Published(newest.target_commit, True, newest.ref)

    def _explained(self, doing: str) -> AbstractContextManager[None]:
        return explained(doing, self.to.repo, self.again)

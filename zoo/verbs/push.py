"""Push: a run or model folder -> one commit on the Hub, checked before and after."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.hub import api, explained
from zoo.hub.download import FILES
from zoo.hub.repository import Contents, Destination, Published, Repository
from zoo.publishing.staging import Publication, stage, verify
from zoo.reporting import Reporter

if TYPE_CHECKING:
    from huggingface_hub import HfApi

REF = re.compile(r"(?!.*(\.\.|//|/\.|\.lock(/|$)))[A-Za-z0-9_][A-Za-z0-9._/-]*(?<![./])")
"""Names of branches and tags that every git takes."""


def push(
    source: str | Path,
    to: str | Destination = "",
    *,
    dry_run: bool = False,
    confirm: Callable[[Mapping[str, Any]], bool] = lambda plan: True,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Publish a finished run or a model folder as `to` (`user/name`; unless said, the token's user and the run's name).

    The staged copy is loaded in a fresh process and compared first; then `confirm` sees what would happen; then one
    commit is made and its files are compared with what was staged. Unchanged content makes no commit.
    dry_run: stage, compare and say what would happen; needs neither network nor token. Raises ZooError.
    """
    source, reporter = Path(source), reporter or Reporter()
    to = to if isinstance(to, Destination) else Destination(to)
    _check(to)
    client = None if dry_run else api(write=True)
    if client is not None and not to.repo:
        to = replace(to, repo=_own_name(client, source))
    repository = Repository(client, to, _typed(source, to)) if client is not None else None
    before = repository.read() if repository is not None else Contents()
    with TemporaryDirectory(prefix="zoo-push-") as scratch:
        publication = stage(source, Path(scratch, "staged"), to.repo, before.card)
        reporter.note("comparing the staged copy with the run, in a fresh process")
        plan = _plan(publication, to, before, verify(publication, source, Path(scratch)))
        if repository is None:
            return {**plan, "pushed": False}
        if not confirm(plan):
            reporter.note("not pushed")
            return {**plan, "pushed": False}
        published = repository.publish(publication.folder, publication.sizes, before, FILES)
    if not published.changed:
        reporter.note(f"{to.repo} holds exactly this already: no commit")
    return {**plan, **_outcome(published, to, plan["endpoint"])}


def check_ready(repo: str) -> None:
    """Before a long training: the name is one, and there is a token to push with. Raises UsageError, HubError."""
    _check(Destination(repo))
    api(write=True)


def _check(to: Destination) -> None:
    """Raises UsageError for a destination that cannot be."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if to.branch and to.create_pr:
        raise UsageError("--branch and --create-pr exclude each other: a pull request has a branch of its own")
    for option, name in (("--branch", to.branch), ("--tag", to.tag)):
        if name and not REF.fullmatch(name):
            raise UsageError(f"{option}: '{name}' is no name in git. Write letters, digits, '.', '-', '_' and '/'")
    if not to.repo:
        return
    try:
        validate_repo_id(to.repo)
    except HFValidationError:
        raise UsageError(
            f"'{to.repo}' is no repository name. Write user/name, with letters, digits, '.', '-' and '_'"
        ) from None
    if "/" not in to.repo:
        raise UsageError(f"'{to.repo}' has no owner. Write user/name")


def _typed(source: Path, to: Destination) -> str:
    """The command line of a push."""
    named = {"--message": to.message, "--tag": to.tag, "--branch": to.branch}
    flags = [name for name, given in {"--public": to.public, "--create-pr": to.create_pr}.items() if given]
    words = [word for name, value in named.items() if value for word in (name, value)]
    return shlex.join(["zoo", "push", str(source), to.repo, *flags, *words])


def _own_name(client: "HfApi", source: Path) -> str:
    with explained("asking who you are on", "the Hub", f"Try again: zoo push {shlex.quote(str(source))} user/name"):
        name = f"{client.whoami()['name']}/{source.absolute().name}"
    _check(Destination(name))
    return name


def _plan(
    publication: Publication, to: Destination, before: Contents, differences: Mapping[str, float]
) -> dict[str, Any]:
    """What is about to happen, for people and programs to look at."""
    from huggingface_hub import constants

    private = before.private if before.exists else not to.public
    return {
        "endpoint": constants.ENDPOINT,
        "repository": to.repo or None,
        "exists": before.exists,
        "visibility": "private" if private else "public",
        "licence": publication.licence,
        "files": dict(publication.sizes),
        "bytes": sum(publication.sizes.values()),
        "plain_timm": publication.plain_timm,
        "differences": dict(differences),
    }


def _outcome(published: Published, to: Destination, endpoint: str) -> dict[str, Any]:
    """Where the files are now, and the line that loads them."""
    revision = published.revision or to.tag or to.branch
    page = f"{endpoint}/{to.repo}"
    if published.revision:
        page += f"/discussions/{published.revision.rpartition('/')[2]}"
    elif revision:
        page += f"/tree/{revision}"
    return {
        "pushed": True,
        "commit": published.commit,
        "changed": published.changed,
        "url": page,
        "load": f'zoo.load("hf-hub:{to.repo}{f"@{revision}" if revision else ""}")',
    }

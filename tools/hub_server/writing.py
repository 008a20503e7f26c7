"""The routes that change repositories: create, delete, move, settings, branches, tags, commits."""

import base64
import binascii
import json
from typing import Any

from .answers import Answer, Refusal, as_json
from .blobs import describe
from .names import Repo, checked_path, checked_repo, checked_sha256
from .request import Request
from .routes import REPO, Hub, route
from .store import PULLS, Files

VISIBILITIES = ("public", "private")


@route("POST", "/api/validate-yaml")
def validate_yaml(hub: Hub, request: Request) -> Answer:
    """Takes any card: to judge YAML needs more than the standard library."""
    request.json()
    return as_json({"errors": [], "warnings": []})


@route("POST", "/api/repos/create")
def create(hub: Hub, request: Request) -> Answer:
    user, wanted = hub.known(request), request.json()
    repo = _named(wanted, user.name)
    hub.may_write(user, repo.owner)
    address = {"url": f"{request.endpoint}/{repo.address}", "name": repo.id, "id": repo.id}
    try:
        hub.store.create(repo, user.name, _private(wanted) or False)
    except Refusal as refusal:
        raise Refusal(refusal.status, refusal.message, **address) from None
    return as_json(address)


@route("DELETE", "/api/repos/delete")
def delete(hub: Hub, request: Request) -> Answer:
    repo = _named(request.json(), hub.known(request).name)
    hub.writable(request, repo)
    hub.store.delete(repo)
    return as_json({})


@route("POST", "/api/repos/move")
def move(hub: Hub, request: Request) -> Answer:
    wanted = request.json()
    kind = f"{wanted.get('type') or 'model'}s"
    source, to = (checked_repo(kind, *_halves(str(wanted.get(key)))) for key in ("fromRepo", "toRepo"))
    user = hub.writable(request, source)
    hub.may_write(user, to.owner)
    hub.store.move(source, to)
    return as_json({"url": f"{request.endpoint}/{to.address}"})


@route("PUT", rf"/api/{REPO}/settings")
def settings(hub: Hub, request: Request, repo: Repo) -> Answer:
    hub.writable(request, repo)
    wanted = request.json()
    private, gated = _private(wanted), wanted.get("gated")
    if gated not in (None, False, "auto", "manual"):
        raise Refusal(400, f"gated: {gated!r} is none of false, 'auto', 'manual'")
    changes = {key: value for key, value in {"private": private, "gated": gated}.items() if value is not None}
    hub.store.set(repo, **changes)
    return as_json(changes)


@route("POST", rf"/api/{REPO}/branch/(?P<branch>.+)")
def create_branch(hub: Hub, request: Request, repo: Repo, branch: str) -> Answer:
    hub.writable(request, repo)
    wanted = request.json()
    start = hub.store.resolve(repo, str(wanted.get("startingPoint") or "main"))
    hub.store.point(repo, "branches", branch, start, force=bool(wanted.get("overwrite")))
    return as_json({})


@route("DELETE", rf"/api/{REPO}/branch/(?P<branch>.+)")
def delete_branch(hub: Hub, request: Request, repo: Repo, branch: str) -> Answer:
    hub.writable(request, repo)
    if branch == "main":
        raise Refusal(403, "the branch main cannot be deleted")
    hub.store.point(repo, "branches", branch, None)
    return as_json({})


@route("POST", rf"/api/{REPO}/tag/(?P<revision>.+)")
def create_tag(hub: Hub, request: Request, repo: Repo, revision: str) -> Answer:
    hub.writable(request, repo)
    hub.store.point(repo, "tags", str(request.json().get("tag", "")), hub.store.resolve(repo, revision))
    return as_json({})


@route("DELETE", rf"/api/{REPO}/tag/(?P<tag>.+)")
def delete_tag(hub: Hub, request: Request, repo: Repo, tag: str) -> Answer:
    hub.writable(request, repo)
    hub.store.point(repo, "tags", tag, None)
    return as_json({})


@route("POST", rf"/api/{REPO}/commit/(?P<revision>.+)")
def commit(hub: Hub, request: Request, repo: Repo, revision: str) -> Answer:
    """All of it becomes one commit, or nothing does."""
    pull = request.flag("create_pr")
    user = hub.writable(request, repo, pull)
    header, operations = _parsed(request.body())
    oid, ref = hub.store.add_commit(
        repo,
        revision,
        lambda files: _applied(hub, files, operations),
        pull,
        header.get("parentCommit"),
        title=str(header["summary"]),
        message=str(header.get("description") or ""),
        author=user.name,
    )
    page = f"{request.endpoint}/{repo.address}"
    answer = {"success": True, "commitOid": oid, "commitUrl": f"{page}/commit/{oid}", "hookOutput": ""}
    if pull:
        answer["pullRequestUrl"] = f"{page}/discussions/{ref.removeprefix(PULLS)}"
    return as_json(answer)


def _parsed(body: bytes) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The header, and (what, with what) line by line."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        (first, header), *operations = [(line["key"], dict(line["value"])) for line in lines]
    except (ValueError, KeyError, TypeError):
        raise Refusal(400, "a commit is lines of JSON, each with 'key' and 'value', and the header first") from None
    if first != "header" or not header.get("summary"):
        raise Refusal(400, "a commit needs a header with a summary")
    return header, operations


def _applied(hub: Hub, files: Files, operations: list[tuple[str, dict[str, Any]]]) -> Files:
    """The files after the operations, in their order."""
    for what, value in operations:
        path = checked_path(str(value.get("path", "")).rstrip("/" if what == "deletedFolder" else ""))
        if what == "file":
            files[path] = describe(hub.store.blobs.path(hub.store.blobs.add([content_of(value)])), path, large=False)
        elif what == "lfsFile":
            sha256 = checked_sha256(str(value.get("oid")))
            if not hub.store.blobs.has(sha256):
                raise Refusal(400, f"{path}: its content {sha256!r} was not uploaded")
            files[path] = describe(hub.store.blobs.path(sha256), path, large=True)
        elif what in ("deletedFile", "deletedFolder"):
            gone = [name for name in files if name == path or name.startswith(f"{path}/")]
            if not gone or (what == "deletedFile") != (path in files):
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            files = {name: file for name, file in files.items() if name not in gone}
        else:
            raise Refusal(400, f"{what!r} is no operation of a commit")
    folders = {name[:at] for name in files for at, char in enumerate(name) if char == "/"}
    if both := folders & files.keys():
        raise Refusal(400, f"{min(both)} would be both a file and a folder")
    return files


def content_of(value: dict[str, Any]) -> bytes:
    """What a small file's line holds."""
    content = str(value.get("content", ""))
    if value.get("encoding") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        raise Refusal(400, f"{value.get('path')}: its content is no base64") from None


def _named(wanted: dict[str, Any], user: str) -> Repo:
    """The repository of a request that says name, organization and type; the user's own without an organization."""
    kind = f"{wanted.get('type') or 'model'}s"
    return checked_repo(kind, str(wanted.get("organization") or user), str(wanted.get("name", "")))


def _halves(repo_id: str) -> tuple[str, str]:
    owner, _, name = repo_id.partition("/")
    return owner, name


def _private(wanted: dict[str, Any]) -> bool | None:
    """What a request says of visibility, in the newer form or the older; None if nothing."""
    visibility = wanted.get("visibility")
    if visibility not in (None, *VISIBILITIES):
        raise Refusal(400, f"visibility: {visibility!r} is none of {', '.join(VISIBILITIES)}")
    return wanted.get("private") if visibility is None else visibility == "private"

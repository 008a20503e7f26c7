"""The routes that change nothing: who am I, listings, trees, files."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

from .answers import Answer, Part, Refusal, as_json
from .blobs import File
from .names import KINDS, Repo, checked_path
from .request import Request
from .routes import ADDRESS, REPO, Hub, route
from .store import Commit, Files, Record

EXPANDED_PAGE = 50
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@route("GET", "/")
def front(hub: Hub, request: Request) -> Answer:
    return Answer(b"A small Hub. Set HF_ENDPOINT to this address.\n", headers={"Content-Type": "text/plain"})


@route("GET", "/api/agent-harnesses")
def agent_harnesses(hub: Hub, request: Request) -> Answer:
    return as_json({"standardEnvVars": [], "harnesses": {}})


@route("GET", "/api/whoami-v2")
def whoami(hub: Hub, request: Request) -> Answer:
    user = hub.known(request)
    token = {"displayName": user.name, "role": user.role}
    orgs = [{"type": "org", "id": name, "name": name, "fullname": name} for name in user.organizations]
    about = {"type": "user", "id": user.name, "name": user.name, "fullname": user.name, "isPro": False}
    return as_json({**about, "orgs": orgs, "auth": {"type": "access_token", "accessToken": token}})


@route("GET", rf"/api/{REPO}/auth-check(?P<write>/write)?")
def auth_check(hub: Hub, request: Request, repo: Repo, write: str | None) -> Answer:
    if write:
        hub.writable(request, repo)
    else:
        hub.readable(request, repo, content=True)
    return as_json({})


@route("GET", rf"/api/(?P<kind>{'|'.join(KINDS)})")
def listing(hub: Hub, request: Request, kind: str) -> Answer:
    """Those the user may see, by author and by a part of the name."""
    user, found = hub.accounts.user(request.authorization), []
    for repo in hub.store.repositories():
        wanted = request.query.get("author") in (None, repo.owner) and request.query.get("search", "") in repo.id
        if repo.kind == kind and wanted and hub.sees(user, repo, record := hub.store.record(repo)):
            found.append(_about(hub, repo, record, record.branches["main"], blobs=False))
    page, headers = _page(request, found, hub.page_size)
    return as_json(page, **headers)


@route("GET", rf"/api/{REPO}(?:/revision/(?P<revision>[^/]+))?")
def info(hub: Hub, request: Request, repo: Repo, revision: str | None) -> Answer:
    record = hub.readable(request, repo)
    oid = hub.store.resolve(repo, revision or "main")
    return as_json(_about(hub, repo, record, oid, request.flag("blobs")))


@route("GET", rf"/api/{REPO}/refs")
def refs(hub: Hub, request: Request, repo: Repo) -> Answer:
    record = hub.readable(request, repo)
    found = {
        "branches": _refs(record.branches, "refs/heads/"),
        "tags": _refs(record.tags, "refs/tags/"),
        "converts": [],
    }
    return as_json({**found, "pullRequests": _refs(record.pulls, "") if request.flag("include_prs") else []})


@route("GET", rf"/api/{REPO}/commits/(?P<revision>[^/]+)")
def commits(hub: Hub, request: Request, repo: Repo, revision: str) -> Answer:
    hub.readable(request, repo)
    page, headers = _page(request, list(hub.store.history(repo, hub.store.resolve(repo, revision))), EXPANDED_PAGE)
    about = [
        {"id": oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
        for oid, c in page
    ]
    return as_json(about, **headers)


@route("GET", rf"/api/{REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?")
def tree(hub: Hub, request: Request, repo: Repo, revision: str, path: str | None) -> Answer:
    """The files and folders in a folder, or all below it."""
    hub.readable(request, repo, content=True)
    oid = hub.store.resolve(repo, revision)
    start = f"{checked_path(path.rstrip('/'))}/" if path else ""
    files = hub.store.commit(repo, oid).files
    below = sorted(entry for entry in {*files, *_folders(files)} if entry.startswith(start))
    if start and not below:
        raise Refusal(404, f"{path} does not exist on {revision}", "EntryNotFound")
    if not request.flag("recursive"):
        below = [entry for entry in below if "/" not in entry.removeprefix(start)]
    page, headers = _page(
        request, below, min(hub.page_size, EXPANDED_PAGE) if request.flag("expand") else hub.page_size
    )
    entries = [_entry(entry, files) for entry in page]
    if request.flag("expand"):
        _add_last_commits(hub, repo, oid, entries)
    return as_json(entries, **headers)


@route("POST", rf"/api/{REPO}/paths-info/(?P<revision>[^/]+)")
def paths_info(hub: Hub, request: Request, repo: Repo, revision: str) -> Answer:
    """Of the paths asked for, those that exist."""
    hub.readable(request, repo, content=True)
    form = request.form()
    oid = hub.store.resolve(repo, revision)
    files = hub.store.commit(repo, oid).files
    there = {*files, *_folders(files)}
    entries = [_entry(path, files) for path in (p.strip("/") for p in form.get("paths", [])) if path in there]
    if str(form.get("expand", [""])[0]).lower() in ("1", "true"):
        _add_last_commits(hub, repo, oid, entries)
    return as_json(entries)


@route("GET", rf"/{ADDRESS}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(hub: Hub, request: Request, repo: Repo, revision: str, path: str) -> Answer:
    """A file, or the range of it that was asked for."""
    hub.readable(request, repo, content=True)
    oid = hub.store.resolve(repo, revision)
    file = hub.store.commit(repo, oid).files.get(checked_path(path))
    if file is None:
        refusal = Refusal(404, "Entry not found", "EntryNotFound").answer()
        refusal.headers["X-Repo-Commit"] = oid
        return refusal
    headers = {
        "ETag": f'"{file.sha256 if file.lfs else file.oid}"',
        "X-Repo-Commit": oid,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream" if file.lfs else "text/plain; charset=utf-8",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(PurePosixPath(path).name)}",
        "X-Content-Type-Options": "nosniff",
    }
    if file.lfs:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    part = Part(hub.store.content(repo, path, file), 0, file.size)
    if not (match := RANGE.fullmatch(request.headers.get("Range", ""))) or not any(match.groups()):
        return Answer(part, 200, headers)
    first, last = match.groups()
    start = int(first) if first else max(file.size - int(last), 0)
    end = min(int(last) + 1 if first and last else file.size, file.size)
    if start >= end:
        return Answer(b"", 416, {**headers, "Content-Range": f"bytes */{file.size}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    return Answer(Part(part.path, start, end - start), 206, headers)


def _about(hub: Hub, repo: Repo, record: Record, oid: str, blobs: bool) -> dict[str, Any]:
    commit = hub.store.commit(repo, oid)
    siblings = [{"rfilename": path, **(_blob(file) if blobs else {})} for path, file in commit.files.items()]
    about = {
        "_id": hashlib.sha1(repo.address.encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.owner,
        "sha": oid,
    }
    kept = {"private": record.private, "gated": record.gated, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
    dates = {"createdAt": record.created, "lastModified": commit.date}
    used = sum({file.sha256: file.size for file in commit.files.values()}.values())
    model = {"modelId": repo.id} if repo.kind == "models" else {}
    return {**about, **model, **kept, **dates, "usedStorage": used, "siblings": siblings}


def _blob(file: File) -> dict[str, Any]:
    large = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return {"size": file.size, "blobId": file.oid, **({"lfs": large} if file.lfs else {})}


def _refs(names: dict[str, str], prefix: str) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"{prefix}{name}", "targetCommit": oid} for name, oid in names.items()]


def _folders(files: Iterable[str]) -> set[str]:
    return {parent.as_posix() for path in files for parent in PurePosixPath(path).parents} - {"."}


def _entry(path: str, files: Files) -> dict[str, Any]:
    """A file, or a folder, whose name stands for all below it."""
    if file := files.get(path):
        large = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
        return {
            "type": "file",
            "oid": file.oid,
            "size": file.size,
            "path": path,
            **({"lfs": large} if file.lfs else {}),
        }
    below = [f"{name} {file.oid}" for name, file in files.items() if name.startswith(f"{path}/")]
    return {"type": "directory", "oid": hashlib.sha1("\n".join(below).encode()).hexdigest(), "size": 0, "path": path}


def _add_last_commits(hub: Hub, repo: Repo, oid: str, entries: list[dict[str, Any]]) -> None:
    """Adds to each entry the commit since which it is what it is."""
    history = list(hub.store.history(repo, oid))
    for entry in entries:
        last, now = history[0], _state(history[0][1], entry["path"])
        for older in history[1:]:
            if _state(older[1], entry["path"]) != now:
                break
            last = older
        entry["lastCommit"] = {"id": last[0], "title": last[1].title, "date": last[1].date}


def _state(commit: Commit, path: str) -> str | None:
    """The name of a file's or folder's content at a commit."""
    return _entry(path, commit.files)["oid"] if path in {*commit.files, *_folders(commit.files)} else None


def _page(request: Request, entries: list[Any], size: int) -> tuple[list[Any], dict[str, str]]:
    """The page of entries that was asked for, and a header with a link to the next one."""
    wanted = request.query.get("limit", "")
    size = min(size, max(int(wanted), 1)) if wanted.isdecimal() else size
    cursor = request.query.get("cursor", "0")
    start = int(cursor) if cursor.isdecimal() else 0
    if start + size >= len(entries):
        return entries[start:], {}
    following = urlencode({**request.query, "cursor": start + size})
    return entries[start : start + size], {"Link": f'<{request.endpoint}{request.path}?{following}>; rel="next"'}

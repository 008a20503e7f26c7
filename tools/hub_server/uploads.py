"""The routes that bring contents, before a commit names them: LFS in one piece or in parts, and xet."""

import shutil
from math import ceil
from typing import Any

from .answers import Answer, Refusal, as_json
from .blobs import is_large, pieces_of
from .names import Repo, checked_path, checked_sha256
from .request import Request
from .routes import ADDRESS, REPO, Hub, route
from .writing import content_of

LFS = "application/vnd.git-lfs+json"


@route("POST", rf"/api/{REPO}/preupload/(?P<revision>.+)")
def preupload(hub: Hub, request: Request, repo: Repo, revision: str) -> Answer:
    """Which way each file goes, and what stands at its path now."""
    hub.writable(request, repo, pull=request.flag("create_pr"))
    files = hub.store.commit(repo, hub.store.resolve(repo, revision)).files
    answers = []
    for wanted in request.json().get("files", []):
        path, now = checked_path(str(wanted.get("path", ""))), files.get(str(wanted.get("path")))
        sample = content_of({"content": wanted.get("sample", ""), "encoding": "base64", "path": path})
        large = is_large(path, int(wanted.get("size", 0)), sample)
        oid = now and (now.sha256 if now.lfs else now.oid)
        mode = "lfs" if large else "regular"
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return as_json({"files": answers})


@route("POST", rf"/{ADDRESS}\.git/info/lfs/objects/batch")
def batch(hub: Hub, request: Request, repo: Repo) -> Answer:
    """Where each content goes that is not here yet."""
    hub.writable(request, repo, pull=True)
    objects = [_upload(hub, request, repo, wanted) for wanted in request.json().get("objects", [])]
    return as_json({"transfer": "basic", "objects": objects}, Content_Type=LFS)


def _upload(hub: Hub, request: Request, repo: Repo, wanted: dict[str, Any]) -> dict[str, Any]:
    oid, size = checked_sha256(str(wanted.get("oid"))), int(wanted.get("size", 0))
    if hub.store.blobs.has(oid):
        return {"oid": oid, "size": size}
    ticket, _ = hub.tickets.issue()
    href = f"{request.endpoint}/lfs/{ticket}/{oid}"
    upload: dict[str, Any] = {"href": href}
    if size > hub.part_bytes:
        parts = {str(number): f"{href}/{number}" for number in range(1, ceil(size / hub.part_bytes) + 1)}
        upload["header"] = {"chunk_size": str(hub.part_bytes), **parts}
    verify = {"href": f"{request.endpoint}/{repo.address}.git/info/lfs/objects/verify"}
    return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}


@route("PUT", r"/lfs/(?P<ticket>[\w-]+)/(?P<oid>\w+)")
def put(hub: Hub, request: Request, ticket: str, oid: str) -> Answer:
    hub.tickets.check(ticket)
    hub.store.blobs.add(request.pieces(), checked_sha256(oid))
    return Answer()


@route("PUT", r"/lfs/(?P<ticket>[\w-]+)/(?P<oid>\w+)/(?P<number>\d+)")
def put_part(hub: Hub, request: Request, ticket: str, oid: str, number: str) -> Answer:
    hub.tickets.check(ticket)
    part = hub.incoming / ticket / str(int(number))
    part.parent.mkdir(exist_ok=True)
    with part.open("wb") as file:
        for piece in request.pieces():
            file.write(piece)
    return Answer(headers={"ETag": f'"{number}"'})


@route("POST", r"/lfs/(?P<ticket>[\w-]+)/(?P<oid>\w+)")
def complete(hub: Hub, request: Request, ticket: str, oid: str) -> Answer:
    """The parts, in their order, are the content."""
    hub.tickets.check(ticket)
    parts = [hub.incoming / ticket / str(int(part["partNumber"])) for part in request.json().get("parts", [])]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise Refusal(400, f"part {missing[0]} was not uploaded")
    hub.store.blobs.add((piece for part in parts for piece in pieces_of(part)), checked_sha256(oid))
    shutil.rmtree(hub.incoming / ticket, ignore_errors=True)
    return as_json({})


@route("POST", rf"/{ADDRESS}\.git/info/lfs/objects/verify")
def verify(hub: Hub, request: Request, repo: Repo) -> Answer:
    hub.writable(request, repo, pull=True)
    wanted = request.json()
    path = hub.store.blobs.path(checked_sha256(str(wanted.get("oid"))))
    if not path.is_file() or path.stat().st_size != wanted.get("size"):
        raise Refusal(404, "this content is not here, or not whole")
    return as_json({}, Content_Type=LFS)


@route("GET", rf"/api/{REPO}/xet-(?P<access>read|write)-token/(?P<revision>.+)")
def xet_token(hub: Hub, request: Request, repo: Repo, access: str, revision: str) -> Answer:
    if access == "write":
        hub.writable(request, repo, pull=request.flag("create_pr"))
    hub.readable(request, repo, content=True)
    ticket, end = hub.tickets.issue()
    cas = f"{request.endpoint}/xet/{hub.xet.name}"
    headers = {"X_Xet_Cas_Url": cas, "X_Xet_Access_Token": ticket, "X_Xet_Token_Expiration": str(end)}
    return as_json({"casUrl": cas, "accessToken": ticket, "exp": end}, **headers)


@route("POST", r"/xet/(?P<name>\w+)/v1/xorbs/default/(?P<xorb>[0-9a-f]{64})")
def put_xorb(hub: Hub, request: Request, name: str, xorb: str) -> Answer:
    _check_xet(hub, request, name)
    hub.xet.keep(xorb, request.body())
    return as_json({"was_inserted": True})


@route("POST", r"/xet/(?P<name>\w+)/v(?P<version>[12])/shards")
def put_shard(hub: Hub, request: Request, name: str, version: str) -> Answer:
    """Version 2 answers with a line for each event, of which only the last matters."""
    _check_xet(hub, request, name)
    hub.xet.assemble(request.body())
    if version == "1":
        return as_json({"result": 1})
    return Answer(b'{"type":"result"}\n', headers={"Content-Type": "application/x-ndjson"})


def _check_xet(hub: Hub, request: Request, name: str) -> None:
    hub.tickets.check((request.authorization or "").removeprefix("Bearer "))
    if name != hub.xet.name:
        raise Refusal(404, "this address is that of another folder; start the upload again")

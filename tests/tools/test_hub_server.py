"""What the small Hub promises, asked for without a client: names, roles, commits, references, folders, faults."""

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hub_server.answers import Refusal
from hub_server.names import checked_path, checked_ref, is_name
from hubs import ANN, BOB, READER, Hub, serving

MODEL = "/api/models/ann/m"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path / "hub", tmp_path / "home") as hub:
        yield hub


def create(hub: Hub, name: str = "m", token: str = ANN, **more: Any) -> tuple[int, Any, Any]:
    return hub.ask("POST", "/api/repos/create", {"name": name, "organization": None, **more}, token)


def commit(hub: Hub, *operations: dict, repo: str = MODEL, token: str = ANN, to: str = "main", **header: str) -> Any:
    """(status, answer) of a commit."""
    lines = [{"key": "header", "value": {"summary": "s", **header}}, *operations]
    body = "\n".join(map(json.dumps, lines)).encode()
    return hub.ask("POST", f"{repo}/commit/{to}", body, token)[:2]


def added(path: str, text: str = "text") -> dict:
    content = base64.b64encode(text.encode()).decode()
    return {"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}}


def removed(path: str, what: str = "deletedFile") -> dict:
    return {"key": what, "value": {"path": path}}


def large(path: str, content: bytes) -> dict:
    value = {"path": path, "algo": "sha256", "oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"key": "lfsFile", "value": value}


def upload(hub: Hub, content: bytes, repo: str = "ann/m") -> int:
    """Sends a content the LFS way; the status of the last request."""
    objects = [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}]
    _, answer, _ = hub.ask("POST", f"/{repo}.git/info/lfs/objects/batch", {"operation": "upload", "objects": objects})
    if "actions" not in answer["objects"][0]:
        return 0
    href = answer["objects"][0]["actions"]["upload"]["href"].removeprefix(hub.url)
    return hub.ask("PUT", href, content, token=None)[0]


def paths(hub: Hub, revision: str = "main", repo: str = MODEL) -> list[str]:
    return [entry["path"] for entry in hub.ask("GET", f"{repo}/tree/{revision}?recursive=true")[1]]


def test_the_life_of_a_repository(hub: Hub) -> None:
    assert create(hub)[:2] == (200, {"url": f"{hub.url}/ann/m", "name": "ann/m", "id": "ann/m"})
    status, answer, _ = create(hub)
    assert (status, answer["url"]) == (409, f"{hub.url}/ann/m")
    status, answer = commit(hub, added("a.txt"), added("d/b.txt"), added("d/c.txt"))
    assert (status, answer["commitUrl"]) == (200, f"{hub.url}/ann/m/commit/{answer['commitOid']}")
    assert paths(hub) == [".gitattributes", "a.txt", "d", "d/b.txt", "d/c.txt"]
    assert commit(hub, removed("d/b.txt"), added("a.txt", "new"))[0] == 200
    assert commit(hub, removed("d/", "deletedFolder"))[0] == 200
    assert paths(hub) == [".gitattributes", "a.txt"]
    assert hub.ask("GET", "/ann/m/resolve/main/a.txt")[1] == b"new"
    assert hub.ask("GET", f"/ann/m/resolve/{answer['commitOid']}/a.txt")[1] == b"text"
    moved = {"fromRepo": "ann/m", "toRepo": "lab/n", "type": "model"}
    assert hub.ask("POST", "/api/repos/move", moved)[0] == 200
    assert hub.ask("GET", "/lab/n/resolve/main/a.txt")[1] == b"new"
    assert hub.ask("DELETE", "/api/repos/delete", {"name": "n", "organization": "lab"})[0] == 200
    assert hub.ask("GET", "/api/models/lab/n")[0] == 404


def test_a_commit_is_whole_or_not_at_all(hub: Hub) -> None:
    create(hub)
    before = hub.ask("GET", MODEL)[1]["sha"]
    absent = large("w.safetensors", b"never sent")
    for refused, status in (
        ([added("a.txt"), removed("not-there")], 404),
        ([added("a.txt"), absent], 400),
        ([added("a.txt"), added("a.txt/b")], 400),
        ([added("a.txt"), added("../b")], 400),
        ([added("a.txt"), {"key": "hack", "value": {"path": "b"}}], 400),
        ([added("a.txt"), removed("a", "deletedFolder")], 404),
    ):
        assert commit(hub, *refused)[0] == status
    assert hub.ask("POST", f"{MODEL}/commit/main", b"no json")[0] == 400
    assert hub.ask("GET", MODEL)[1]["sha"] == before
    assert paths(hub) == [".gitattributes"]


def test_a_stale_parent_is_refused(hub: Hub) -> None:
    create(hub)
    first = hub.ask("GET", MODEL)[1]["sha"]
    status, answer = commit(hub, added("a.txt"), parentCommit=first)
    assert status == 200
    status, refusal = commit(hub, added("b.txt"), parentCommit=first)
    assert (status, refusal["error"]) == (412, "A commit has happened since. Please refresh and try again.")
    assert commit(hub, added("b.txt"), parentCommit=answer["commitOid"])[0] == 200
    titles = [c["title"] for c in hub.ask("GET", f"{MODEL}/commits/main")[1]]
    assert titles == ["s", "s", "initial commit"]


def test_roles_and_owners(hub: Hub) -> None:
    assert create(hub, token=READER)[0] == 403
    assert create(hub, organization="bob")[0] == 403
    assert create(hub, organization="lab")[0] == 200
    assert create(hub)[0] == 200
    assert commit(hub, added("a"), token=READER)[0] == 403
    assert commit(hub, added("a"), token=BOB)[0] == 403
    assert hub.ask("POST", f"{MODEL}/commit/main", b"", token=None)[0] == 401
    status, _, headers = hub.ask("GET", MODEL, token="hf_nobody")
    assert (status, headers["X-Error-Message"]) == (401, "Invalid credentials in Authorization header")
    who = hub.ask("GET", "/api/whoami-v2", token=READER)[1]
    assert (who["name"], [o["name"] for o in who["orgs"]]) == ("ann", ["lab"])
    assert who["auth"]["accessToken"]["role"] == "read"
    assert hub.ask("GET", "/api/whoami-v2", token=None)[0] == 401
    assert paths(hub) == [".gitattributes"]


def test_private_and_absent_look_the_same(hub: Hub) -> None:
    create(hub, visibility="private")
    for path in (MODEL, f"{MODEL}/tree/main", "/ann/m/resolve/main/.gitattributes", f"{MODEL}/refs"):
        assert hub.ask("GET", path, token=READER)[0] == 200
        for token, status in ((None, 401), (BOB, 404)):
            hidden = hub.ask("GET", path, token=token)
            absent = hub.ask("GET", path.replace("ann/m", "ann/none"), token=token)
            assert hidden[:2] == absent[:2]
            assert hidden[0] == status and hidden[2]["X-Error-Code"] == absent[2]["X-Error-Code"] == "RepoNotFound"
    names = [[m["id"] for m in hub.ask("GET", "/api/models", token=token)[1]] for token in (READER, BOB, None)]
    assert names == [["ann/m"], [], []]
    assert hub.ask("PUT", f"{MODEL}/settings", {"visibility": "public"})[0] == 200
    assert hub.ask("GET", MODEL, token=None)[1]["private"] is False
    assert hub.ask("PUT", f"{MODEL}/settings", {"gated": "auto"})[0] == 200
    status, _, headers = hub.ask("GET", "/ann/m/resolve/main/.gitattributes", token=BOB)
    assert (status, headers["X-Error-Code"]) == (403, "GatedRepo")


def test_branches_tags_and_pull_requests(hub: Hub) -> None:
    create(hub)
    first = hub.ask("GET", MODEL)[1]["sha"]
    assert hub.ask("POST", f"{MODEL}/branch/{quote('a/b', safe='')}", {"startingPoint": first})[0] == 200
    assert hub.ask("POST", f"{MODEL}/branch/{quote('a/b', safe='')}", {})[0] == 409
    assert commit(hub, added("on-branch"), to=quote("a/b", safe=""))[0] == 200
    assert hub.ask("POST", f"{MODEL}/tag/{quote('a/b', safe='')}", {"tag": "v1"})[0] == 200
    assert hub.ask("POST", f"{MODEL}/tag/main", {"tag": "v1"})[0] == 409
    assert commit(hub, added("x"), to="v1")[0] == 400
    assert paths(hub, "v1") == [".gitattributes", "on-branch"] and paths(hub) == [".gitattributes"]
    status, answer = commit(hub, added("proposal"), token=BOB, to="main?create_pr=1")
    assert (status, answer["pullRequestUrl"]) == (200, f"{hub.url}/ann/m/discussions/1")
    assert paths(hub, "refs%2Fpr%2F1") == [".gitattributes", "proposal"] and paths(hub) == [".gitattributes"]
    refs = hub.ask("GET", f"{MODEL}/refs?include_prs=1")[1]
    assert [[r["ref"] for r in refs[kind]] for kind in ("branches", "tags", "pullRequests")] == [
        ["refs/heads/a/b", "refs/heads/main"],
        ["refs/tags/v1"],
        ["refs/pr/1"],
    ]
    assert hub.ask("DELETE", f"{MODEL}/tag/v1")[0] == hub.ask("DELETE", f"{MODEL}/branch/a%2Fb")[0] == 200
    status, _, headers = hub.ask("GET", f"{MODEL}/tree/v1")
    assert (status, headers["X-Error-Code"]) == (404, "RevisionNotFound")
    assert hub.ask("DELETE", f"{MODEL}/branch/main")[0] == 403


def test_a_file_and_its_ranges(hub: Hub) -> None:
    create(hub)
    content = bytes(range(256)) * 4
    assert upload(hub, content) == 200
    assert upload(hub, content) == 0  # nothing to do: it is here
    assert commit(hub, large("w.safetensors", content), added("a.txt"))[0] == 200
    status, body, headers = hub.ask("GET", "/ann/m/resolve/main/w.safetensors")
    digest = f'"{hashlib.sha256(content).hexdigest()}"'
    assert (status, body) == (200, content)
    assert (headers["X-Linked-Etag"], headers["ETag"], headers["X-Linked-Size"]) == (digest, digest, "1024")
    assert headers["X-Repo-Commit"] == hub.ask("GET", MODEL)[1]["sha"]
    for asked, said, part in (
        ("bytes=1000-", "bytes 1000-1023/1024", content[1000:]),
        ("bytes=1-3", "bytes 1-3/1024", content[1:4]),
        ("bytes=-2", "bytes 1022-1023/1024", content[-2:]),
    ):
        status, body, headers = hub.ask("GET", "/ann/m/resolve/main/w.safetensors", headers={"Range": asked})
        assert (status, headers["Content-Range"], body) == (206, said, part)
    assert hub.ask("GET", "/ann/m/resolve/main/w.safetensors", headers={"Range": "bytes=2000-"})[0] == 416
    assert hub.ask("HEAD", "/ann/m/resolve/main/w.safetensors")[2]["Content-Length"] == "1024"
    git = hashlib.sha1(b"blob 4\0text").hexdigest()
    assert hub.ask("HEAD", "/ann/m/resolve/main/a.txt")[2]["ETag"] == f'"{git}"'
    status, _, headers = hub.ask("GET", "/ann/m/resolve/main/none")
    assert (status, headers["X-Error-Code"], bool(headers["X-Repo-Commit"])) == (404, "EntryNotFound", True)


def test_what_was_not_sent_is_not_kept(hub: Hub) -> None:
    create(hub)
    _, answer, _ = hub.ask("POST", "/ann/m.git/info/lfs/objects/batch", {"objects": [{"oid": "0" * 64, "size": 4}]})
    actions = answer["objects"][0]["actions"]
    href = actions["upload"]["href"].removeprefix(hub.url)
    status, refusal, _ = hub.ask("PUT", href, b"text", token=None)
    assert status == 400 and refusal["error"].startswith("the content sent has sha256 982d9e3eb996f559e633f4d194def3")
    assert hub.ask("PUT", href.replace("/lfs/", "/lfs/forged"), b"text", token=None)[0] == 403
    verify = actions["verify"]["href"].removeprefix(hub.url)
    assert hub.ask("POST", verify, {"oid": "0" * 64, "size": 4})[0] == 404
    assert not list((hub.folder / ".hub" / "incoming").iterdir())


def test_long_listings_come_in_pages(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", tmp_path / "home", page_size=2) as hub:
        create(hub)
        commit(hub, *(added(f"f{number}") for number in range(4)))
        found, path = [], f"{MODEL}/tree/main?recursive=true"
        while path:
            _, entries, headers = hub.ask("GET", path)
            found.append([entry["path"] for entry in entries])
            path = (re.findall(r'<http://[^/]+(.*)>; rel="next"', headers.get("Link", "")) or [""])[0]
    assert found == [[".gitattributes", "f0"], ["f1", "f2"], ["f3"]]


def test_the_last_commit_of_each_entry(hub: Hub) -> None:
    create(hub)
    commit(hub, added("a"), added("d/b"), summary="first")
    commit(hub, added("d/b", "new"), summary="second")
    commit(hub, added("c"), summary="third")
    entries = hub.ask("GET", f"{MODEL}/tree/main?expand=true")[1]
    titles = {entry["path"]: entry["lastCommit"]["title"] for entry in entries}
    assert titles == {".gitattributes": "initial commit", "a": "first", "c": "third", "d": "second"}


@pytest.mark.parametrize(
    "path",
    ["../a", "a/../b", "/a", "a//b", "a\\b", "a\nb", ".", "", "a/.git/b", "x" * 256, "a\x7f", "\ud800"],
    ids=ascii,
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(Refusal) as refused:
        checked_path(path)
    assert refused.value.status == 400


@pytest.mark.parametrize("name", ["..", "a..b", "a--b", ".a", "a.", "a.git", "a/b", "", "a b", "x" * 97], ids=ascii)
def test_names_that_are_refused(name: str) -> None:
    assert not is_name(name)


def test_names_that_are_fine() -> None:
    assert is_name("densenet121.tv_in1k") and is_name("a") and checked_ref("feature/x-1.0") == "feature/x-1.0"
    assert checked_path("ünï/cödé name.txt") == "ünï/cödé name.txt"


@pytest.mark.parametrize("branch", ["..", "a/../b", "a.lock", "-a", "a b", "a/.b"])
def test_branches_that_are_refused(hub: Hub, branch: str) -> None:
    create(hub)
    assert hub.ask("POST", f"{MODEL}/branch/{quote(branch, safe='')}", {})[0] == 400


def test_nothing_outside_a_repository_can_be_read(hub: Hub) -> None:
    create(hub)
    (hub.folder / "secret").write_text("secret")
    for path in ("%2e%2e/%2e%2e/secret", "../../secret", "..%2f..%2fsecret", "%2e%2e%5csecret", ".git/config"):
        assert hub.ask("GET", f"/ann/m/resolve/main/{path}")[0] in (400, 404)
    for repo in ("%2e%2e/.hub", ".hub/tokens", "ann/..", "ann%2fm/x"):
        assert hub.ask("GET", f"/api/models/{repo}")[0] == 400
    assert hub.ask("GET", f"{MODEL}/tree/..%2F..%2Frecord")[0] == 404


def test_a_plain_folder_is_a_repository(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models" / "timm" / "net.in1k"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deep" / "model.safetensors").write_bytes(b"\0weights")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "left-over").write_text("")
    (folder.parent / "not..served").mkdir()
    with serving(tmp_path / "hub", tmp_path / "home") as hub:
        repo = "/api/models/timm/net.in1k"
        assert [m["id"] for m in hub.ask("GET", "/api/models")[1]] == ["timm/net.in1k"]
        assert paths(hub, repo=repo) == ["config.json", "deep", "deep/model.safetensors"]
        first = hub.ask("GET", repo)[1]["sha"]
        assert hub.ask("GET", repo)[1]["sha"] == first
        assert hub.ask("GET", "/timm/net.in1k/resolve/main/deep/model.safetensors")[1] == b"\0weights"
        assert not (hub.folder / ".hub" / "blobs").exists()  # nothing was copied
        assert commit(hub, added("x"), repo=repo)[0] == 403  # it is nobody's here
    with serving(tmp_path / "hub", tmp_path / "home") as hub:
        assert hub.ask("GET", repo)[1]["sha"] == first
        (folder / "config.json").write_text('{"changed": true}')
        assert hub.ask("GET", "/timm/net.in1k/resolve/main/config.json")[1] == b'{"changed": true}'
        status, refusal, _ = hub.ask("GET", f"/timm/net.in1k/resolve/{first}/config.json")
        assert status == 410 and refusal["error"].startswith("config.json was changed on the server's disk")


def test_a_plain_folder_takes_commits_of_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models" / "ann" / "m"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("mine")
    with serving(tmp_path / "hub", tmp_path / "home") as hub:
        assert commit(hub, added("b.txt"))[0] == 200
        assert hub.ask("GET", "/ann/m/resolve/main/a.txt")[1] == b"mine"
        assert paths(hub) == ["a.txt", "b.txt"] and [p.name for p in folder.iterdir()] == ["a.txt"]
        assert hub.ask("DELETE", "/api/repos/delete", {"name": "m"})[0] == 403


def test_links_to_files_and_repositories_are_followed(tmp_path: Path) -> None:
    real, linked = tmp_path / "real", tmp_path / "hub" / "datasets" / "ann" / "d"
    (real / "sub").mkdir(parents=True)
    (real / "a.txt").write_text("text")
    (real / "sub" / "b.txt").write_text("text")
    linked.mkdir(parents=True)
    (linked / "a.txt").symlink_to(real / "a.txt")
    (linked / "gone.txt").symlink_to(real / "none")
    (linked / "sub").symlink_to(real / "sub")
    (linked.parent / "whole").symlink_to(real)
    with serving(tmp_path / "hub", tmp_path / "home") as hub:
        assert paths(hub, repo="/api/datasets/ann/d") == ["a.txt"]
        assert paths(hub, repo="/api/datasets/ann/whole") == ["a.txt", "sub", "sub/b.txt"]


def test_one_server_a_folder(hub: Hub) -> None:
    with pytest.raises(Refusal, match="another server serves this folder already"), serving(hub.folder, hub.home):
        pass


def test_the_log_holds_no_token(hub: Hub) -> None:
    create(hub)
    upload(hub, b"content")
    hub.ask("GET", "/api/models?author=ann")
    assert [(line.path, line.token) for line in hub.server.log if line.path.startswith("/api")] == [
        ("/api/repos/create", True),
        ("/api/models", True),
    ]
    assert [line.path for line in hub.server.log if line.method == "PUT"] == [
        f"/lfs/*/{hashlib.sha256(b'content').hexdigest()}"
    ]
    assert not any(token in str(hub.server.log) for token in (ANN, READER, BOB))


def test_a_fault_meets_the_requests_it_is_meant_for(hub: Hub) -> None:
    create(hub)
    commit(hub, added("a.txt", "0123456789"))
    file = "/ann/m/resolve/main/a.txt"
    hub.faults.add("GET", "/resolve/", "status", status=429, retry_after=7, skip=1)
    assert hub.ask("GET", file)[0] == 200
    status, _, headers = hub.ask("GET", file)
    assert (status, headers["Retry-After"]) == (429, "7")
    hub.faults.add("GET", "/resolve/", "drop")
    with pytest.raises((RemoteDisconnected, ConnectionError)):
        hub.ask("GET", file)
    hub.faults.add("GET", "/resolve/", "cut")
    with pytest.raises(IncompleteRead) as cut:
        hub.ask("GET", file)
    assert cut.value.partial == b"01234"
    hub.faults.add("GET", "/resolve/", "truncate")
    assert hub.ask("GET", file)[1] == b"01234"
    hub.faults.add("GET", "/resolve/", "flip")
    assert hub.ask("GET", file)[1] == b"0123446789"
    assert hub.ask("GET", file)[1] == b"0123456789" and hub.faults.met == 5


def test_a_fault_comes_before_or_after_the_effect(hub: Hub) -> None:
    create(hub)
    for after, files in ((False, [".gitattributes"]), (True, [".gitattributes", "a.txt"])):
        hub.faults.add("POST", "/commit/", "drop", after=after)
        with pytest.raises((RemoteDisconnected, BadStatusLine, ConnectionError)):
            commit(hub, added("a.txt"))
        assert paths(hub) == files
    with pytest.raises(ValueError, match="'explode' is no fault"):
        hub.faults.add("GET", "", "explode")


def test_what_hangs_is_released(hub: Hub) -> None:
    create(hub)
    hub.faults.add("GET", MODEL, "hang")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(hub.ask, "GET", MODEL)
        while not hub.faults.met:
            assert not asked.done()
        assert hub.ask("GET", MODEL)[0] == 200  # others are served meanwhile
        hub.faults.release()
        with pytest.raises((RemoteDisconnected, ConnectionError)):
            asked.result()


def test_what_drips_comes_byte_by_byte_until_it_is_released(hub: Hub) -> None:
    create(hub)
    commit(hub, added("a.txt", "0123456789"))
    file = "/ann/m/resolve/main/a.txt"
    hub.faults.add("GET", file, "drip", pause_s=0.01)
    assert hub.ask("GET", file)[1] == b"0123456789"
    hub.faults.add("GET", file, "drip", pause_s=3600)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(hub.ask, "GET", file)
        while hub.faults.met < 2:
            assert not asked.done()
        hub.faults.release()
        assert asked.result()[1] == b"0123456789"


def test_dates_and_sizes_are_told(hub: Hub) -> None:
    create(hub)
    about = hub.ask("GET", f"{MODEL}?blobs=true")[1]
    made = time.strptime(about["createdAt"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert made.tm_year >= 2024 and about["usedStorage"] == about["siblings"][0]["size"] == os.path.getsize(
        hub.server.store.blobs.path(hashlib.sha256(hub.ask("GET", "/ann/m/resolve/main/.gitattributes")[1]).hexdigest())
    )

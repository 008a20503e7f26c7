"""The small Hub and those it is for, unmodified: `huggingface_hub` and `hf`. Each in a fresh process."""

import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import ANN, BOB, READER, TOKENS, Hub, serving

HF = Path(sys.executable).with_name("hf")
LFS = {"HF_HUB_DISABLE_XET": "1"}
MAKE = """
import random
def content(size, seed=0):
    return random.Random(seed).randbytes(size)
"""
UPLOADED = (
    MAKE
    + """
api.create_repo("ann/m", private=True)
again = api.create_repo("ann/m", exist_ok=True)
api.upload_file(path_or_fileobj=b'{"a": 1}', path_in_repo="config.json", repo_id="ann/m")
for name, size in (("big", 250_000), ("small", 50_000)):
    api.upload_file(path_or_fileobj=content(size), path_in_repo=f"deep/{name}.safetensors", repo_id="ann/m")
files = sorted(path.split("/")[-1] for path in api.list_repo_files("ann/m"))
info = api.model_info("ann/m", files_metadata=True)
folder = hub.snapshot_download("ann/m")
same = all(open(f"{folder}/deep/{n}.safetensors", "rb").read() == content(s) for n, s in (("big", 250_000), ("small", 50_000)))
check = api.verify_repo_checksums("ann/m", local_dir=folder)
lfs = sum(s.lfs is not None for s in info.siblings)
result = [again.repo_id, files, lfs, info.private, same, check.checked_count, check.mismatches]
"""
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path / "hub", tmp_path / "home", part_bytes=100_000) as hub:
        yield hub


@pytest.fixture
def ready(hub: Hub) -> Hub:
    """With one model of two files."""
    hub.ask("POST", "/api/repos/create", {"name": "m"})
    assert (
        hub.python(
            MAKE
            + """
operations = [hub.CommitOperationAdd("w.safetensors", content(300_000)), hub.CommitOperationAdd("config.json", b"{}")]
api.create_commit("ann/m", operations, commit_message="two files")
""",
            **LFS,
        )
        is None
    )
    return hub


@pytest.mark.parametrize("way", ["lfs", "xet"])
def test_what_is_uploaded_comes_back(hub: Hub, way: str) -> None:
    said = hub.python(UPLOADED, **(LFS if way == "lfs" else {}))
    names = [".gitattributes", "big.safetensors", "config.json", "small.safetensors"]
    assert said == ["ann/m", names, 2, True, True, 4, []]
    assert len(hub.asked("POST", "/v1/xorbs/")) == (2 if way == "xet" else 0)
    parts = [path.split("/")[-1] for path in hub.asked("PUT", "/lfs/")]
    assert [part for part in parts if len(part) < 64] == ([] if way == "xet" else ["1", "2", "3"])


def test_a_changed_file_sends_only_what_changed(hub: Hub) -> None:
    """The client refers to chunks that an earlier upload brought."""
    said = hub.python(
        MAKE
        + """
import struct
one = struct.pack("<200000f", *(random.Random(1).gauss(0, 1) for _ in range(200_000)))
api.create_repo("ann/m")
result = []
for number, text in enumerate((one, content(1000) + one, one + b"text " * 50_000)):
    api.upload_file(path_or_fileobj=text, path_in_repo="w.bin", repo_id="ann/m")
    result.append(open(api.hf_hub_download("ann/m", "w.bin"), "rb").read() == text)
"""
    )
    assert said == [True, True, True]
    assert sum(path.stat().st_size for path in (hub.folder / ".hub" / "xet").rglob("*") if path.is_file()) < 1_100_000


def test_another_folder_at_the_same_address_gets_all(tmp_path: Path) -> None:
    """The client remembers what it sent where; a new folder at the old port has none of it."""
    code = (
        MAKE
        + """
api.create_repo("ann/m")
api.upload_file(path_or_fileobj=content(100_000), path_in_repo="w.bin", repo_id="ann/m")
result = open(api.hf_hub_download("ann/m", "w.bin", force_download=True), "rb").read() == content(100_000)
"""
    )
    port = 0
    for folder in ("one", "two"):
        with serving(tmp_path / folder, tmp_path / "home", port=port) as hub:
            assert hub.python(code) is True
            port = int(hub.url.rpartition(":")[2])


def test_one_commit_with_its_parent(ready: Hub) -> None:
    said = ready.python("""
first = api.model_info("ann/m").sha
add = lambda text: [hub.CommitOperationAdd("config.json", text), hub.CommitOperationDelete("w.safetensors")]
done = api.create_commit("ann/m", add(b"[]"), commit_message="new", parent_commit=first)
titles = [c.title for c in api.list_repo_commits("ann/m")]
try:
    api.create_commit("ann/m", add(b"0"), commit_message="late", parent_commit=first)
except hub.errors.HfHubHTTPError as error:
    late = error.response.status_code
same = api.create_commit("ann/m", [hub.CommitOperationAdd("config.json", b"[]")], commit_message="same")
result = [titles, late, same.oid == done.oid, api.list_repo_files("ann/m")]
""")
    assert said == [["new", "two files", "initial commit"], 412, True, [".gitattributes", "config.json"]]


def test_branches_tags_pull_requests_and_the_end(ready: Hub) -> None:
    said = ready.python("""
api.create_branch("ann/m", branch="x/y")
api.create_tag("ann/m", tag="v1", revision="x/y")
pull = api.upload_file(path_or_fileobj=b"new", path_in_repo="new.txt", repo_id="ann/m", create_pr=True)
refs = api.list_repo_refs("ann/m", include_pull_requests=True)
names = [[r.name for r in refs.branches], [r.name for r in refs.tags], [r.ref for r in refs.pull_requests]]
exists = [api.file_exists("ann/m", "new.txt", revision=r) for r in ("refs/pr/1", "v1")]
infos = [i.path for i in api.get_paths_info("ann/m", ["config.json", "none"], expand=True, revision="x/y")]
api.delete_tag("ann/m", tag="v1")
api.delete_branch("ann/m", branch="x/y")
api.update_repo_settings("ann/m", private=True)
api.move_repo("ann/m", "lab/n")
private = api.model_info("lab/n").private
api.delete_repo("lab/n")
result = [names, pull.pr_revision, exists, infos, private, [m.id for m in api.list_models()]]
""")
    assert said == [
        [["main", "x/y"], ["v1"], ["refs/pr/1"]],
        "refs/pr/1",
        [True, False],
        ["config.json"],
        True,
        [],
    ]


@pytest.mark.parametrize(
    ("token", "code", "name", "status"),
    [
        (None, 'api.model_info("ann/m")', "RepositoryNotFoundError", 401),
        (BOB, 'api.model_info("ann/m")', "RepositoryNotFoundError", 404),
        (
            BOB,
            'api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id="ann/m")',
            "RepositoryNotFoundError",
            404,
        ),
        (READER, 'api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id="ann/m")', "HfHubHTTPError", 403),
        (READER, 'api.create_repo("ann/new")', "HfHubHTTPError", 403),
        (ANN, 'api.create_repo("bob/new")', "HfHubHTTPError", 403),
        (ANN, 'api.create_repo("ann/m")', "HfHubHTTPError", 409),
        (ANN, 'api.hf_hub_download("ann/m", "none.txt")', "RemoteEntryNotFoundError", 404),
        (ANN, 'api.model_info("ann/m", revision="none")', "RevisionNotFoundError", 404),
        ("hf_nobody", "api.whoami()", "HfHubHTTPError", 401),
    ],
)
def test_refusals_reach_the_client_as_its_own_errors(
    ready: Hub, token: str | None, code: str, name: str, status: int
) -> None:
    ready.ask("PUT", "/api/models/ann/m/settings", {"private": True})
    said = ready.python(code, token=token)
    assert said[:2] == [name, status] and not any(secret in said[2] for secret in TOKENS)


def test_a_cut_download_goes_on_where_it_stopped(hub: Hub) -> None:
    """The client writes 10 MB at a time: what it has written is not sent again."""
    (hub.folder / "models" / "ann" / "m").mkdir(parents=True)
    (hub.folder / "models" / "ann" / "m" / "w.bin").write_bytes(random.Random(0).randbytes(24_000_000))
    hub.faults.add("GET", "/resolve/main/w.bin", "cut")
    said = hub.python(MAKE + 'result = open(api.hf_hub_download("ann/m", "w.bin"), "rb").read() == content(24_000_000)')
    statuses = [line.status for line in hub.server.log if line.method == "GET" and "w.bin" in line.path]
    assert (said, statuses) == (True, [200, 206])


def test_wrong_bytes_are_seen_by_size_or_by_checksum(ready: Hub) -> None:
    ready.faults.add("GET", "/resolve/main/w.safetensors", "truncate")
    name, _, message = ready.python('api.hf_hub_download("ann/m", "w.safetensors")')
    assert name == "OSError" and "should be of size 300000 but has size 150000" in message
    ready.faults.add("GET", "w.safetensors", "flip")
    said = ready.python("""
folder = hub.snapshot_download("ann/m", local_dir="copy")
found = api.verify_repo_checksums("ann/m", local_dir=folder)
result = [m["path"] if isinstance(m, dict) else m.path for m in found.mismatches]
""")
    assert said == ["w.safetensors"]


@pytest.mark.parametrize("path", ["/preupload/", "/objects/batch", "/objects/verify"])
def test_a_busy_server_is_asked_again(ready: Hub, path: str) -> None:
    ready.faults.add("POST", path, "status", status=429, retry_after=1)
    ready.faults.add("PUT", "/lfs/", "drop", after=True)
    said = ready.python(
        MAKE
        + """
api.upload_file(path_or_fileobj=content(1000, seed=1), path_in_repo="x.bin", repo_id="ann/m")
result = api.list_repo_files("ann/m")
""",
        **LFS,
    )
    assert said == [".gitattributes", "config.json", "w.safetensors", "x.bin"] and ready.faults.met == 2


def test_the_command_line(hub: Hub) -> None:
    sent = hub.home / "sent"
    (sent / "sub").mkdir(parents=True)
    (sent / "README.md").write_text("---\nlicense: mit\n---\n# Hello\n")
    (sent / "sub" / "data.bin").write_bytes(bytes(range(256)) * 1000)
    for number in range(30):
        (sent / "sub" / f"{number}.txt").write_text(str(number))
    for command in (
        ("auth", "whoami"),
        ("upload", "ann/m", sent, "--private"),
        ("upload", "ann/d", sent / "README.md", "--repo-type", "dataset"),
        ("download", "ann/m", "--local-dir", "back"),
    ):
        done = hub.run(HF, *command)
        assert done.returncode == 0, done.stderr
    back = hub.home / "back"
    for path in (path for path in sent.rglob("*") if path.is_file()):
        assert (back / path.relative_to(sent)).read_bytes() == path.read_bytes()
    assert [m["id"] for m in hub.ask("GET", "/api/datasets")[1]] == ["ann/d"]
    assert hub.run(HF, "download", "ann/m", token=None).returncode == 1


def test_tools_hub_says_how_to_use_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models" / "timm" / "net"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    tools = Path(__file__).parents[2] / "tools"
    command = [sys.executable, "-m", "hub_server", tmp_path / "hub", "--port", "0"]
    users = ["--token", "ann:write", "--token", "ann:read", "--organization", "lab:ann"]
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    tokens = []
    for _ in range(2):
        server = subprocess.Popen(
            [*command, *users], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            said = [server.stdout.readline().rstrip() for _ in range(4)]
            assert said[0] == "Serving 1 model. To use it:"
            exports = [line.removeprefix("export ").partition("  # ")[0].partition("=") for line in said[1:]]
            assert [name for name, _, _ in exports] == ["HF_ENDPOINT", "HF_TOKEN_PATH", "HF_TOKEN_PATH"]
            assert [line.partition("  # ")[2] for line in said[2:]] == ["ann (write)", "ann (read)"]
            paths = [Path(value) for name, _, value in exports[1:]]
            assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in paths)
            tokens.append([path.read_text() for path in paths])
            used = {**os.environ, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
            used |= {"HF_ENDPOINT": exports[0][2], "HF_TOKEN_PATH": str(paths[0]), "HF_HUB_DISABLE_TELEMETRY": "1"}
            used.pop("HF_TOKEN", None)
            who = subprocess.run([HF, "auth", "whoami"], env=used, capture_output=True, text=True, timeout=120)
            assert "ann" in who.stdout and "lab" in who.stdout, who.stderr
        finally:
            server.terminate()
            _, log = server.communicate(timeout=60)
        assert "GET /api/whoami-v2 200 (with a token)" in log
        assert not any(token in log for token in tokens[0])
    assert tokens[0] == tokens[1] and len(set(tokens[0])) == 2


def test_tools_hub_refuses_in_one_line(tmp_path: Path) -> None:
    tools = Path(__file__).parents[2] / "tools"
    command = [sys.executable, "-m", "hub_server", tmp_path / "none"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tools)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path / 'none'}: no such folder\n")

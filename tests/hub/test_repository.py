"""One commit or none, whatever the Hub, the network or somebody else does meanwhile."""

import json
import re
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hubs import ANN, BOB, READER, Hub

from zoo.errors import HubError, UsageError
from zoo.hub import api
from zoo.hub.repository import Contents, Destination, Published, Repository

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # of the Hub's client, in its own uploads
STEPS = [
    ("GET", "/api/models/REPO"),
    ("POST", "/api/repos/create"),
    ("GET", "/api/models/REPO"),
    ("GET", "/api/models/REPO/tree/COMMIT"),
    ("POST", "/api/validate-yaml"),
    ("POST", "/api/models/REPO/preupload/main"),
    ("POST", "/REPO.git/info/lfs/objects/batch"),
    ("PUT", "/lfs/*/"),
    ("POST", "/REPO.git/info/lfs/objects/verify"),
    ("POST", "/api/models/REPO/commit/main"),
    ("GET", "/api/models/REPO/tree/COMMIT"),
]
"""Every request of a first push."""
NAMES = [f"{i:02d}-{path.rpartition('/')[2] or 'put'}" for i, (_, path) in enumerate(STEPS)]
AGAIN = "Nothing is half published. Try again: zoo push run"
NUMBER = count()


@pytest.fixture
def folder(tmp_path: Path, name: str) -> Path:
    """What is published: one large file, which the Hub has never seen, and a card."""
    path = tmp_path / "staged"
    path.mkdir()
    (path / "model.safetensors").write_bytes(name.encode() * 20_000)
    (path / "README.md").write_text("---\nlicense: mit\n---\nThe card.\n")
    return path


@pytest.fixture
def name() -> str:
    """A repository that nobody used so far."""
    return f"ann/m{next(NUMBER)}"


Push = Callable[..., Published]


@pytest.fixture
def push(hub: Hub, folder: Path, name: str) -> Push:
    """push(tag="v1"): publishes `folder`; with `before`, on top of that."""

    def run(before: Contents | None = None, **to) -> Published:
        repository = opened(**{"repo": name, **to})
        return repository.publish(folder, names(folder), before or repository.read(), ["recipe.yaml"])

    return run


def opened(**to) -> Repository:
    return Repository(api(write=True), Destination(**to), f"zoo push run {to['repo']}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def commits(hub: Hub, name: str, revision: str = "main") -> list[str]:
    """Titles, newest first."""
    return [commit["title"] for commit in hub.ask("GET", f"/api/models/{name}/commits/{revision}")[1]]


def holds(hub: Hub, name: str, folder: Path, revision: str = "main") -> bool:
    """Whether the repository holds the folder's files and nothing else."""
    found = {entry["path"] for entry in hub.ask("GET", f"/api/models/{name}/tree/{revision}")[1]}
    same = all(
        hub.ask("GET", f"/{name}/resolve/{revision}/{file}")[1] == (folder / file).read_bytes()
        for file in names(folder)
    )
    return same and found == {".gitattributes", *names(folder)}


FIRST = "Model trained by zoo: README.md, model.safetensors"


def test_a_first_push_asks_for_exactly_this(hub, push, name, folder):
    hub.server.log.clear()
    published = push()
    shown = [
        (line.method, re.sub(r"(?<=/)[0-9a-f]{40,64}", "COMMIT" if "tree" in line.path else "", line.path))
        for line in hub.server.log
    ]
    assert [(method, path.replace(name, "REPO")) for method, path in shown] == STEPS
    assert published == Published(published.commit, True)
    assert commits(hub, name)[0] == FIRST and holds(hub, name, folder)
    assert hub.ask("GET", f"/api/models/{name}", token=None)[0] == 401, "private unless said"


@pytest.mark.parametrize("step", range(len(STEPS)), ids=NAMES)
@pytest.mark.parametrize("fault", ["drop", "dropped answer", "status"])
def test_whatever_request_fails_a_second_push_completes_it(fault, step, hub, push, name, folder):
    method, path = STEPS[step]
    pattern = re.escape(path.replace("REPO", name)).replace("COMMIT", "").replace(r"\*/", "[^/]+/")
    pattern = pattern if pattern.endswith("/") else f"{pattern}$"
    skip = STEPS[:step].count(STEPS[step])
    hub.faults.add(method, pattern, fault.split()[0].replace("dropped", "drop"), skip=skip, after="answer" in fault)
    met = hub.faults.met
    try:
        push()
    except HubError as error:
        assert str(error).endswith(f"{AGAIN} {name}") and "\n" not in str(error)
    assert hub.faults.met == met + 1
    push()
    assert commits(hub, name)[::-1][1:] == [FIRST]
    assert holds(hub, name, folder)


@pytest.mark.parametrize(
    ("step", "said"),
    [(0, "reading"), (1, "creating"), (9, "pushing to")],
    ids=["read", "create", "commit"],
)
def test_a_server_that_hangs_is_left(step, said, hub, push, name, folder, monkeypatch):
    monkeypatch.setenv("ZOO_HUB_TIMEOUT_S", "0.5")
    method, path = STEPS[step]
    hub.faults.add(method, re.escape(path.replace("REPO", name)) + "$", "hang")
    with pytest.raises(HubError) as error:
        push()
    assert str(error.value) == f"{said} {name} failed: {hub.url} did not answer within 0.5 s. {AGAIN} {name}"
    push()
    assert commits(hub, name)[::-1][1:] == [FIRST] and holds(hub, name, folder)


def test_an_upload_that_hangs_is_begun_again(hub, push, name, folder, monkeypatch):
    monkeypatch.setenv("ZOO_HUB_TIMEOUT_S", "0.5")
    hub.faults.add("PUT", "/lfs/", "hang")
    push()
    assert holds(hub, name, folder)


@pytest.mark.parametrize(
    ("method", "path", "answer", "sentence"),
    [
        (
            "POST",
            "/repos/create",
            {"status": 409},
            "the name NAME is taken by something that your token may not see; ch",
        ),
        (
            "POST",
            "/commit/",
            {"status": 429, "retry_after": 30},
            "pushing to NAME failed: too many requests; wait 30 s",
        ),
        (
            "POST",
            "/commit/",
            {"status": 503},
            "pushing to NAME failed: the Hub answered 503: Injected failure. Nothing is",
        ),
        ("POST", "/commit/", {"status": 413}, "pushing to NAME failed: a file is too large for the Hub"),
        ("GET", "/api/models/NAME$", {"status": 401}, "reading NAME failed: the Hub does not know your token (hf auth"),
    ],
    ids=["taken", "rate", "unavailable", "large", "unknown"],
)
def test_each_refusal_has_a_sentence(method, path, answer, sentence, hub, push, name):
    hub.faults.add(method, path.replace("NAME", name), "status", **answer)
    with pytest.raises(HubError) as error:
        push()
    assert str(error.value).startswith(sentence.replace("NAME", name)), error.value
    assert hub.ask("GET", f"/{name}/resolve/main/README.md")[0] == 404


@pytest.mark.parametrize(("token", "owner"), [(READER, "ann"), (BOB, "ann"), (ANN, "bob")])
def test_who_may_not_write_changes_nothing(token, owner, hub, push, name, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    name = name.replace("ann", owner)
    with pytest.raises(HubError) as error:
        push(repo=name)
    why = f"your token may not write to {name}; it needs the role write, and the owner must be you or your organisation"
    assert str(error.value) == f"creating {name} failed: {why}. {AGAIN} {name}"
    assert hub.ask("GET", f"/api/models/{name}", token=ANN if owner == "ann" else BOB)[0] == 404


def test_an_organisation_of_the_user(hub, push, name, folder):
    name = name.replace("ann", "lab")
    push(repo=name, public=True)
    assert holds(hub, name, folder)
    assert hub.ask("GET", f"/api/models/{name}", token=None)[0] == 200


def test_what_changed_since_it_was_read_is_not_overwritten(hub, push, name, folder):
    push()
    before = opened(repo=name).read()
    theirs = {"key": "file", "value": {"path": "README.md", "content": "Theirs."}}
    commit(hub, name, theirs)
    (folder / "README.md").write_text("Ours.")
    with pytest.raises(HubError) as error:
        push(before)
    why = "the repository changed meanwhile, and nothing of that is overwritten"
    assert str(error.value) == f"pushing to {name} failed: {why}. {AGAIN} {name}"
    assert hub.ask("GET", f"/{name}/resolve/main/README.md")[1] == b"Theirs."
    assert opened(repo=name).read().card == "Theirs."
    push()
    assert holds(hub, name, folder)


def test_what_came_into_being_since_it_was_read_is_not_overwritten(hub, push, name):
    hub.ask("POST", "/api/repos/create", {"name": name.partition("/")[2]})
    commit(hub, name, {"key": "file", "value": {"path": "README.md", "content": "Theirs."}})
    with pytest.raises(HubError, match=f"{name} was made by somebody else meanwhile"):
        push(Contents())
    assert hub.ask("GET", f"/{name}/resolve/main/README.md")[1] == b"Theirs."


def commit(hub: Hub, name: str, *operations: dict) -> None:
    """What somebody else does."""
    lines = [{"key": "header", "value": {"summary": "Somebody else"}}, *operations]
    body = "\n".join(map(json.dumps, lines)).encode()
    assert hub.ask("POST", f"/api/models/{name}/commit/main", body)[0] == 200


def test_unchanged_content_makes_no_commit(hub, push, name):
    first = push()
    assert push() == Published(first.commit, False)
    assert commits(hub, name)[::-1][1:] == [FIRST]


def test_only_what_changed_is_sent_and_what_is_gone_is_removed(hub, push, name, folder):
    (folder / "recipe.yaml").write_text("model: {}")
    commit_of_three = push()
    commit(hub, name, {"key": "file", "value": {"path": "notes.txt", "content": "A user's own."}})
    (folder / "recipe.yaml").unlink()
    (folder / "README.md").write_text("Another card.")
    hub.server.log.clear()
    published = push(message="Second")
    assert published.changed and published.commit != commit_of_three.commit
    assert not hub.asked("PUT")
    assert commits(hub, name)[0] == "Second"
    found = {entry["path"] for entry in hub.ask("GET", f"/api/models/{name}/tree/main")[1]}
    assert found == {".gitattributes", "notes.txt", *names(folder)}


def test_a_tag_names_a_version_and_never_moves(hub, push, name, folder):
    first = push(tag="v1")
    assert push(tag="v1") == Published(first.commit, False)
    (folder / "README.md").write_text("Another card.")
    with pytest.raises(HubError) as error:
        push(tag="v1")
    assert str(error.value) == f"{name} has a tag v1 already, of another version; choose another --tag"
    assert commits(hub, name)[::-1][1:] == [FIRST]
    second = push(tag="v2")
    refs = hub.ask("GET", f"/api/models/{name}/refs")[1]["tags"]
    assert {ref["name"]: ref["targetCommit"] for ref in refs} == {"v1": first.commit, "v2": second.commit}


def test_a_branch(hub, push, name, folder):
    push()
    (folder / "README.md").write_text("Another card.")
    push(branch="trial")
    assert commits(hub, name)[::-1][1:] == [FIRST]
    assert commits(hub, name, "trial")[0] == "Model trained by zoo: README.md"
    assert holds(hub, name, folder, "trial")
    assert not push(branch="trial").changed


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer-lost"])
def test_a_pull_request_is_opened_once(lost, hub, push, name, folder):
    push()
    (folder / "README.md").write_text("Another card.")
    if lost:
        hub.faults.add("POST", "/commit/", "drop", after=True)
    for _ in range(2):
        assert push(create_pr=True).revision == "refs/pr/1"
    refs = hub.ask("GET", f"/api/models/{name}/refs?include_prs=1")[1]["pullRequests"]
    assert [ref["ref"] for ref in refs] == ["refs/pr/1"]
    assert commits(hub, name)[::-1][1:] == [FIRST]


KILLED = """
import sys
from pathlib import Path
from zoo.hub import api
from zoo.hub.repository import Destination, Repository
repository = Repository(api(write=True), Destination(sys.argv[1]), "")
folder = Path(sys.argv[2])
repository.publish(folder, [path.name for path in folder.iterdir()], repository.read(), [])
"""


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_killed_between_contents_and_commit(xet, hub, push, name, folder):
    hub.faults.add("POST", "/commit/", "hang")
    met = hub.faults.met
    more = {} if xet else {"HF_HUB_DISABLE_XET": "1"}
    process = hub.start(sys.executable, "-c", KILLED, name, folder, **more)
    while hub.faults.met == met:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert commits(hub, name)[:-1] == []
    hub.server.log.clear()
    push()
    assert not hub.asked("PUT"), "the contents were there already"
    assert commits(hub, name)[::-1][1:] == [FIRST] and holds(hub, name, folder)


def test_no_token(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError) as error:
        api(write=True)
    expected = "no Hugging Face token. Log in with: hf auth login, or set HF_TOKEN to a token that may write"
    assert str(error.value) == expected


def test_a_token_is_never_sent_in_the_clear(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.example")
    with pytest.raises(UsageError) as error:
        api()
    assert str(error.value) == (
        "HF_ENDPOINT=http://hub.example is not encrypted and not on this machine, so your token is not sent there. "
        "Use https, or unset HF_TOKEN"
    )
    monkeypatch.delenv("HF_TOKEN")
    assert api().token is False


@pytest.mark.parametrize("given", ["soon", "-1", "0", "nan", "inf"])
def test_a_time_limit_is_a_number_of_seconds(given, hub, monkeypatch):
    monkeypatch.setenv("ZOO_HUB_TIMEOUT_S", given)
    with pytest.raises(UsageError, match=f"^ZOO_HUB_TIMEOUT_S={given} is no number of seconds$"):
        api()

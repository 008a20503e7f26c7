"""`zoo push`, `zoo pull` and `zoo reproduce` as they are typed."""

import json
import re
import sys
from pathlib import Path
from shutil import copytree
from typing import ClassVar

import pytest
import yaml
from finished import SETTINGS
from hubs import ANN, Hub

from zoo.publishing.card import BEGIN

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # of the Hub's client, in its own uploads
FILES = [
    *("README.md", "config.json", "confusion.png", "curves.png", "environment.json", "metrics.json"),
    *("model.safetensors", "preprocessor.json", "recipe.yaml"),
]
CANARY = ANN  # the server knows this token; it must appear nowhere else


@pytest.fixture
def pushed(hub: Hub, zoo, finished) -> str:
    """The finished run on the Hub, pushed once."""
    if hub.ask("GET", "/api/models/ann/pets")[0] == 404:
        said = zoo("push", finished.folder, "ann/pets", "--yes", "--tag", "v1", "--message", "Hello", "--public")
        assert (said.code, said.out) == (0, f'{hub.url}/ann/pets/tree/v1\nzoo.load("hf-hub:ann/pets@v1")\n'), said.err
        assert f"to       {hub.url}/ann/pets (new, public)" in said.err
    return "ann/pets"


def listed(hub: Hub, name: str) -> list[str]:
    return [entry["path"] for entry in hub.ask("GET", f"/api/models/{name}/tree/main")[1]]


def test_a_dry_run_needs_no_network_and_no_token(zoo, finished, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = zoo("push", finished.folder, "--dry-run", "--json")
    plan = json.loads(said.out)
    assert said.code == 0
    assert (plan["pushed"], plan["repository"], plan["visibility"], plan["licence"]) == (
        False,
        None,
        "private",
        "unknown",
    )
    assert sorted(plan["files"]) == FILES and plan["plain_timm"] == "model"
    assert max(plan["differences"].values()) < 1e-5 and set(plan["differences"]) == {"zoo.load", "timm.create_model"}
    lines = said.err.splitlines()
    assert f"to       {plan['endpoint']}/user/name (new, private)" in lines
    assert "licence  unknown (of the weights that training started from)" in lines
    assert "timm     loads the whole model" in lines


def test_what_is_published(hub, pushed):
    assert listed(hub, pushed) == [".gitattributes", *FILES]
    assert hub.ask("GET", f"/api/models/{pushed}", token=None)[0] == 200
    assert hub.ask("GET", f"/api/models/{pushed}/commits/v1")[1][0]["title"] == "Hello"


def test_what_is_published_is_true_and_names_no_folder(hub, pushed, finished):
    def text(file: str) -> str:
        return hub.ask("GET", f"/ann/pets/resolve/v1/{file}")[1].decode()

    metrics = json.loads(finished.out)
    texts = {file: text(file) for file in FILES if not file.endswith((".png", ".safetensors"))}
    assert json.loads(texts["metrics.json"])["accuracy"] == metrics["accuracy"]
    assert json.loads(texts["preprocessor.json"])["center_crop"] == 32
    header = yaml.safe_load(texts["README.md"].split("---\n")[1])
    assert header["model-index"][0]["results"][0]["metrics"][0] == {
        "type": "accuracy", "value": metrics["accuracy"], "name": "accuracy",
    }  # fmt: skip
    for file, content in texts.items():
        assert str(finished.folder.parent) not in content and str(Path.cwd()) not in content, file
        assert str(Path.home()) not in content or str(Path.home()) == "/", file
        assert CANARY not in content, file


def test_a_users_own_text_survives_and_nothing_else_changed(hub, zoo, pushed, finished):
    card = hub.ask("GET", f"/{pushed}/resolve/main/README.md")[1].decode()
    mine = card.replace(BEGIN, f"My own words.\n{BEGIN}")
    header, file = {"summary": "Mine"}, {"path": "README.md", "content": mine}
    lines = [{"key": "header", "value": header}, {"key": "file", "value": file}]
    hub.ask("POST", f"/api/models/{pushed}/commit/main", "\n".join(map(json.dumps, lines)).encode())
    said = zoo("push", finished.folder, pushed, "--yes", "--json")
    document = json.loads(said.out)
    assert (document["changed"], document["pushed"], document["exists"]) == (False, True, True)
    assert f"{pushed} holds exactly this already: no commit" in said.err
    assert hub.ask("GET", f"/{pushed}/resolve/main/README.md")[1].decode() == mine


def test_a_pull_request(hub, zoo, pushed, finished, tmp_path):
    copytree(finished.folder / "model", tmp_path / "bare")
    said = zoo("push", tmp_path / "bare", pushed, "--yes", "--create-pr")
    assert said.out == f'{hub.url}/ann/pets/discussions/1\nzoo.load("hf-hub:ann/pets@refs/pr/1")\n'
    assert listed(hub, pushed) == [".gitattributes", *FILES]
    said = zoo("reproduce", f"{pushed}@refs/pr/1")
    assert said.err == "error: ann/pets holds no recipe.yaml and metrics.json; it was not pushed from a run\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["RUN", "ann/pets"], 2, "nobody is there to answer; say --yes. See zoo push --help"),
        (["RUN", "pets", "--yes"], 2, "'pets' has no owner. Write user/name"),
        (["RUN", "ann/a b", "--yes"], 2, "'ann/a b' is no repository name. Write user/name, with letters, digits,"),
        (["RUN", "ann/x/y", "--yes"], 2, "'ann/x/y' is no repository name. Write user/name, with letters, digits,"),
        (["RUN", "ann/x", "--yes", "--create-pr", "--branch", "b"], 2, "--branch and --create-pr exclude each other"),
        (["RUN", "ann/x", "--yes", "--tag", "v 1"], 2, "--tag: 'v 1' is no name in git. Write letters, digits, '.',"),
        (["RUN", "ann/x", "--yes", "--branch", "a..b"], 2, "--branch: 'a..b' is no name in git. Write letters, digi"),
        (["RUN", "ann/x", "--revision", "v9"], 2, "No such option '--revision'."),
        (["nowhere", "ann/x", "--yes"], 1, "'nowhere' is neither a finished run nor a model folder"),
    ],
    ids=["no-terminal", "no-owner", "odd-name", "three-parts", "both", "odd-tag", "odd-branch", "no-option", "no-run"],
)
def test_usage(words, code, message, hub, zoo, finished):
    said = zoo("push", *[finished.folder if word == "RUN" else word for word in words])
    assert (said.code, said.out) == (code, "")
    assert said.err.splitlines()[-1].startswith(f"error: {message}")


def test_what_to_type_after_a_failure_is_what_was_typed(hub, zoo, finished, tmp_path):
    copytree(finished.folder / "model", tmp_path / "my model")
    hub.faults.add("GET", "/api/models/ann/again", "status")
    said = zoo(
        "push", tmp_path / "my model", "ann/again", "--yes", "--create-pr", "--message", "It's new", "--tag", "v1"
    )
    typed = """--create-pr --message 'It'"'"'s new' --tag v1"""
    assert said.code == 1
    assert said.err.splitlines()[-1].endswith(f"Try again: zoo push '{tmp_path}/my model' ann/again {typed}")


@pytest.mark.parametrize("words", [["--to", "x" * 300], ["--to", "FILE"], ["--to", "FILE/x"], ["--revision", "v1"]])
def test_pull_refuses_in_one_line(words, hub, zoo, pushed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("")
    said = zoo("pull", "ann/pets", *words)
    assert (said.code, said.out) == (2 if words[0] == "--revision" else 1, "")
    assert len(said.err.splitlines()) == 1 and said.err.startswith("error: ") and "unexpected" not in said.err
    assert "choose another --to" in said.err or words[0] == "--revision"
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_who_says_no_changes_nothing(hub, finished):
    from zoo.reporting import Reporter
    from zoo.verbs.push import push

    class Heard(Reporter):
        notes: ClassVar[list[str]] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    seen = push(finished.folder, "ann/declined", confirm=lambda plan: plan["exists"], reporter=Heard())
    assert (seen["pushed"], Heard.notes[-1]) == (False, "not pushed")
    assert hub.ask("GET", "/api/models/ann/declined")[0] == 404


def test_an_unfinished_run(hub, zoo, finished, tmp_path):
    (tmp_path / "recipe.yaml").write_text((finished.folder / "recipe.yaml").read_text())
    said = zoo("push", tmp_path, "ann/x", "--yes")
    assert said.err == f"error: the run '{tmp_path}' is not finished. Go on with it: zoo resume {tmp_path}\n"


def test_pull(hub, zoo, pushed, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = zoo("pull", "ann/pets@v1")
    commit = next(ref for ref in hub.ask("GET", "/api/models/ann/pets/refs")[1]["tags"])["targetCommit"]
    assert said.out == f"ann/pets@{commit[:12]} in pets: 10 classes, 0.4 M parameters\n"
    assert said.err == "next: zoo predict pets PICTURE...\n"
    assert sorted(path.name for path in Path("pets").iterdir()) == FILES
    assert zoo("pull", "ann/pets").err == "error: pets exists and is not empty; choose another --to\n"
    document = json.loads(zoo("pull", "ann/pets", "--to", "other", "--json").out)
    assert (document["repository"], document["folder"], len(document["classes"])) == ("ann/pets", "other", 10)


def test_models_on_the_hub_are_models_everywhere(hub, zoo, pushed, finished, photos, tmp_path):
    local = json.loads(zoo("evaluate", finished.folder, "--json").out)
    remote = json.loads(zoo("evaluate", "hf-hub:ann/pets", "--json").out)
    assert remote == local
    predicted = [zoo("predict", name, photos, "--json").out for name in (finished.folder, "hf-hub:ann/pets@v1")]
    assert predicted[0] == predicted[1]
    words = [*SETTINGS, "model.backbone=hf-hub:ann/pets", "model.pretrained=true", "train.epochs=1", "schedule=none"]
    words = [word for word in words if word not in (*SETTINGS[:2], *SETTINGS[-2:])]
    said = zoo(
        "finetune", "--recipe", "quickstart", "--out", tmp_path / "run", "--json", "--push", "ann/second", *words
    )
    assert said.code == 0, said.err
    assert json.loads(said.out)["pushed"] == f"{hub.url}/ann/second"
    assert listed(hub, "ann/second") == [".gitattributes", *FILES]
    assert zoo("predict", tmp_path / "run", photos).code == 0


def test_a_run_is_safe_whatever_the_push_does(hub, zoo, tmp_path):
    hub.faults.add("GET", "/api/models/ann/third", "status")
    words = ["--recipe", "quickstart", "--out", tmp_path / "run", *SETTINGS]
    said = zoo("finetune", *words, "--push", "ann/third")
    assert said.code == 1
    assert said.err.splitlines()[-1].endswith(f"(the run is finished and safe: zoo push {tmp_path}/run ann/third)")
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_reproduce(hub, zoo, pushed, tmp_path):
    said = zoo("reproduce", "ann/pets@v1", "--out", tmp_path / "again", "--json")
    document = json.loads(said.out)
    assert (said.code, document["reproduced"], document["repository"]) == (0, True, "ann/pets")
    assert {row["metric"]: row["difference"] for row in document["metrics"]}["accuracy"] == 0
    said = zoo("reproduce", "ann/pets", "--out", tmp_path / "other", "--tolerance", "0", "train.epochs=8")
    assert said.code == 1
    assert said.out.splitlines()[-1] == "not reproduced: accuracy is more than 0 off"
    assert re.search(r"^accuracy +0\.\d{4} +0\.\d{4} +-?0\.\d{4}$", said.out, re.M)
    refused = "Invalid value for '--tolerance': -1.0 is not in the range x>=0. See zoo reproduce --help"
    assert zoo("reproduce", "ann/pets", "--tolerance", "-1") == (2, "", f"error: {refused}\n")


def test_a_token_appears_nowhere(hub, finished):
    """Real processes, with tracebacks and all that is logged asked for; good and bad ends."""
    hub.faults.add("GET", "ann/broken", "status")
    debug = {"ZOO_DEBUG": "1", "HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"}
    ends = {("push", finished.folder, "ann/canary", "--yes"): 0, ("push", finished.folder, "ann/broken", "--yes"): 1}
    for words, code in {**ends, ("pull", "ann/none"): 1}.items():
        done = hub.run(sys.executable, "-m", "zoo", *words, **debug)
        assert done.returncode == code, done.stderr
        assert ("Traceback" in done.stderr) == bool(code)
        assert CANARY not in done.stdout + done.stderr
    for folder in (finished.folder, hub.folder):
        assert not [path for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]

"""Help, usage errors, exit codes, and what stays unimported; every verb prints one JSON document."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from zoo import cli
from zoo.cli import VERBS
from zoo.errors import UnknownName
from zoo.verbs import listing


def test_every_verb_has_its_file():
    assert set(VERBS) == {path.stem[:-1] for path in Path(cli.__file__).parent.glob("*_.py") if path.stem != "__init__"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_verb_explains_itself(zoo, verb, flag):
    code, out, err = zoo(verb, flag)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: zoo {verb} [OPTIONS]")
    assert "--json " in out
    assert f"\n  zoo {verb} " in out or verb in ("plugins", "doctor")


def test_the_commands_are_listed_with_and_without_help(zoo):
    code, out, err = zoo("--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: zoo [OPTIONS] COMMAND [ARGS]...\n")
    lines = [line.split(maxsplit=1) for line in out.partition("Commands:\n")[2].splitlines()]
    assert lines == [list(item) for item in VERBS.items()]
    assert zoo() == (2, "", out)
    assert zoo("--version") == (0, f"zoo, version {version('timm-zoo')}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("lst", "unknown command 'lst'. Did you mean 'list'? See zoo --help"),
        ("tune", "unknown command 'tune'. Did you mean 'finetune'? See zoo --help"),
        ("qqq", "unknown command 'qqq'. See zoo --help"),
        ("--lst", "No such option '--lst'. See zoo --help"),
        ("list --jsn", "No such option '--jsn'. Did you mean '--json'? See zoo list --help"),
        ("finetune", "Missing option '--recipe' / '-r'. See zoo finetune --help"),
        ("finetune --recipe", "Option '--recipe' requires an argument. See zoo finetune --help"),
        (
            "finetune -r quickstart --processes 0",
            "Invalid value for '--processes': 0 is not in the range x>=1. See zoo finetune --help",
        ),
        ("resume", "Missing argument 'RUN'. See zoo resume --help"),
        ("predict", "Missing argument 'RUN|MODEL'. See zoo predict --help"),
        ("predict run", "Missing argument 'PICTURE...'. See zoo predict --help"),
        ("predict run a.png --json --jsonl", "choose one of --json and --jsonl. See zoo predict --help"),
        (
            "evaluate run --split val",
            "Invalid value for '--split': 'val' is not one of 'train', 'validation', 'test'. See zoo evaluate --help",
        ),
        ("show", "name something to show, or pass --schema. See zoo show --help"),
        ("show mlp --schema", "--schema shows every key and takes no name ('mlp'). See zoo show --help"),
        ("copy quickstart", "Missing argument 'FILE'. See zoo copy --help"),
        ("plugins lite0", "Got unexpected extra argument (lite0). See zoo plugins --help"),
        ("completion", "Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish. See zoo completion --help"),
        ("plugin new", "Missing argument 'NAME'. See zoo plugin new --help"),
        (
            "completion powershell",
            "Invalid value for '{bash|zsh|fish}': 'powershell' is not one of 'bash', 'zsh', 'fish'. "
            "See zoo completion --help",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(zoo, words, message):
    assert zoo(*words.split()) == (2, "", f"error: {message}\n")


def test_errors_are_one_line_each_unless_debugging(zoo, monkeypatch, tmp_path):
    nowhere = tmp_path / "nowhere"
    assert zoo("finetune", "-r", "quick") == (
        2, "", "error: unknown recipe 'quick'. Did you mean 'quickstart'? See them all: zoo list recipes\n",
    )  # fmt: skip
    assert zoo("resume", nowhere) == (
        1, "",
        f"error: {nowhere} is not a run folder (it has no recipe.yaml). "
        f"Start one: zoo finetune --recipe NAME --out {nowhere}\n",
    )  # fmt: skip
    assert zoo("check", "quickstart", "data.limt=3", "train.epochs=many").err == (
        "error: command line: data.limt: unknown key. Did you mean 'limit'?\n"
        "error: command line: train.epochs: expected a valid integer, found 'many'\n"
    )
    monkeypatch.setenv("ZOO_DEBUG", "1")
    with pytest.raises(UnknownName):
        cli.main(["finetune", "-r", "quick"])
    assert zoo("lst").code == 2


def test_what_nobody_foresaw_names_itself(zoo, monkeypatch):
    monkeypatch.setattr(listing, "recipes", lambda: 1 / 0)
    message = "unexpected ZeroDivisionError: division by zero. ZOO_DEBUG=1 shows where"
    assert zoo("list", "recipes") == (1, "", f"error: {message}\n")
    monkeypatch.setenv("ZOO_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["list", "recipes"])


def test_a_folder_that_is_gone(tmp_path):
    code = "import os, sys; os.rmdir(os.getcwd()); from zoo.cli import main; sys.exit(main(['doctor']))"
    (tmp_path / "gone").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "gone", capture_output=True, text=True)
    message = "the folder you are in does not exist any more. Go to another one first: cd ~"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


def test_control_c_is_code_130(zoo, install):
    install("zoo-slow", heads={"slow": "zoo_slow:head"}, files={"zoo_slow.py": "raise KeyboardInterrupt"})
    assert zoo("show", "slow") == (130, "", "\nerror: interrupted\n")


LIGHT = (
    "--help", "list", "list backbones", "list heads", "list schedules", "list recipes", "show quickstart", "show mlp",
    "show two-stage", "show lite0", "show densenet121", "show --schema", "plugins", "check quickstart",
    "check cifar10-vit schedule=gradual", "copy quickstart COPY", "completion bash", "finetune --help", "predict --help",
    "finetune --recipe nothing", "check quickstart model.head.x=1",
)  # fmt: skip


def test_light_commands_import_nothing_heavy(tmp_path):
    code = f"""
import sys
from zoo.cli import main
for words in {LIGHT!r}:
    main(words.replace("COPY", {str(tmp_path / "mine.yaml")!r}).split())
heavy = {{"torch", "torchvision", "timm", "accelerate", "datasets", "numpy", "PIL", "huggingface_hub", "rich"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "zoo", "list", "backbones"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 1)


@pytest.mark.parametrize(
    "words",
    [
        "evaluate RUN", "predict RUN PHOTOS", "list", "list backbones xyz", "show quickstart", "show mlp",
        "show --schema", "copy quickstart NEW", "check quickstart", "check quickstart data.x=1", "plugins", "doctor",
        "completion fish", "finetune -r quickstart --dry-run data.limit=60 model.pretrained=false",
    ],
)  # fmt: skip
def test_json_is_one_document(zoo, finished, photos, tmp_path, words):
    words = words.replace("RUN", str(finished.folder)).replace("PHOTOS", str(photos))
    code, out, err = zoo(*words.replace("NEW", str(tmp_path / "new.yaml")).split(), "--json")
    assert code in (0, 1, 2) and "error" not in err
    assert json.loads(out) is not None


def test_finetune_prints_its_result_as_json_and_its_progress_beside(finished):
    assert json.loads(finished.out) == json.loads((finished.folder / "metrics.json").read_text())
    plan, *_, last = finished.err.splitlines()
    assert plan == "test_resnet + linear (0.4 M parameters) on sample:fashion-mnist (10 classes)"
    assert last.startswith("epoch   2  phase 2  training loss ")


def test_names_that_are_not_utf8_reach_the_screen(zoo, finished, photos, tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(odd)).write_bytes((photos / "Bag" / "0.png").read_bytes())
    code, out, err = zoo("predict", finished.folder, os.fsdecode(odd), "--json")
    assert (code, err, os.fsencode(json.loads(out)[0]["file"])) == (0, "", odd)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("finetune", "-r", "quickstart", "--out", ""),
         "--out: '' is no folder; name one, or leave --out away. See zoo finetune --help"),
        (("resume", ""), "'' is no run folder. See zoo resume --help"),
    ],
)  # fmt: skip
def test_an_empty_name_is_no_folder(zoo, words, message):
    assert zoo(*words) == (2, "", f"error: {message}\n")

"""The guide and the READMEs: every command shown exists, takes what it is given and, where it is cheap, runs."""

import json
import re
import shlex
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet
import pytest
from PIL import Image

from zoo.cli import VERBS, cli, main
from zoo.config.key_docs import describe_keys
from zoo.config.loading import load_recipe
from zoo.data.sources.sample import SAMPLES
from zoo.plugins import OWN, installed
from zoo.verbs.guide import FOLDER, NAMES, pages

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "plugins" / "README.md", *(FOLDER / f"{name}.md" for name in NAMES))
SMALL = (
    "model.backbone=test_resnet", "model.pretrained=false", "data.limit=30", "data.image_size=32", "data.batch_size=16",
    "train.epochs=2",
)  # fmt: skip
"""What makes a training of the guide a matter of a second."""
LOCAL = ("quickstart", "images", "mine.yaml")
"""Recipes whose images are here in the tests."""
RUN = ("list", "show", "guide", "check", "copy", "cache", "completion", "predict", "evaluate", "probe")
"""Commands that run as they are shown."""
FILES = ("model.safetensors",)
"""Files whose names look like a key's."""


@dataclass(frozen=True)
class Shown:
    """A command as a document shows it, and the lines below it."""

    document: Path
    words: tuple[str, ...]
    output: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document.parent.name}/{self.document.name}: zoo {shlex.join(self.words)}"


def shown(document: Path) -> list[Shown]:
    """The commands of zoo in the console blocks of a document, in their order."""
    found: list[tuple[list[str], list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((shlex.split(line[2:]), []))
            else:
                found[-1][1].append(line)
    zoos = [(words, output) for words, output in found if words[0] in ("zoo", "tools/zoo")]
    return [Shown(document, tuple(words[1:]), tuple(output)) for words, output in zoos]


ALL = [command for document in DOCUMENTS for command in shown(document)]


def recipe_of(words: tuple[str, ...]) -> str | None:
    """The recipe that a command names."""
    match words:
        case ("finetune", *rest):
            return rest[rest.index("--recipe") + 1]
        case ("probe" | "check", name, *_):
            return name
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: `photos` by class, with tables of labels and of tags, and `new` pictures."""
    folder = tmp_path_factory.mktemp("guide")
    rows = pyarrow.parquet.read_table(SAMPLES / "fashion-mnist" / "train-00000-of-00001.parquet").to_pylist()
    for name, label in (("bag", 8), ("coat", 4), ("sandal", 5)):
        for i, row in enumerate([row for row in rows if row["label"] == label][:14], 1):
            file = folder / "photos" / name / f"{i:03}.jpg" if i < 13 else folder / "new" / f"{name}-{i - 12}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.open(BytesIO(row["image"]["bytes"])).save(file)
    files = [f"{file.parent.name}/{file.name}" for file in sorted(folder.glob("photos/*/*.jpg"))]
    rows = [f"{file},{file.partition('/')[0]},{('train', 'validation', 'test')[i % 3]}" for i, file in enumerate(files)]
    (folder / "photos" / "labels.csv").write_text("\n".join(["image,label,split", *rows]))
    rows = [f"{file},{('leather;brown', 'wool;brown', '')[i % 3]}" for i, file in enumerate(files)]
    (folder / "photos" / "tags.csv").write_text("\n".join(["image,tags", *rows]))
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> Path:
    """`folder` with the finished runs `runs/first` and `runs/photos`, trained by the guide's own commands, made small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in ("--recipe quickstart --out runs/first", "--recipe images data.source=photos --out runs/photos"):
            assert ("finetune", *words.split()) in [command.words for command in ALL]
            assert main(["finetune", *words.split(), *SMALL, "schedule.head_epochs=1"]) == 0
    return folder


@pytest.mark.parametrize("command", ALL, ids=str)
def test_a_command_that_is_shown_takes_its_words(command: Shown, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "mine.yaml").write_text((ROOT / "recipes" / "images.yaml").read_text())
    verb, *rest = command.words
    assert verb in VERBS
    above = click.Context(cli, info_name="zoo", **cli.context_settings)
    parsed: click.Command = cli.get_command(above, verb)
    while isinstance(parsed, click.Group):
        parsed, rest = parsed.commands[rest[0]], rest[1:]
    context = parsed.make_context(verb, list(rest), parent=above)
    recipe = recipe_of(command.words)
    if recipe and not recipe.startswith("hf-hub:") and not any("error:" in line for line in command.output):
        load_recipe(recipe, context.params.get("overrides", ()))


@pytest.mark.parametrize("name", [None, *NAMES])
def test_the_commands_of_a_page_run(
    name: str | None, runs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """None is the README."""
    monkeypatch.chdir(runs)
    (runs / "mine.yaml").unlink(missing_ok=True)
    measured = json.loads((runs / "runs" / "first" / "metrics.json").read_text()).keys()
    for command in shown(FOLDER / f"{name}.md" if name else ROOT / "README.md"):
        words = runnable(command.words)
        if words is None:
            continue
        capfd.readouterr()
        code = main(words)
        said = "".join(capfd.readouterr())
        wrong = [line for line in command.output if line.startswith("error:")]
        assert (code != 0) == bool(wrong), said
        assert [line for line in wrong if line not in said.splitlines()] == []
        names = [found[1] for line in command.output if (found := re.match(r" {2}(\w+) +[01]\.\d+$", line))]
        assert set(names) <= measured


@pytest.mark.parametrize("document", [ROOT / "README.md", FOLDER / "start.md", FOLDER / "evaluation.md"])
def test_the_lines_of_python_run(document: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    (block,) = re.findall(r"^```python\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if "zoo.finetune" in block:
        assert '["data.source=photos"]' in block
        small = ["data.source=photos", *SMALL, "schedule.head_epochs=1"]
        block = block.replace('["data.source=photos"]', repr(small)).replace("runs/photos", f"runs/{document.stem}")
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["probabilities"].shape == (1, 3)
    assert "best" not in names or names["best"] in names["classifier"].classes


def runnable(words: tuple[str, ...]) -> list[str] | None:
    """The command as the tests run it; None where it needs a network, a GPU, a second process or a person."""
    verb, recipe = words[0], recipe_of(words)
    if any(word.startswith("hf-hub:") for word in words):
        return None
    if recipe and verb != "check":
        if recipe not in LOCAL:
            return None
        small = [*SMALL, "schedule.head_epochs=1"] if verb == "finetune" else SMALL
        source = ["data.source=photos"] if recipe == "mine.yaml" else []
        return [*words, *source, *small, *(["--dry-run"] if verb == "finetune" else [])]
    if verb in RUN or (verb == "push" and "--dry-run" in words) or (verb == "doctor" and "--data" in words):
        return list(words)
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: f"{document.parent.name}/{document.name}")
def test_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_keys_that_are_named_exist() -> None:
    known = {key.name for key in describe_keys()}
    sections = {name.partition(".")[0] for name in known if "." in name}
    for page in pages():
        prose = re.sub(r"^```.*?^```", "", page.text, flags=re.MULTILINE | re.DOTALL)
        named = re.findall(rf"`((?:{'|'.join(sections)})\.[\w.]+)(?==|`|:)", prose)
        options = tuple(f"{key}." for key in ("model.head", "model.adapter", "schedule", "train.loss"))
        assert [key for key in named if key not in {*known, *FILES} and not key.startswith(options)] == []


def test_every_page_is_listed_and_has_a_heading_and_a_summary() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.iterdir())
    for page in pages():
        assert re.fullmatch(r"[A-Z][\w ]+", page.title)
        assert page.summary.endswith(".") and len(page.summary) < 120
        assert "<!--" not in page.text and "](" not in page.text
    readme = DOCUMENTS[0].read_text(encoding="utf-8")
    assert [name for name in NAMES if f"(zoo/guide/{name}.md)" not in readme] == []


def test_the_figures_of_the_readme_are_measured() -> None:
    readme = DOCUMENTS[0].read_text(encoding="utf-8")
    rows = json.loads((ROOT / "tools" / "bench" / "results" / "cpu.json").read_text())["rows"]
    probe = next(row for row in rows if row["row"] == "probe" and "every epoch" in row["against"])
    assert abs(float(re.search(r"([\d.]+) times faster", readme)[1]) - probe["ratio"]["median"]) <= 0.05 + 1e-9
    bare = [row["ratio"]["median"] for row in rows if row["row"] == "bare"]
    assert f"{min(bare):.2f} to {max(bare):.2f} times the speed" in readme
    own = {kind: sum(plugin.owner == OWN for plugin in installed(kind)) for kind in ("schedule", "head")}
    assert f"{own['schedule']} freezing schedules, {own['head']} heads" in readme
    prose = re.sub(r"^```.*?^```|<!-- (\w+) -->.*?<!-- /\1 -->", "", readme, flags=re.MULTILINE | re.DOTALL)
    assert len(prose.split()) < 600 and len(readme.split()) < 900

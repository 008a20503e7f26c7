"""What the READMEs say of the code is what the code gives, and what they name exists."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from zoo.cli import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")


def test_what_is_made_from_the_code_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "make_readme.py", "--check"])
    assert done.returncode == 0, "run: python tools/make_readme.py"


def test_every_command_shown_exists() -> None:
    shown = set(re.findall(r"(?:^\$ (?:tools/)?|`)zoo (\w+)", README + PLUGINS, re.MULTILINE))
    assert len(shown) >= 4 and shown <= VERBS.keys()


def test_every_path_named_exists() -> None:
    named = {p for p in re.findall(r"`((?:zoo|plugins|tools|tests|recipes)/[\w./-]*)`", README)}
    for page in sorted((ROOT / "zoo" / "guide").glob("*.md")):
        named |= set(re.findall(r"`((?:zoo|plugins|tools|tests|recipes)/[\w./-]*)`", page.read_text(encoding="utf-8")))
    named |= {p for p in re.findall(r"`((?:zoo|plugins|tools|recipes)/[\w./-]*)`", PLUGINS)}  # `tests/` is a plugin's
    assert len(named) >= 8
    assert [p for p in sorted(named) if not (ROOT / p).exists()] == []


def test_the_contract_is_written_down_whole() -> None:
    tree = ast.parse((ROOT / "zoo" / "contracts.py").read_text(encoding="utf-8"))
    written = PLUGINS.partition("<!-- contract -->")[2].partition("<!-- /contract -->")[0]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert re.findall(r"^### (\w+)$", written, re.MULTILINE) == [node.name for node in classes]
    fields = {n.target.id for node in classes for n in node.body if isinstance(n, ast.AnnAssign)}
    calls = [n for node in classes for n in node.body if isinstance(n, ast.FunctionDef)]
    arguments = {a.arg for call in calls for a in (*call.args.args, *call.args.kwonlyargs)} - {"self"}
    assert len(fields) >= 10 and len(arguments) >= 8
    assert not [word for word in fields | arguments if not re.search(rf"\b{word}: ", written)]
    assert not re.findall(r"\bself\b|: \"", written)

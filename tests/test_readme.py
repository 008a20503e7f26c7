"""The README's tables are those that the code gives, and what it names exists."""

import re
import subprocess
import sys
from pathlib import Path

from zoo.cli import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tables_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "make_readme.py", "--check"])
    assert done.returncode == 0, "run: python tools/make_readme.py"


def test_every_command_shown_exists() -> None:
    shown = set(re.findall(r"^\$ (?:tools/)?zoo (\w+)", README, re.MULTILINE))
    assert len(shown) >= 4 and shown <= VERBS.keys()


def test_every_path_named_exists() -> None:
    named = {p for p in re.findall(r"`((?:zoo|plugins|tools|tests|recipes)/[\w./-]*)`", README)}
    assert len(named) >= 8
    assert [p for p in sorted(named) if not (ROOT / p).exists()] == []

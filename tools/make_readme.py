"""Writes what the documents say of the code from the code: README.md's tables, the tutorial's files, the contract.

python tools/make_readme.py            write
python tools/make_readme.py --check    exit 1 if they are out of date
"""

import re
import sys
import tomllib
from pathlib import Path

from contract_text import contract, points

from zoo.cli import VERBS
from zoo.config.catalog import recipes

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "plugins" / "README.md")
LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}


def recipe_table() -> str:
    """Name, task and expectation of every shipped recipe."""
    rows = ["| recipe | what | expected |", "|---|---|---|"]
    for recipe in recipes():
        if recipe.owner == "timm-zoo":
            expected = re.search(r"^# expected\s+(.*)$", recipe.path.read_text(encoding="utf-8"), re.MULTILINE)[1]
            rows.append(f"| `{recipe.name}` | {recipe.summary} | {expected} |")
    return "\n".join(rows)


def command_table() -> str:
    """Every verb and what it does."""
    return "\n".join(
        ["| command | what |", "|---|---|", *(f"| `zoo {verb}` | {text} |" for verb, text in VERBS.items())]
    )


def plugin_table() -> str:
    """Every first-party plugin: its folder and what it says of itself."""
    projects = [tomllib.loads(path.read_text())["project"] for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    return "\n".join(
        ["| plugin | what |", "|---|---|", *(f"| `plugins/{p['name']}` | {p['description']} |" for p in projects)]
    )


TABLES = {
    "recipes": recipe_table,
    "commands": command_table,
    "plugins": plugin_table,
    "contract": contract,
    "points": points,
}


def filled(text: str) -> str:
    """`text` with what stands between `<!-- name -->` and `<!-- /name -->` made anew.

    name: one of TABLES, or `file PATH`, below the root, for a whole file as a code block.
    """
    return re.sub(r"(<!-- ([\w ./-]+) -->\n).*?(<!-- /\2 -->)", _made, text, flags=re.DOTALL)


def _made(found: re.Match) -> str:
    name = found[2]
    path = ROOT / name.removeprefix("file ")
    made = TABLES[name]() if name in TABLES else f"```{LANGUAGES[path.suffix]}\n{path.read_text(encoding='utf-8')}```"
    return f"{found[1]}{made}\n{found[3]}"


def main(arguments: list[str]) -> int:
    old = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}
    new = {document: filled(text) for document, text in old.items()}
    if arguments == ["--check"]:
        return int(new != old)
    for document, text in new.items():
        document.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

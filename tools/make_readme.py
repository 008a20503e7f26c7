"""Writes the README's tables from the code: recipes from their headers, commands from the command line.

python tools/make_readme.py            write
python tools/make_readme.py --check    exit 1 if they are out of date
"""

import re
import sys
from pathlib import Path

from zoo.catalog import recipes
from zoo.cli import VERBS

README = Path(__file__).parents[1] / "README.md"


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


TABLES = {"recipes": recipe_table, "commands": command_table}


def filled(text: str) -> str:
    """`text` with what stands between `<!-- name -->` and `<!-- /name -->` made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda found, table=table: f"{found[1]}{table()}\n{found[2]}", text)
    return text


def main(arguments: list[str]) -> int:
    old = README.read_text(encoding="utf-8")
    new = filled(old)
    if arguments == ["--check"]:
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

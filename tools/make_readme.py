"""Writes what README and guide say of the code from the code: tables, drawings, the tutorial's files, the contract.

python tools/make_readme.py            write
python tools/make_readme.py --check    exit 1 if they are out of date
"""

import re
import sys
from pathlib import Path

import guide_tables
from contract_text import contract, points

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "plugins" / "README.md", *sorted(ROOT.glob("zoo/guide/*.md")))
LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}


TABLES = {**guide_tables.TABLES, "contract": contract, "points": points}


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

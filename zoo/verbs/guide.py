"""The guide: pages of Markdown in `zoo/guide`, one a subject, installed with the package."""

import re
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import UnknownName

FOLDER = Path(__file__).parents[1] / "guide"
NAMES = (
    "start",
    "recipes",
    "data",
    "transfer",
    "training",
    "evaluation",
    "plugins",
    "hub",
    "speed",
    "architecture",
)
"""Names of the pages in the order in which to read them."""
MARKER = re.compile(r"^<!-- [^\n]* -->\n", re.MULTILINE)
LINK = re.compile(r"\[([^]\n]+)\]\((?!https?:)[^)\n]+\)")


@dataclass(frozen=True)
class Page:
    """A page of the guide.

    name: what `zoo guide NAME` takes; title: its heading; summary: the paragraph below the heading, one line;
    text: the page as it is shown, Markdown.
    """

    name: str
    title: str
    summary: str
    text: str


def pages() -> list[Page]:
    """All pages, in the order in which to read them."""
    return [page(name) for name in NAMES]


def page(name: str) -> Page:
    """One page by its name. Raises UnknownName."""
    if name not in NAMES:
        raise UnknownName("page", name, NAMES, "See them all: zoo guide")
    text = readable((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    heading, summary = text.split("\n\n", 2)[:2]
    return Page(name, heading.removeprefix("# "), " ".join(summary.split()), text)


def readable(source: str) -> str:
    """A page without what serves its source only: marks around generated tables, links to files beside it."""
    return LINK.sub(r"\1", MARKER.sub("", source))

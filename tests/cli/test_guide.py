"""zoo guide"""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest

from zoo.verbs.guide import NAMES, page, readable


def test_the_pages_are_listed_with_their_summaries(zoo):
    code, out, err = zoo("guide")
    assert (code, err) == (0, "next: zoo guide start\n")
    assert [line.split()[0] for line in out.splitlines()] == list(NAMES)
    assert out.splitlines()[0].endswith("  " + page("start").summary)
    listed = json.loads(zoo("guide", "--json").out)
    assert [each["name"] for each in listed] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_receives_markdown(zoo, name):
    code, out, err = zoo("guide", name)
    assert (code, err) == (0, "")
    assert out == page(name).text and out.startswith(f"# {page(name).title}\n\n{page(name).summary}\n\n")
    assert json.loads(zoo("guide", name, "--json").out)[0]["text"] == out


def test_a_terminal_shows_it_formatted():
    screen, terminal = os.openpty()
    with open(screen, "rb", buffering=0) as shown:
        command = [sys.executable, "-m", "zoo", "guide", "speed"]
        with subprocess.Popen(
            command, stdout=terminal, env={**os.environ, "COLUMNS": "60", "TERM": "xterm"}
        ) as process:
            os.close(terminal)
            parts = []
            with suppress(OSError):  # a terminal that nobody writes to any more
                while part := shown.read(4096):
                    parts.append(part)
        assert process.wait(60) == 0
    coloured = b"".join(parts).decode()
    out = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert "## " not in out and "|---|" not in out and "```" not in out
    assert coloured != out and "If the model waits for images" in out and "data.image_size" in out
    assert max(map(len, out.splitlines())) <= 60


def test_a_page_that_is_not_there(zoo):
    assert zoo("guide", "dta") == (2, "", "error: unknown page 'dta'. Did you mean 'data'? See them all: zoo guide\n")


def test_marks_and_links_of_the_source_are_left_out():
    source = "# A\n\nB.\n\n<!-- keys -->\nx\n<!-- /keys -->\n[`zoo guide data`](data.md), [peft](https://x.org/peft)\n"
    assert readable(source) == "# A\n\nB.\n\nx\n`zoo guide data`, [peft](https://x.org/peft)\n"

"""The command line in this process: its exit code and what it printed."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from finished import finished, photos  # noqa: F401

from zoo.cli import main


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Zoo = Callable[..., Said]


@pytest.fixture
def zoo(capfd: pytest.CaptureFixture) -> Zoo:
    """zoo("list", "heads"): runs it."""

    def run(*words: object) -> Said:
        capfd.readouterr()
        return Said(main([str(w) for w in words]), *capfd.readouterr())

    return run

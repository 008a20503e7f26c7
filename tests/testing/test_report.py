"""Points, what they ask, and what becomes of what they raise."""

import subprocess
import sys

import pytest

from zoo import testing
from zoo.plugins import KINDS
from zoo.testing.checks import list_points
from zoo.testing.report import Outcome, Skip, Violation, judge, merge_places, quote_names


def keeps(_: object):
    """Nothing is wrong."""
    yield from ()


def breaks(_: object):
    """Something is right.

    This paragraph is for readers of the source.
    """
    yield Violation("one thing", "fix it")
    yield Violation("one thing", "fix it")
    yield Violation("another", "leave it", mild=True)


def leaves(_: object):
    """It stays."""
    raise SystemExit(4)


def skips(_: object):
    """It applies."""
    raise Skip("it does not apply")
    yield


class Nasty(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def nasty(_: object):
    """It speaks."""
    raise Nasty


def test_outcomes():
    assert list(judge(keeps, None)) == [Outcome("keeps", "ok", "Nothing is wrong.")]
    assert list(judge(breaks, None)) == [
        Outcome("breaks", "failed", "Something is right.", "one thing", "fix it"),
        Outcome("breaks", "warning", "Something is right.", "another", "leave it"),
    ]
    assert list(judge(skips, None)) == [Outcome("skips", "skipped", "It applies.", "it does not apply")]
    (left,) = judge(leaves, None)
    assert (left.state, left.found) == ("failed", "it raised SystemExit: 4")
    assert left.fix.startswith(f"look at {__file__}:")
    assert next(judge(nasty, None)).found == "it raised Nasty: its message raises as well"


def test_control_c_is_no_finding():
    def stop(_: object):
        """It goes on."""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(judge(stop, None))


def test_the_same_at_several_places_is_told_once():
    one, other = Violation("wrong", "fix"), Violation("odd", "fix")
    assert list(merge_places([("a", [one]), ("b", [one, other]), ("", [])])) == [
        Violation("wrong ('a', 'b')", "fix"), Violation("odd ('b')", "fix"),
    ]  # fmt: skip
    assert list(merge_places([("", [one])])) == [one]
    assert quote_names("abcdef") == "'a', 'b', 'c', 'd' and 2 more"


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_says_what_it_asks(kind):
    points = list_points(kind)
    assert all(text.endswith(".") for _, text in points)
    assert len({name for name, _ in points}) == len(points) >= 4


def test_importing_the_checks_needs_neither_pytest_nor_torch():
    code = "import sys, zoo.testing; print(sorted({'torch', 'pytest', 'timm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    code = "import sys; from zoo.testing import check_schedule; check_schedule('none'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_everything_public_is_there():
    assert all(callable(getattr(testing, name)) for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'check_everything'"):
        testing.check_everything  # noqa: B018

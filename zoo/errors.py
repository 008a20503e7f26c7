"""Every error a user can meet; each message says what, where, what was found and what to type next.

ZooError                exit code 1
├── UsageError          exit code 2: the command or the recipe is wrong
│   ├── UnknownName     a name that nothing carries; offers the nearest
│   └── RecipeError     all faults of a recipe at once
├── PluginError         an installed plugin fails, clashes, or breaks the contract
│   └── ContractError   all points of the contract that a part breaks
├── DataError           the data set cannot be used as it is
├── ModelError          a backbone, its weights or a model folder cannot be used
├── HubError            the Hub cannot be reached, refuses, or answers something else than it should
├── RunError            a run folder is taken, locked, unfinished or damaged
├── DiskFull            the disk has no room for what must be written
├── OutOfMemory         the batch does not fit the device
├── NonFiniteLoss       training diverged; the last good checkpoint is kept
└── Interrupted         SIGINT (130) or SIGTERM (143), after a checkpoint
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ZooError(Exception):
    """Anything the user can fix. `str(error)` is the whole story, without a traceback."""

    exit_code = 1


class UsageError(ZooError):
    """The command line or the recipe is wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing carries.

    kind: what was looked for ("recipe", "head"); known: the names that exist; hint: what to type next.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        super().__init__(f"unknown {kind} '{name}'.{did_you_mean(name, known)}{' ' + hint if hint else ''}")


class RecipeError(UsageError):
    """All faults of one recipe, one line each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class PluginError(ZooError):
    """An installed plugin fails to import, clashes with another, or breaks the contract."""


class ContractError(PluginError):
    """All points of the contract that a part breaks, one line each: what is asked, what was found, how to fix it."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class DataError(ZooError):
    """The data set cannot be found, read or used as it is."""


class ModelError(ZooError):
    """A backbone, its weights or a model folder cannot be used."""


class HubError(ZooError):
    """The Hub cannot be reached, refuses, or answers something else than it should."""


class RunError(ZooError):
    """A run folder is taken, locked, unfinished or damaged."""


class DiskFull(ZooError):
    """The disk has no room for what must be written."""


class OutOfMemory(ZooError):
    """The batch does not fit the device's memory."""


class NonFiniteLoss(ZooError):
    """The loss became NaN or infinite."""


class Interrupted(ZooError):
    """A signal stopped the run after it was saved; the exit code is 128 + signal."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


def first_line(problem: BaseException) -> str:
    """The first line of an exception's text that says anything, else its type."""
    return next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the nearest of `known`, else the short list itself, else ''."""
    known = list(known)
    return nearest(name, known) or (f" There are: {', '.join(known)}." if 0 < len(known) <= 12 else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the nearest of `known`, else ''; of `owner:name` the name counts."""
    known, name = list(known), name.rpartition(":")[2].lower()
    close = get_close_matches(name, known, n=1, cutoff=0.6) or [k for k in known if len(name) > 3 and name in k]
    return f" Did you mean '{close[0]}'?" if close else ""

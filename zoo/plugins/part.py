"""One registered part: whether it fits this zoo, and its import."""

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from typing import Any

from zoo.contracts import API_VERSION
from zoo.errors import PluginError, UsageError, ZooError, first_line
from zoo.plugins.module import stated_contract

OWN = "timm-zoo"
NAME = re.compile(r"\w[\w.+-]*")
SLOW_S = 10.0
"""An import that takes longer says so on stderr."""


@dataclass(frozen=True)
class Plugin:
    """One registered part: its kind and name, the distribution that owns it, and where it is defined."""

    kind: str
    name: str
    owner: str
    version: str
    target: str
    """`module:attribute`, or a package whose YAML files are recipes."""

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' of {self.owner} {self.version}"

    @property
    def full_name(self) -> str:
        return f"{self.owner}:{self.name}"

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    @property
    def contract(self) -> str:
        """Versions of the contract it was written for (`ZOO_CONTRACT = ">=1,<2"` in its module); "" where it is silent."""
        return stated_contract(self.module)

    @property
    def malformed(self) -> str:
        """What is wrong with its entry point itself, "" where nothing is."""
        if not NAME.fullmatch(self.name):
            return f"{self}: a part's name has letters, digits and . _ + - only; its author must rename it"
        if self.kind != "recipe" and not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", self.target):
            return f"{self}: its entry point is '{self.target}', but must read {self.name} = \"module:attribute\""
        return ""

    @property
    def outside_contract(self) -> str:
        """Why this zoo is not what it was written for, "" where it is. The zoo's own parts always fit."""
        if self.owner == OWN or not (wanted := self.contract):
            return ""
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            fits = SpecifierSet(wanted).contains(str(API_VERSION))
        except InvalidSpecifier:
            return f"{self} states ZOO_CONTRACT = '{escape(wanted)}', which is not a range of versions such as '>=1,<2'"
        if fits:
            return ""
        return (
            f"{self} was written for version {wanted} of the plugin contract, but {OWN} {zoo_version()} has version "
            f"{API_VERSION}. Bring the older of them up to date: pip install --upgrade {OWN} {self.owner}"
        )

    def unusable(self, reason: str, cure: str = "") -> PluginError:
        """The sentence for a part that does not import, and what to do about it."""
        cure = cure or f"Fix it or leave it out: pip uninstall {self.owner}"
        return PluginError(f"{self} cannot be imported ({self.target}): {reason}. {cure}")

    def load(self) -> Callable[..., Any]:
        """Import the part; what it prints meanwhile goes to stderr. Raises PluginError, whatever the plugin does."""
        if fault := self.malformed or self.outside_contract:
            raise PluginError(fault)
        try:
            with _announced_when_slow(self), _stdout_on_stderr():
                part = EntryPoint(self.name, self.target, "").load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._explained(error) from error
        if not callable(part):
            raise PluginError(
                f"{self}: {self.target} is a {escape(type(part).__name__)}, but the contract asks for something that can "
                f"be called"
            )
        return part

    def _explained(self, error: BaseException) -> PluginError:
        if isinstance(error, SyntaxError):
            return self.unusable(escape(f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"))
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if isinstance(name, str) and NAME.fullmatch(name) and "." not in name and name != self.module.partition(".")[0]:
            return self.unusable(f"it needs the module '{name}', which is not installed", f"Try: pip install {name}")
        return self.unusable(describe_error(error))


@contextmanager
def calling(plugin: Plugin, refused: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """The plugin's code runs here: a wrong option becomes a UsageError, a fault of its own a PluginError that names it.

    refused: how the sentence about a wrong option begins; passing: what is not the plugin's fault, and goes through.
    Raises UsageError, PluginError.
    """
    try:
        yield
    except passing:
        raise
    except (ValueError, TypeError) as error:
        raise UsageError(f"{refused}: {first_line(error)}") from error
    except (ZooError, MemoryError):
        raise
    except Exception as error:
        raise PluginError(f"{plugin} failed with {describe_error(error)}") from error


def escape(text: str) -> str:
    """`text` with control characters, line breaks included, written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def describe_error(error: BaseException) -> str:
    """Type and first line of what somebody else's code raised, even if its message raises as well."""
    try:
        text = str(error)
    except Exception:
        text = "it has no message"
    return escape(f"{type(error).__name__}: {text}".splitlines()[0])[:300]


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """What is written to stdout by whatever means goes to stderr, so that `--json` stays one document."""
    if sys.stdout is None or sys.stderr is None:  # closed by who called
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _announced_when_slow(plugin: Plugin) -> Iterator[None]:
    text = f"still importing {plugin.target} for {plugin}; Ctrl-C ends it\n"
    timer = threading.Timer(SLOW_S, lambda: sys.stderr and sys.stderr.write(text))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def zoo_version() -> str:
    """The installed version of the zoo, "unknown" when it runs from a folder that was never installed."""
    try:
        return version(OWN)
    except PackageNotFoundError:
        return "unknown"

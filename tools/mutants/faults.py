"""The list of faults, read from `faults.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("faults.toml")


@dataclass(frozen=True)
class Fault:
    """One change of one line.

    file: relative to the checkout; old: the text that is replaced, which stands there exactly once; new: the faulty text;
    tests: files of which at least one test must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def put_into(self, root: Path) -> None:
        """Change the file below `root`. Raises ValueError where the text does not stand there exactly once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise ValueError(
                f"{self.name}: the text stands {count} times in {self.file}, but must stand once: {self.old!r}"
            )
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


def read_faults(path: Path = LIST) -> list[Fault]:
    """All faults of the list, in its order."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["fault"]
    return [Fault(row["name"], row["file"], row["old"], row["new"], tuple(row["tests"])) for row in rows]

"""One line of the table: ours beside theirs, round by round, and whether the goal is met."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

SIGNS = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Row:
    """What was measured, in `unit`, by us and by them in the same rounds. goal: ">= 0.98" of ours / theirs, or ""."""

    name: str
    what: str
    against: str
    unit: str
    ours: list[float]
    theirs: list[float]
    goal: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs in each round, which is steadier than the ratio of two medians."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def met(self) -> bool | None:
        """Whether the median ratio reaches the goal; None where there is none."""
        if not self.goal:
            return None
        sign, value = self.goal.split()
        return SIGNS[sign](median(self.ratios), float(value))

    def document(self) -> dict[str, Any]:
        """The row as JSON keeps it."""
        return {
            "row": self.name,
            "what": self.what,
            "against": self.against,
            "unit": self.unit,
            "ours": spread(self.ours),
            "theirs": spread(self.theirs),
            "ratio": spread(self.ratios),
            "goal": self.goal,
            "met": self.met,
        }


@dataclass(frozen=True)
class LeftOut:
    """A row that was not measured, and in one sentence why."""

    name: str
    why: str


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    found = list(values)
    return {"median": _short(median(found)), "low": _short(min(found)), "high": _short(max(found))}


def _short(value: float) -> float:
    """Four digits that count."""
    return float(f"{value:.4g}")


HEADER = (
    f"{'row':<12}{'what':<58}{'against':<36}{'ours':>9}{'theirs':>9} {'unit':<9}{'ratio':>7}{'low':>7}{'high':>7}  goal"
)


def line(row: Row) -> str:
    """The row as the table shows it."""
    ratio, met = spread(row.ratios), {True: "met", False: "NOT MET", None: ""}[row.met]
    values = f"{median(row.ours):>9,.4g}{median(row.theirs):>9,.4g} {row.unit:<9}"
    ratios = "".join(f"{ratio[key]:>7.3g}" for key in ("median", "low", "high"))
    return f"{row.name:<12}{row.what:<58}{row.against:<36}{values}{ratios}  {row.goal} {met}".rstrip()

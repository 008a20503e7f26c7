"""What the options of heads may be; each check raises ValueError with option, value and range."""

import math
from collections.abc import Iterable

from zoo.errors import nearest


def at_least_one(**options: int) -> None:
    """Counts and widths. Raises ValueError for one below 1."""
    for name, value in options.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")


def probability(**options: float) -> None:
    """Chances of dropping something; 1 would drop everything. Raises ValueError for one outside 0..1, or for 1."""
    for name, value in options.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must lie in [0, 1)")


def positive(**options: float) -> None:
    """Factors. Raises ValueError for one that is not above 0."""
    for name, value in options.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value} must be finite and above 0")


def one_of(known: Iterable[str], **options: str) -> None:
    """Names of variants. Raises ValueError for an unknown one."""
    for name, value in options.items():
        if value not in known:
            raise ValueError(f"{name}={value} must be one of {', '.join(known)}.{nearest(value, known)}")


def divides(heads: int, hidden: int) -> None:
    """Attention heads share the width evenly. Raises ValueError if they cannot."""
    at_least_one(heads=heads, hidden=hidden)
    if hidden % heads:
        raise ValueError(f"heads={heads} must divide hidden={hidden}")

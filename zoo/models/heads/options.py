"""What the options of heads may be; each check raises ValueError with option, value and range."""

import math
from collections.abc import Iterable

from zoo.errors import nearest


def at_least_one(**options: int) -> None:
    """Counts and widths."""
    for name, value in options.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")


def probability(**options: float) -> None:
    """Chances of dropping something; 1 would drop everything."""
    for name, value in options.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must lie in [0, 1)")


def positive(**options: float) -> None:
    """Factors."""
    for name, value in options.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value} must be finite and above 0")


def one_of(known: Iterable[str], **options: str) -> None:
    """Names of variants."""
    for name, value in options.items():
        if value not in known:
            raise ValueError(f"{name}={value} must be one of {', '.join(known)}.{nearest(value, known)}")


def divides(heads: int, hidden: int) -> None:
    """Attention heads share the width evenly."""
    at_least_one(heads=heads, hidden=hidden)
    if hidden % heads:
        raise ValueError(f"heads={heads} must divide hidden={hidden}")

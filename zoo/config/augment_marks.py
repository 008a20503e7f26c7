"""What each field of `data.augment` is. The section's fields carry these marks, so that no operation can be forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo

OperationKind = Literal["spatial", "colour", "erase", "mix"]


@dataclass(frozen=True)
class Operation:
    """Marks a field as an operation on training images.

    kind: `spatial` moves pixels, `colour` changes their values, `erase` sets some to the mean, `mix` blends images of
        a batch with each other.
    neutral: value of the field at which the operation does nothing.
    """

    kind: OperationKind
    neutral: Any


@dataclass(frozen=True)
class ParameterOf:
    """Marks a field as a parameter of the operation of that name."""

    operation: str


def find_operations(fields: Mapping[str, FieldInfo]) -> dict[str, Operation]:
    """Each operation among the fields by its name, in their order. Raises TypeError for a field without a mark."""
    marks = {name: _mark(name, info) for name, info in fields.items()}
    found = {name: mark for name, mark in marks.items() if isinstance(mark, Operation)}
    for name, mark in marks.items():
        if isinstance(mark, ParameterOf) and mark.operation not in found:
            raise TypeError(f"data.augment.{name} is a parameter of '{mark.operation}', which is not an operation")
    return found


def find_parameters(fields: Mapping[str, FieldInfo], operation: str) -> list[str]:
    """Names of the fields that are parameters of an operation."""
    return [name for name, info in fields.items() if ParameterOf(operation) in info.metadata]


def _mark(name: str, info: FieldInfo) -> Operation | ParameterOf:
    marks = [mark for mark in info.metadata if isinstance(mark, Operation | ParameterOf)]
    if len(marks) != 1:
        raise TypeError(f"data.augment.{name} needs one mark: Operation(kind, neutral) or ParameterOf(operation)")
    return marks[0]

"""Fields of a record that are computed when somebody first looks at them.

A large sample's residuals take as much memory as a column, a fingerprint of the data more time than the estimate: an
engine that is asked for coefficients gives the rest as a :func:`later` value. The record computes it once and is then
like any other one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["Later", "later", "postponable"]

V = TypeVar("V")
C = TypeVar("C")


class Later:
    """What computes a field's value."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def later(make: Callable[[], V]) -> V:
    """The result of a function, to be computed on first access of the field that it is given for."""
    return cast("V", Later(make))


class _Field:
    """Stands before the slot of a field."""

    __slots__ = ("slot",)

    def __init__(self, slot: Any) -> None:
        self.slot = slot

    def __get__(self, record: object | None, kind: type | None = None) -> Any:
        if record is None:
            return self
        value = self.slot.__get__(record, kind)
        if type(value) is Later:
            value = value.make()
            self.slot.__set__(record, value)
        return value

    def __set__(self, record: object, value: object) -> None:
        self.slot.__set__(record, value)


def postponable(*names: str) -> Callable[[type[C]], type[C]]:
    """Let these fields of a dataclass with slots take a :func:`later` value.

    Copies, pickles and texts of a record hold values: making one computes every field.
    """

    def decorate(kind: type[C]) -> type[C]:
        for name in names:
            setattr(kind, name, _Field(kind.__dict__[name]))
        return kind

    return decorate

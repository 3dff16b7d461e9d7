"""Hyper-parameters are looked at when a method is made, not after an hour of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from ivbridge.errors import DataError

__all__ = ["check_choice", "check_range", "check_sizes", "numbers_of", "seed_of"]


def check_choice(**settings: tuple[object, Sequence[str]]) -> None:
    """A setting is one of some words; each is given with its value and the words.

    Raises
    ------
    DataError
        If one is not.
    """
    for name, (given, words) in settings.items():
        if given not in words:
            raise DataError(f"{name}={given!r} was asked.", available=", ".join(words))


def check_range(low: float, high: float, *, low_too: bool = False, **settings: Any) -> None:
    """Numbers, or all numbers of tuples with one or more, lie between two bounds; the upper one is not allowed.

    Parameters
    ----------
    low, high : float
    low_too : bool, default False
        The lower bound is allowed.
    **settings
        By name, for the message.

    Raises
    ------
    DataError
        If one does not.
    """
    for name, given in settings.items():
        numbers = given if isinstance(given, tuple | list) else (given,)
        if not numbers or not all(_between(one, low, high, low_too=low_too) for one in numbers):
            upper = "" if math.isinf(high) else f", below {high}"
            raise DataError(
                f"{name}={given!r} was asked.", available=f"{'from' if low_too else 'above'} {low}{upper}, and finite"
            )


def _between(one: Any, low: float, high: float, *, low_too: bool) -> bool:
    if not isinstance(one, Real):
        return False
    number = float(one)
    return (low <= number if low_too else low < number) and number < high


def check_sizes(*, several: bool = False, empty: bool = False, **settings: Any) -> None:
    """Whole numbers from 1: one each, or a tuple of them.

    Parameters
    ----------
    several : bool, default False
        Each setting is a tuple.
    empty : bool, default False
        Tuples may be empty.
    **settings
        By name, for the message.

    Raises
    ------
    DataError
        If one is something else.
    """
    for name, given in settings.items():
        shaped = isinstance(given, tuple | list) if several else isinstance(given, Integral)
        numbers = given if several and shaped else (given,)
        fine = (
            shaped and (empty or bool(numbers)) and all(isinstance(one, Integral) and int(one) >= 1 for one in numbers)
        )
        if not fine:
            what = "a tuple of whole numbers from 1" if several else "a whole number from 1"
            raise DataError(f"{name}={given!r} was asked.", available=what + (", or ()" if several and empty else ""))


def seed_of(seed: Any) -> int:
    """A seed as Python's integer.

    Raises
    ------
    DataError
        If it is no integer from 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or int(seed) < 0:
        raise DataError(f"The seed {seed!r} was asked.", available="integers from 0")
    return int(seed)


def numbers_of(given: Any, kind: type[float] | type[int], name: str) -> Any:
    """A tuple of Python numbers from any sequence or array of them: what can be hashed, compared and written to a file.

    Raises
    ------
    DataError
        If these are no numbers of the kind.
    """
    wanted = Integral if kind is int else Real
    try:
        found = tuple(given)
    except TypeError:
        found = (None,)
    if not all(isinstance(one, wanted) for one in found):
        raise DataError(
            f"{name}={given!r} was asked.", available=f"{'whole ' if kind is int else ''}numbers, in a tuple"
        )
    return tuple(kind(one) for one in found)

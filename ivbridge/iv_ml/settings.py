"""Hyper-parameters are looked at when a method is made, not after an hour of training."""

from __future__ import annotations

import math

from ivbridge.errors import DataError

__all__ = ["check_range"]


def check_range(low: float, high: float, *, low_too: bool = False, **settings: float | tuple[float, ...]) -> None:
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
        numbers = given if isinstance(given, tuple) else (given,)
        if not numbers or not all((low <= one if low_too else low < one) and one < high for one in numbers):
            upper = "" if math.isinf(high) else f", below {high}"
            raise DataError(
                f"{name}={given} was asked.", available=f"{'from' if low_too else 'above'} {low}{upper}, and finite"
            )

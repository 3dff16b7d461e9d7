"""Fits that leave a covariance estimator nothing to work with: refused by name on every engine alike."""

from __future__ import annotations

import numpy as np

from ivbridge.errors import DataError, DesignError
from ivbridge.frame import counted
from ivbridge.linear import Linear
from ivbridge.records import FloatArray
from ivbridge.vcov import HC0, HC1, Vcov

__all__ = ["check_discounts", "check_scores", "hopeless_rows", "refuse_discounts"]

#: As sandwich has it, whose ``vcovHC`` warns of "hat values close to 1" from here on: the root of 2⁻⁵².
NEAR_ONE = 2.0**-26

#: A score is a product of √w·e and √w·P; what is this much smaller than the product of their lengths is rounding.
VANISHING = 1e-12


def check_discounts(vcov: Vcov, model: Linear, omega: FloatArray) -> None:
    """Refuse rows whose leverage leaves HC2 to HC5 dividing by zero, or taking the root of a negative number.

    Parameters
    ----------
    vcov : Vcov
    model : Linear
    omega : ndarray, shape (n,)
        What stands in place of the squared residuals.

    Raises
    ------
    DataError
        If one minus a leverage is zero but for rounding, or negative where its root is needed.
    """
    if isinstance(vcov, HC0 | HC1):
        return
    refuse_discounts(vcov, hopeless_rows(model.hat, omega), model.n)


def hopeless_rows(hat: FloatArray, omega: FloatArray) -> int:
    """Rows of leverage (b,) whose discounted squares (b,) are no numbers that an estimator can use."""
    return int(((np.abs(1 - hat) < NEAR_ONE) | ~(omega >= 0)).sum())


def refuse_discounts(vcov: Vcov, count: int, n: int) -> None:
    """Say in how many of n rows the leverage leaves HC2 to HC5 nothing to divide by; nothing where there is none.

    Raises
    ------
    DataError
    """
    if count:
        raise DataError(
            f"{vcov} divides by a power of one minus the leverage, which is zero or negative in "
            f"{counted(count, 'row')} of {n}: some combination of the columns is different from zero only there.",
            do="ask for HC0 or HC1, or leave the row out.",
        )


def check_scores(vcov: Vcov, model: Linear) -> None:
    """Refuse to model the dependence over time of scores that are zero but for rounding.

    Parameters
    ----------
    vcov : Vcov
        With prewhitening or an automatic bandwidth, which are regressions of the scores on earlier ones.
    model : Linear

    Raises
    ------
    DesignError
        If a regressor's scores vanish, as those of a dummy of a single row do, and all scores of an exact fit.
    """
    root = np.ones(model.n) if model.weights is None else np.sqrt(model.weights)
    rest, size = np.linalg.norm(model.residuals * root), np.linalg.norm(model.y * root)
    lengths = np.linalg.norm(model.projected * root[:, None], axis=0) * rest
    vanishing = (np.abs(model.scores).max(axis=0) <= VANISHING * lengths) | (rest <= VANISHING * size)
    if count := int(vanishing.sum()):
        raise DesignError(
            f"{vcov} regresses the estimating functions on earlier ones, and those of {counted(count, 'column')} of "
            f"{model.k} are zero in every row: the column differs from zero in a single row, or the fit is exact.",
            do="leave the column out, or ask for HC1.",
        )

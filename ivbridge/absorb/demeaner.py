"""pyfixest's solver, for graphs on which conjugate gradients stall."""

from __future__ import annotations

import importlib.util

import numpy as np

from ivbridge.absorb.normal import Normal
from ivbridge.errors import DesignError, MissingExtraError
from ivbridge.records import FloatArray

__all__ = ["demeaned"]

#: Of its LSMR iterations.
TOLERANCE, STEPS = 1e-12, 10_000


def demeaned(normal: Normal, values: FloatArray) -> FloatArray:
    """What the effects leave of the columns `values`, (n, p), by LSMR with a Schwarz preconditioner.

    Raises
    ------
    MissingExtraError
        If pyfixest is not installed.
    DesignError
        If it does not converge.
    """
    if importlib.util.find_spec("pyfixest") is None:
        raise MissingExtraError(
            "These fixed effects are too poorly connected for conjugate gradients, and pyfixest, whose solver takes "
            "over then, is not installed.",
            do='run: pip install "ivbridge[peers]"',
        )
    from pyfixest.core.demean import demean_within

    codes = np.stack([codes for codes, _ in normal.factors], axis=1).astype(np.uint32)
    found, good, _ = demean_within(values, codes, normal.weights, tol=TOLERANCE, maxiter=STEPS)
    if not good:
        raise DesignError(
            f"Neither conjugate gradients nor pyfixest's LSMR find these fixed effects in {STEPS} iterations.",
            do="leave out levels with few rows (singletons=drop), or absorb a coarser factor.",
        )
    return np.asarray(found)

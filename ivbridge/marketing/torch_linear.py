"""Two-stage least squares in torch, with a linear layer as the first stage: solved, not trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivbridge.errors import DesignError
from ivbridge.iv_ml.computing import Computing, deterministic, torch_module
from ivbridge.records import FloatArray

__all__ = ["TorchTwoStage", "two_stage"]


@dataclass(frozen=True, slots=True, eq=False)
class TorchTwoStage:
    """What :func:`two_stage` found.

    Attributes
    ----------
    names : tuple of str
        The regressors: controls, then the endogenous one.
    coef, std_error : (k,) arrays
        Standard errors are classical, with residuals y − Xβ at the observed exposure and n − k degrees of freedom: R's
        ``summary(ivreg(…))``.
    fitted : (n,) array
        Exposure as the first stage predicts it.
    residuals : (n,) array
    """

    names: tuple[str, ...]
    coef: FloatArray
    std_error: FloatArray
    fitted: FloatArray
    residuals: FloatArray


def two_stage(y: FloatArray, d: FloatArray, z: FloatArray, x: FloatArray, names: Sequence[str] = ()) -> TorchTwoStage:
    """Two least-squares problems by QR in float64.

    Parameters
    ----------
    y, d : (n,) arrays
    z : (n,) or (n, q) array
        Instruments.
    x : (n, m) array
        Controls; a constant is added.
    names : sequence of str, optional
        Of the controls and of d.

    Raises
    ------
    DesignError
        If columns are linearly dependent.
    MissingExtraError
        If torch is not installed.
    """
    torch = torch_module()
    ones = np.ones(len(y))
    controls = np.column_stack([ones, x])
    with deterministic():
        parts = (y, d, np.column_stack([controls, z]), controls)
        outcome, exposure, first, held = (Computing("float64").tensor([part])[0] for part in parts)
        fitted = first @ _solved(first, exposure)
        second, observed = torch.column_stack([held, fitted]), torch.column_stack([held, exposure])
        coef = _solved(second, outcome)
        residuals = outcome - observed @ coef
        k = second.shape[1]
        inverse = torch.linalg.inv(torch.linalg.qr(second).R)
        error = torch.sqrt((inverse**2).sum(1) * (residuals @ residuals) / (len(y) - k))
    labels = tuple(names) or (*(f"x{i + 1}" for i in range(controls.shape[1] - 1)), "d")
    return TorchTwoStage(("(Intercept)", *labels), *(one.numpy() for one in (coef, error, fitted, residuals)))


def _solved(columns: Any, target: Any) -> Any:
    """β of least squares, by QR without pivoting."""
    torch = torch_module()
    q, r = torch.linalg.qr(columns)
    diagonal = torch.abs(torch.diagonal(r))
    if bool(diagonal.min() <= 1e-10 * diagonal.max()):
        raise DesignError("The columns of a stage are linearly dependent.", do="leave out one of them.")
    return torch.linalg.solve_triangular(r, (q.T @ target)[:, None], upper=True)[:, 0]

"""Tests over many draws at once: correlation of instrument and residual, Sargan's test, a negative control."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ivbridge import batch
from ivbridge.marketing.worlds import Panel
from ivbridge.records import FloatArray

__all__ = ["falsification", "negative_control", "residuals", "sargan"]


def residuals(y: FloatArray, columns: FloatArray) -> FloatArray:
    """What least squares on columns (B, n, k) leave of y (B, n)."""
    q = np.linalg.qr(columns).Q
    return np.asarray(y - np.einsum("bnk,bk->bn", q, np.einsum("bnk,bn->bk", q, y)))


def falsification(data: Panel, extra: FloatArray | None = None) -> FloatArray:
    """Correlation of the email with the residual of 2SLS, given the controls, (B,): the recipe's criterion.

    With one instrument for one treatment this is the equation that 2SLS solves: zero, whatever is true.

    Parameters
    ----------
    data : Panel
    extra : (B, n, k) array, optional
        More controls.
    """
    controls = data.controls if extra is None else np.concatenate([data.controls, extra], axis=2)
    left = residuals(data.email, controls)
    after = _structural(data, data.email[:, :, None], controls)
    return np.asarray((left * after).sum(1) / np.sqrt((left**2).sum(1) * (after**2).sum(1)))


def sargan(data: Panel, extra: FloatArray | None = None) -> FloatArray:
    """p-values (B,) of Sargan's test with email and push message as instruments: n·R² of the residuals, χ²(1).

    Equals R's ``summary(ivreg(…), diagnostics = TRUE)``.
    """
    controls = data.controls if extra is None else np.concatenate([data.controls, extra], axis=2)
    after = _structural(data, data.campaigns, controls)
    unexplained = residuals(after, np.concatenate([controls, data.campaigns], axis=2))
    centred = after - after.mean(axis=1, keepdims=True)
    r2 = 1 - (unexplained**2).sum(1) / (centred**2).sum(1)
    return np.asarray(stats.chi2.sf(after.shape[1] * r2, 1))


def negative_control(data: Panel) -> FloatArray:
    """p-values (B,), HC1: does the email move sales that exposure cannot change?"""
    controls = np.concatenate([data.controls, data.email[:, :, None]], axis=2)
    estimate, error = _last(batch.fit(data.other_sales, controls, None, None, "HC1", "ols"))
    return np.asarray(2 * stats.norm.sf(np.abs(estimate / error)))


def _structural(data: Panel, instruments: FloatArray, controls: FloatArray) -> FloatArray:
    """y − Xβ of 2SLS, (B, n)."""
    coef = batch.fit(data.conversions, controls, data.exposure, instruments).coef
    regressors = np.concatenate([controls, data.exposure[:, :, None]], axis=2)
    return np.asarray(data.conversions - np.einsum("bnk,bk->bn", regressors, coef))


def _last(found: batch.Fits) -> tuple[FloatArray, FloatArray]:
    return found.coef[:, -1], np.sqrt(found.cov[:, -1, -1])

"""A chunk of replications answered: factors, fits, and one more pass for residuals, covariances and a corrected step.

The second pass gives the scores eᵢQᵢ in orthonormal coordinates Q of X̂, so that the meat loses no digits to collinear
columns. Their plain sums are what rounding left of the normal equations, and correct the coefficients (Björck 1987,
Linear Algebra and its Applications 88/89).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.batch.factor import Factors, inverted, products, trusted
from ivbridge.batch.models import Model, k_class, two_stage
from ivbridge.batch.records import Question, Shape
from ivbridge.magnitude import LARGEST, SMALLEST
from ivbridge.method import TwoStage
from ivbridge.records import FloatArray, IntArray
from ivbridge.vcov import Classical, Clustered

__all__ = ["Answers", "answered"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of c replications.

    Attributes
    ----------
    coef, cov : (c, k), (c, k, k) arrays
    condition : (c,) array
        Growth of rounding errors; where it is above `factor.LIMIT` the numbers are not to be used.
    kappa : (c,) array or None
    """

    coef: FloatArray
    cov: FloatArray
    condition: FloatArray
    kappa: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """What the second pass found: scores eQ (c, k, n), e'e (c,) and corrected coefficients (c, k)."""

    scores: FloatArray
    rss: FloatArray
    coef: FloatArray


def answered(w: FloatArray, shape: Shape, question: Question, codes: IntArray | None) -> Answers:
    """Answer a chunk.

    Parameters
    ----------
    w : (c, m, n) array
        Columns; changed in place where digits need it.
    shape : Shape
    question : Question
    codes : (c, n) int array or None
        Clusters.
    """
    method = question.method
    with np.errstate(all="ignore"):
        factors, moved, condition = trusted(w, shape)
        if method is None or isinstance(method, TwoStage):
            model = two_stage(factors, shape)
        else:
            model = k_class(w, factors, shape, method)
        found = _second_pass(w, factors, model, shape)
        condition = np.maximum(condition, _cancelled(factors.lengths, found, shape))
        if model.closeness is not None:
            condition = np.maximum(condition, model.closeness.condition)
        half, coef = model.inverse if isinstance(question.vcov, Classical) else model.side, found.coef
        if moved is not None:
            half = moved.side @ half
            coef = (moved.side @ coef[:, :, None])[:, :, 0]
            coef[:, 0] += moved.mean
        cov = half @ _meat(found, shape, question, codes) @ half.transpose(0, 2, 1)
    usable = np.isfinite(cov).all(axis=(1, 2)) & np.isfinite(coef).all(axis=1) & (condition >= 0)
    extreme = (factors.lengths > LARGEST) | ((factors.lengths < SMALLEST) & (factors.lengths > 0))
    usable &= ~extreme.any(axis=1)
    kappa = None if model.closeness is None else model.closeness.kappa
    return Answers(coef, cov, np.where(usable, condition, np.inf), kappa)


def _second_pass(w: FloatArray, factors: Factors, model: Model, shape: Shape) -> _Pass:
    p, end, k = shape.p, shape.l, shape.k
    turn = np.zeros((len(w), k + 1, shape.m))
    turn[:, :p, :p] = factors.inverse[:, :p, :p]
    turn[:, p:k, :end] = factors.turn.transpose(0, 2, 1) @ factors.inverse[:, p:]
    turn[:, k, :p], turn[:, k, end:-1], turn[:, k, -1] = -model.coef[:, :p], -model.coef[:, p:], 1.0
    turned = turn @ w
    scores, e = turned[:, :k], turned[:, k:].transpose(0, 2, 1)
    scores *= turned[:, k:]
    left = scores.sum(axis=2, keepdims=True)
    if model.closeness is not None:
        beyond = (model.closeness.kappa - 1)[:, None, None]
        left[:, p:] -= beyond * (inverted(factors.root).transpose(0, 2, 1) @ (model.closeness.left @ e))
    coef = model.coef + (model.side @ left)[:, :, 0]
    return _Pass(scores, (turned[:, k:] @ e)[:, 0, 0], coef)


def _cancelled(lengths: FloatArray, found: _Pass, shape: Shape) -> FloatArray:
    """How much longer the terms of y − Xβ are than the residuals, (c,)."""
    p, end = shape.p, shape.l
    terms = np.abs(found.coef) * np.concatenate([lengths[:, :p], lengths[:, end:-1]], axis=1)
    return np.asarray((lengths[:, -1] + terms.sum(axis=1)) / np.sqrt(found.rss))


def _meat(found: _Pass, shape: Shape, question: Question, codes: IntArray | None) -> FloatArray:
    n, k = shape.n, shape.k
    if isinstance(question.vcov, Classical):
        return np.asarray((found.rss / (n - k))[:, None, None] * np.eye(k))
    if isinstance(question.vcov, Clustered):
        assert codes is not None
        sums, counts = _by_cluster(found.scores, codes)
        factor = (n - 1) / (n - k) if question.vcov_type == "HC1" else 1.0
        small = counts / (counts - 1) if question.vcov.cadjust else np.ones(len(counts))
        return np.asarray((factor * small)[:, None, None] * (sums @ sums.transpose(0, 2, 1)))
    return products(found.scores) * (n / (n - k) if question.vcov_type == "HC1" else 1.0)


def _by_cluster(scores: FloatArray, codes: IntArray) -> tuple[FloatArray, FloatArray]:
    """Sums of scores (c, k, G) and how many clusters each replication has, (c,)."""
    c, k, _ = scores.shape
    groups = int(codes.max()) + 1
    places = (codes + groups * np.arange(c)[:, None]).ravel()
    sums = np.empty((c, k, groups))
    for j in range(k):
        sums[:, j] = np.bincount(places, scores[:, j].ravel(), c * groups).reshape(c, groups)
    there = np.bincount(places, minlength=c * groups).reshape(c, groups) > 0
    return sums, there.sum(axis=1).astype(np.float64)

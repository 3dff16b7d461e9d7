"""One replication at a time, by the arithmetic of the native engine: what a batch cannot answer to twelve digits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ivbridge import sandwich
from ivbridge.batch.records import KClass, Question, Shape
from ivbridge.errors import DataError, DesignError
from ivbridge.kclass import estimated
from ivbridge.linear import Basis, Linear, least_squares
from ivbridge.magnitude import check_magnitudes
from ivbridge.method import LIML, Fuller
from ivbridge.modelmatrix import Columns
from ivbridge.rank import Rank, decide_rank
from ivbridge.records import FloatArray, IntArray, Seen
from ivbridge.vcov import Clustered, Vcov

__all__ = ["One", "ordinary"]


@dataclass(frozen=True, slots=True, eq=False)
class One:
    """One answer: (k,), (k, k), κ where the method has one, and what there is to say about it."""

    coef: FloatArray
    cov: FloatArray
    kappa: float
    note: str


def ordinary(w: FloatArray, shape: Shape, names: tuple[str, ...], question: Question, codes: IntArray | None) -> One:
    """Answer one replication, or say why there is no answer.

    Parameters
    ----------
    w : (m, n) array
    shape : Shape
    names : tuple of str, length k
    question : Question
    codes : (n,) int array or None
        Clusters.
    """
    try:
        x, z = _columns(w, shape, names)
        rank = decide_rank(w[-1], x, z, None)
        if len(rank.x) < shape.k:
            lost = ", ".join(name for j, name in enumerate(names) if j not in rank.x)
            raise DesignError(f"{lost} depends linearly on other columns.")
        model = _model(w[-1], x, z, rank, question)
        vcov, groups = question.vcov, {}
        if isinstance(vcov, Clustered):
            assert codes is not None
            groups = {vcov.by[0]: np.unique(codes, return_inverse=True)[1].ravel()}
            sandwich.check_groups(vcov, groups)
            vcov = _typed(vcov, question)
        cov = sandwich.covariance(model, vcov, groups)
    except (DataError, DesignError, np.linalg.LinAlgError) as error:
        return One(np.full(shape.k, np.nan), np.full((shape.k, shape.k), np.nan), np.nan, f"no estimate: {error}")
    lost = ", ".join(z.names[j] for j in range(shape.l) if j not in rank.z)
    said = f", without {lost}, which depends linearly on other columns" if lost else ""
    return One(model.coef, cov, np.nan if model.k_class is None else model.k_class.kappa, f"by itself{said}")


def _columns(w: FloatArray, shape: Shape, names: tuple[str, ...]) -> tuple[Columns, Columns]:
    """X and Z with their names."""
    if not np.isfinite(w).all():
        raise DataError("a value is missing or infinite.")
    p, end = shape.p, shape.l
    z_names = (*names[:p], *(f"z{j + 1}" for j in range(end - p)))
    x = Columns((*w[:p], *w[end:-1]), names, (0,) * shape.k, shape.n)
    check_magnitudes({"y": w[-1], **dict(zip((*z_names, *names[p:]), w[:-1], strict=True))}, None)
    return x, Columns(tuple(w[:end]), z_names, (0,) * end, shape.n)


def _model(y: FloatArray, x: Columns, z: Columns, rank: Rank, question: Question) -> Linear:
    if question.method is None:
        return least_squares(y, Basis.of(x.stacked(), None), x.names)
    kept = tuple(z.names[j] for j in rank.z)
    seen = Seen(np.arange(len(y)), x.names, kept, y=y, x=x.stacked(), z=z.stacked(rank.z))
    return _given(seen, question.method) if isinstance(question.method, KClass) else estimated(seen, question.method)


def _given(seen: Seen, method: KClass) -> Linear:
    """The k-class of a given κ, as Fuller's estimator with the a that gives it."""
    liml = estimated(seen, LIML()).k_class
    assert liml is not None
    if liml.liml <= method.kappa:
        raise DesignError(f"{method}: by itself only a κ below that of LIML, {liml.liml:.6g}, is computed.")
    return estimated(seen, Fuller((liml.liml - method.kappa) * (len(seen.y) - len(seen.z_names))))


def _typed(vcov: Clustered, question: Question) -> Vcov:
    return dataclasses.replace(vcov, type="HC1" if question.vcov_type == "HC1" else "HC0")

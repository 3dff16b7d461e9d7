"""The answer of a LASSO engine: the path, its cross-validation, and the sets that rules choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from ivbridge import serial
from ivbridge.records import FloatArray, IntArray, Provenance
from ivbridge.selection.rules import Min, OneSE, Rule, parse_rule
from ivbridge.selection.spec import LassoSpec

__all__ = ["LassoFit", "LassoPath", "LassoSeen"]


@dataclass(frozen=True, slots=True, eq=False)
class LassoPath:
    """Solutions for a falling sequence of penalties; R's ``glmnet`` object.

    Attributes
    ----------
    lambdas : (L,) array
    intercepts : (L,) array
    coefs : (L, p) array
        On the scale of the data, as R's ``coef``.
    dev_ratio : (L,) array
        Share of the null deviance explained, R's ``dev.ratio``.
    """

    lambdas: FloatArray
    intercepts: FloatArray
    coefs: FloatArray
    dev_ratio: FloatArray

    @property
    def nonzero(self) -> np.ndarray:
        """(L,) numbers of coefficients that are not zero: R's ``df``."""
        return np.asarray(np.count_nonzero(self.coefs, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class LassoSeen:
    """What an engine used: the raw material of the handshake.

    Attributes
    ----------
    rows : (n,) int array
        Positions of the rows in the data.
    foldid : (n,) int array
        Fold of each row, 1 … k; R's own draw where R drew.
    levels : tuple of str
        For binomial the two values of the dependent variable, the event last; else empty.
    """

    rows: IntArray
    foldid: IntArray
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LassoFit:
    """R's ``cv.glmnet`` object, from any engine.

    Attributes
    ----------
    spec : LassoSpec
    engine : str
        ``"r"``, ``"native"`` or ``"sklearn"``.
    names : tuple of str, length p
    path : LassoPath
        Fitted to all rows.
    cvm, cvsd : (L,) arrays
        Mean cross-validated loss and its standard error.
    index_min, index_1se : int
        Positions, from 0, of λ.min and λ.1se in the path.
    n : int
    data_sha256 : str
    provenance : Provenance
    notes, warnings : tuple of str
        What was left out of the data, and what the engine warned of.
    seen : LassoSeen, optional
        None after a JSON round trip.
    """

    json_skip: ClassVar[tuple[str, ...]] = ("seen",)
    spec: LassoSpec
    engine: str
    names: tuple[str, ...]
    path: LassoPath
    cvm: FloatArray
    cvsd: FloatArray
    index_min: int
    index_1se: int
    n: int
    data_sha256: str
    provenance: Provenance
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    seen: LassoSeen | None = None

    @property
    def lambda_min(self) -> float:
        """R's ``lambda.min``."""
        return float(self.path.lambdas[self.index_min])

    @property
    def lambda_1se(self) -> float:
        """R's ``lambda.1se``."""
        return float(self.path.lambdas[self.index_1se])

    def index(self, rule: str | Rule | None = None) -> int:
        """Position of a rule's λ in the path; default: the question's rule.

        Raises
        ------
        UnsupportedError
            If the rule is not ``min`` or ``1se``.
        """
        chosen = parse_rule(self.spec.rule if rule is None else rule)
        return {Min: self.index_min, OneSE: self.index_1se}[type(chosen)]

    def coef(self, rule: str | Rule | None = None) -> pd.Series:
        """Coefficients at a rule's λ, ``(Intercept)`` first: R's ``coef(fit, s = "lambda.1se")``."""
        at = self.index(rule)
        values = np.concatenate([[self.path.intercepts[at]], self.path.coefs[at]])
        return pd.Series(
            values, index=["(Intercept)", *self.names], name=f"lambda.{parse_rule(rule or self.spec.rule)}"
        )

    def selected(self, rule: str | Rule | None = None) -> tuple[str, ...]:
        """Names with a coefficient other than zero at a rule's λ: R's ``predict(fit, type = "nonzero")``."""
        chosen = self.path.coefs[self.index(rule)] != 0
        return tuple(name for name, inside in zip(self.names, chosen, strict=True) if inside)

    def tidy(self) -> pd.DataFrame:
        """One row a λ, with the columns of broom's ``tidy.cv.glmnet``."""
        return pd.DataFrame(
            {
                "lambda": self.path.lambdas, "estimate": self.cvm, "std.error": self.cvsd,
                "conf.low": self.cvm - self.cvsd, "conf.high": self.cvm + self.cvsd, "nzero": self.path.nonzero,
            }
        )  # fmt: skip

    def glance(self) -> pd.DataFrame:
        """One row, with the columns of broom's ``glance.cv.glmnet``."""
        row: Mapping[str, object] = {"lambda.min": self.lambda_min, "lambda.1se": self.lambda_1se, "nobs": self.n}
        return pd.DataFrame([row])

    def summary(self) -> str:
        """Text in the layout of R's ``print(cv.glmnet(…))``."""
        head = f"{self.spec.dependent} on {len(self.names)} candidates, n = {self.n}, engine {self.engine}"
        lines = [head, f"Measure: {self.spec.measure}", "", "     Lambda Index Measure SE Nonzero"]
        for name, at in (("min", self.index_min), ("1se", self.index_1se)):
            numbers = f"{self.path.lambdas[at]:.4g} {at + 1:d} {self.cvm[at]:.4g} {self.cvsd[at]:.4g}"
            lines.append(f"{name}  {numbers} {self.path.nonzero[at]:d}")
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        chosen = f"{len(self.selected())} of {len(self.names)}"
        return f"<LassoFit {self.engine} {self.spec.dependent}: {chosen} at lambda.{self.spec.rule}>"

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that reads back to the same bits."""
        return serial.dumps(self, indent=indent)

"""The question: one frozen, hashable record that every engine understands. Open this file first.

>>> spec = IVSpec.from_formula("log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff", vcov="HC1")
>>> spec.endog, spec.exog, spec.instruments
(('log(rprice)',), ('log(rincome)',), ('tdiff',))
>>> spec == IVSpec.from_formula("np.log(packs) ~ 1 + np.log(rincome) + [np.log(rprice) ~ tdiff]", vcov="HC1")
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ivbridge.arrays import Array, assemble
from ivbridge.canonical import columns_of, offset_text, response_text
from ivbridge.effects import Absorb, parse_absorb
from ivbridge.errors import FormulaError
from ivbridge.expr import parse, quote_name
from ivbridge.formula import Roles, order_terms, parse_formula, parse_term
from ivbridge.lexer import check_name
from ivbridge.method import Method, TwoStage, parse_method
from ivbridge.stata import to_stata
from ivbridge.translate import Levels, to_linearmodels, to_r
from ivbridge.vcov import Inference, T, Vcov
from ivbridge.vcov_text import parse_inference, parse_vcov

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["IVSpec", "from_arrays"]


@dataclass(frozen=True, slots=True)
class IVSpec:
    """One instrumental-variable question.

    All texts are checked and rewritten in R's spelling when the record is made, so that two questions are equal
    exactly when they mean the same.

    Parameters
    ----------
    dependent : str
        An arithmetic expression on columns, for example ``"log(packs)"``.
    exog, endog, instruments : sequence of str
        Terms: exogenous regressors, endogenous regressors, and the instruments that are not regressors. A term is a
        variable such as ``"x"``, ``"log(x)"``, ``"factor(g)"``, or an interaction such as ``"a:b"``. Each group is
        sorted by degree, as R sorts terms. No endogenous regressor and no instrument is ordinary least squares.
    intercept : bool, default True
        As in R.
    offset : str, optional
        An expression that is subtracted from the dependent variable.
    weights : str, optional
        Name of a column of non-negative weights (AER's ``weights``: precision, not frequency).
    vcov : Vcov, optional
        Covariance estimator, or its short text form. There is no silent default: the defaults of R and Python differ,
        so engines ask for it.
    inference : Inference, default T()
        Reference distribution of the coefficients: ``T()``, ``T(df)`` or ``Z()``, or ``"t"``, ``"t(20)"``, ``"z"``.
    method : Method, default TwoStage()
        The estimator, or its short text form: ``"2sls"``, ``"liml"``, ``"fuller(1)"``.
    absorb : Absorb, optional
        Fixed effects, or their short text form ``"firm, year"``; they span the intercept. Only engine ``fast`` takes
        them.

    Raises
    ------
    FormulaError
        If a text is not an allowed expression or term, a term has two roles, or LIML or Fuller is asked of a question
        without an endogenous regressor.
    UnsupportedError
        If `vcov`, `inference` or `method` is an unknown text.
    """

    dependent: str
    exog: tuple[str, ...] = ()
    endog: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    intercept: bool = True
    offset: str | None = None
    weights: str | None = None
    vcov: Vcov | None = None
    inference: Inference = T()  # noqa: RUF009
    method: Method = TwoStage()  # noqa: RUF009
    absorb: Absorb | None = None

    def __post_init__(self) -> None:
        groups = order_terms(*(map(parse_term, _texts(g)) for g in (self.exog, self.endog, self.instruments)))
        dependent = response_text(parse(self.dependent))
        values = {
            "dependent": dependent,
            **dict(zip(("exog", "endog", "instruments"), groups, strict=True)),
            "offset": None if self.offset is None else offset_text(parse(self.offset)),
            "weights": None if self.weights is None else check_name(self.weights),
            "vcov": None if self.vcov is None else parse_vcov(self.vcov),
            "inference": parse_inference(self.inference),
            "method": parse_method(self.method),
            "absorb": None if self.absorb is None else parse_absorb(self.absorb),
            "intercept": self.intercept or self.absorb is not None,  # which the effects span, written or not
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if not columns_of(dependent):
            raise FormulaError(f"The dependent variable {dependent!r} names no column.")
        if dependent in (*self.regressors, *self.instruments):
            raise FormulaError(f"The dependent variable {dependent!r} is also a regressor or an instrument.")
        if not (self.intercept or self.regressors):
            raise FormulaError(f"The question about {dependent!r} has no regressor and no intercept.")
        if not (self.endog or isinstance(self.method, TwoStage)):
            raise FormulaError(
                f"{self.method} needs an endogenous regressor, and the question about {dependent!r} has none.",
                do="name the instruments in the formula, or ask for 2sls, which is least squares here.",
            )

    @classmethod
    def from_formula(
        cls,
        text: str,
        *,
        vcov: str | Vcov | None = None,
        inference: str | Inference = "t",
        weights: str | None = None,
        method: str | Method = "2sls",
        fixest: bool = False,
    ) -> IVSpec:
        """Read a formula in R's two-part, R's three-part, linearmodels' or fixest's dialect (:mod:`ivbridge.formula`).

        Parameters
        ----------
        text : str
            The formula; it is parsed, never evaluated.
        vcov, inference, weights, method
            As for the class.
        fixest : bool, default False
            Whether ``y ~ w | f`` is fixest's, with fixed effects after the bar, rather than AER's.

        Raises
        ------
        FormulaError
            If the text is not a formula, or uses something that is not allowed.
        """
        r = parse_formula(text, fixest=fixest)
        return cls(
            r.dependent, r.exog, r.endog, r.instruments, r.intercept, r.offset, weights,
            None if vcov is None else parse_vcov(vcov), parse_inference(inference), parse_method(method), r.absorb,
        )  # fmt: skip

    @property
    def regressors(self) -> tuple[str, ...]:
        """All regressors, exogenous ones first."""
        return self.exog + self.endog

    @property
    def all_instruments(self) -> tuple[str, ...]:
        """Exogenous regressors and excluded instruments."""
        return self.exog + self.instruments

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the data that the question needs, in order of first use."""
        offset = () if self.offset is None else (self.offset,)
        texts = (self.dependent, *offset, *self.regressors, *self.instruments)
        names = [name for text in texts for name in columns_of(text)]
        names += [] if self.weights is None else [self.weights]
        names += [] if self.absorb is None else self.absorb.columns
        names += [] if self.vcov is None else self.vcov.columns
        return tuple(dict.fromkeys(names))

    @property
    def roles(self) -> Roles:
        """The part of the question that a formula can say."""
        return Roles(
            self.dependent, self.exog, self.endog, self.instruments, self.intercept, self.offset, self.absorb
        )  # fmt: skip

    def to_r(self) -> str:
        """Write the question as R's two-part formula, exogenous regressors first in both parts."""
        return to_r(self.roles)

    @property
    def title(self) -> str:
        """The question in one line: R's formula, and the estimator where it is not two-stage least squares."""
        return self.to_r() if isinstance(self.method, TwoStage) else f"{self.to_r()} · {self.method.heading}"

    def to_linearmodels(self, levels: Levels | None = None) -> str:
        """Write the question as a formula of linearmodels (see :func:`ivbridge.translate.to_linearmodels`)."""
        return to_linearmodels(self.roles, levels)

    def to_stata(self) -> str:
        """Write the question as lines of a Stata do-file (see :func:`ivbridge.stata.to_stata`)."""
        return to_stata(
            self.roles,
            columns=self.columns,
            weights=self.weights,
            vcov=self.vcov,
            inference=self.inference,
            method=self.method,
        )

    def with_vcov(self, vcov: str | Vcov | None, inference: str | Inference | None = None) -> IVSpec:
        """Return the same question with another covariance estimator and, if given, another inference."""
        chosen = self.inference if inference is None else parse_inference(inference)
        return replace(self, vcov=None if vcov is None else parse_vcov(vcov), inference=chosen)

    def __str__(self) -> str:
        method = None if isinstance(self.method, TwoStage) else self.method
        named = (("method", method), ("vcov", self.vcov), ("weights", self.weights))
        extras = [f"{name}={value}" for name, value in named if value]
        return " · ".join([self.to_r(), *extras])


def _texts(group: str | Sequence[str]) -> tuple[str, ...]:
    return (group,) if isinstance(group, str) else tuple(group)


def from_arrays(
    dependent: Array,
    exog: Array | None = None,
    endog: Array | None = None,
    instruments: Array | None = None,
    weights: Array | None = None,
) -> tuple[IVSpec, pd.DataFrame]:
    """Ask a question about arrays instead of a formula.

    The matrices are taken as they are, as in linearmodels: no intercept is added. A column of ones in `exog` becomes
    the intercept of the question, so that R names it ``(Intercept)``.

    Parameters
    ----------
    dependent : array-like, shape (n,)
        Names of pandas objects are kept; otherwise it is called ``y``.
    exog, endog, instruments : array-like, shape (n,) or (n, k), optional
        Columns without a name are called ``w1, w2, …``, ``x1, …`` and ``z1, …``.
    weights : array-like, shape (n,), optional
        Non-negative weights, called ``weights`` if they have no name.

    Returns
    -------
    (IVSpec, DataFrame)
        The question (without a vcov) and the data that it is about.

    Raises
    ------
    DataError
        If lengths or pandas indexes differ, two columns have one name, or an array has more than two dimensions.
    """
    frame, names, intercept = assemble(dependent, (exog, endog, instruments), weights)
    terms = {role: tuple(quote_name(check_name(name)) for name in found) for role, found in names.items()}
    spec = IVSpec(
        terms["dependent"][0], terms["exog"], terms["endog"], terms["instruments"], intercept,
        weights=names["weights"][0] if names["weights"] else None,
    )  # fmt: skip
    return spec, frame

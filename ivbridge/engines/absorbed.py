"""The fast engine's answer where fixed effects are absorbed.

Every column is replaced by what the effects leave of it (:mod:`ivbridge.absorb.within`); blocks of rows do the rest,
and are told how many coefficients the effects count for. R² is that of the whole model, the effects included, as R
gives it with dummies; the within R² is in :attr:`ivbridge.results.Estimate.effects`. The Wald test is of the
coefficients that are reported.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivbridge import sandwich
from ivbridge.absorb.codes import Codes, coded, crossed, not_singletons, recoded
from ivbridge.absorb.dof import Counted, count
from ivbridge.absorb.within import Within, within
from ivbridge.asked import asked_vcov
from ivbridge.blocks.answer import Answer
from ivbridge.blocks.factor import Factor, factored
from ivbridge.blocks.meats import group_codes
from ivbridge.blocks.regression import Layout
from ivbridge.blocks.rows import Columns
from ivbridge.blocks.solve import solved, squares
from ivbridge.clustering import numbered
from ivbridge.design import Prepared, group_values, prepare
from ivbridge.effects import factor_columns
from ivbridge.engines.fast import FastEngine
from ivbridge.engines.postponed import alone
from ivbridge.errors import DesignError, UnsupportedError
from ivbridge.expr import quote_name
from ivbridge.frame import counted, fingerprint
from ivbridge.kept import Kept, kept_of
from ivbridge.later import later
from ivbridge.rank import Rank, decided
from ivbridge.records import Digits, Effects, FirstStage, FloatArray, IntArray, Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread
from ivbridge.vcov import HC0, HC1, Classical, Clustered, Vcov

__all__ = ["absorbed"]

INTERCEPT = "(Intercept)"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The rows of a question, after singletons are left out where that is asked for.

    Attributes
    ----------
    prepared : Prepared
    at : (n,) int array
        Positions in the data.
    columns : mapping of str to (n,) array
        Regressors and instruments but the constant, instruments first.
    y : (n,) array
    weights : (n,) array or None
    factors : mapping of str to ((n,) codes, number of levels)
        By the text of the factor.
    singletons : int
        Rows left out.
    """

    prepared: Prepared
    at: IntArray
    columns: dict[str, FloatArray]
    y: FloatArray
    weights: FloatArray | None
    factors: dict[str, tuple[Codes, int]]
    singletons: int

    def group(self, name: str) -> Codes:
        """Codes of a cluster column."""
        known = self.factors.get(quote_name(name))
        return known[0] if known else coded(group_values(self.prepared.frame, self.at, name))[0]

    def names(self, gone: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Regressors and instruments without the constant and without some of them."""
        parts = (self.prepared.x.names, self.prepared.z.names)
        x, z = (tuple(name for name in part if name != INTERCEPT and name not in gone) for part in parts)
        return x, z


@one_thread()
def absorbed(spec: IVSpec, data: pd.DataFrame) -> Estimate:
    """Answer a question with absorbed fixed effects.

    Parameters
    ----------
    spec : IVSpec
        With ``absorb``.
    data : DataFrame

    Raises
    ------
    UnsupportedError
        If the vcov is none, or not classical, HC0, HC1 or clustered.
    DataError, FormulaError, DesignError
        As :func:`ivbridge.design.build`, and where the effects leave nothing of the dependent variable or of all
        regressors, or too few degrees of freedom.
    MissingExtraError
        As :func:`ivbridge.absorb.within.within`.
    """
    assert spec.absorb is not None
    vcov = asked_vcov(spec)
    _check_vcov(vcov)
    sample = _sample(prepare(spec, data))
    label = sample.prepared.label
    factors = list(sample.factors.values())
    exact = spec.absorb.dof == "exact" and len(factors) > 2
    left = within([*sample.columns.values(), sample.y], factors, sample.weights, rank=exact)
    if left.absorbed[-1]:
        raise DesignError(
            f"{spec.absorb} reproduces {label}: nothing is left to explain.", do="absorb fewer effects, or none."
        )
    gone = tuple(name for name, lost in zip(sample.columns, left.absorbed, strict=False) if lost)
    names = sample.names(frozenset(gone))
    if not names[0]:
        raise DesignError(f"{spec.absorb} absorbs every regressor ({', '.join(gone)}).", do="absorb fewer effects.")
    groups = {name: sample.group(name).astype(np.int64) for name in vcov.columns}
    sandwich.check_groups(vcov, groups)
    counts = count(spec.absorb.dof, factors, [sample.group(name) for name in vcov.columns], left.rank)
    _check_rows(sample, counts, names)
    codes, sizes = group_codes(vcov, {name: numbered(group) for name, group in groups.items()})
    kept, rank, factor, rows = _ranked(sample, left, names, counts)
    rows = Columns(rows.columns, rows.weights, codes)
    found = solved(rows, _layout(kept, counts, sample), vcov, sizes, method=spec.method, factor=factor)
    answer = Answer(rows, found, spec.inference, rank.exact)
    cancelled = float((left.lengths / left.remains)[~left.absorbed].max())
    return _estimate(answer, sample, (kept, gone, groups), _effects(sample, counts, left, found.r2), cancelled)


def _check_vcov(vcov: Vcov) -> None:
    if isinstance(vcov, Classical | HC0 | HC1 | Clustered):
        return
    raise UnsupportedError(
        f"vcov={vcov} is not offered with absorbed fixed effects: it needs leverages of the effects, or rows in order.",
        available="classical, HC0, HC1, cluster(g)",
        do="write factor(f) terms instead of absorb(f).",
    )


def _sample(prepared: Prepared) -> Sample:
    """Code the factors, and leave singletons out where that is asked for."""
    absorb = prepared.spec.absorb
    assert absorb is not None
    single = {name: coded(group_values(prepared.frame, prepared.rows, name)) for name in absorb.columns}
    factors = {text: crossed([single[name] for name in factor_columns(text)]) for text in absorb.factors}
    parts = (prepared.z, prepared.x)
    columns = {name: column for part in parts for name, column in zip(part.names, part.columns, strict=True)}
    columns.pop(INTERCEPT, None)
    whole = Sample(prepared, prepared.rows, columns, prepared.y, prepared.weights, factors, 0)
    if absorb.singletons == "keep":
        return whole
    kept = not_singletons(list(factors.values()))
    if not len(kept):
        raise DesignError(f"Every row is alone in a level of {absorb}.", do="absorb a coarser factor.")
    if len(kept) == len(prepared.rows):
        return whole
    return Sample(
        prepared, prepared.rows[kept], {name: column[kept] for name, column in columns.items()}, prepared.y[kept],
        None if prepared.weights is None else prepared.weights[kept],
        {text: recoded(codes[kept]) for text, (codes, _) in factors.items()}, len(prepared.rows) - len(kept),
    )  # fmt: skip


def _check_rows(sample: Sample, counts: Counted, names: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    n, most = len(sample.y), max(len(part) for part in names)
    if n <= counts.absorbed + most:
        raise DesignError(
            f"The fixed effects count for {counted(counts.absorbed, 'coefficient')}, the other terms for {most}, but "
            f"only {counted(n, 'row')} can be used.",
            do="absorb a coarser factor, or drop singletons (singletons=drop), which no coefficient depends on.",
        )


def _ranked(
    sample: Sample, left: Within, names: tuple[tuple[str, ...], tuple[str, ...]], counts: Counted
) -> tuple[Kept, Rank, Factor, Columns]:
    """The columns that are linearly independent given the effects, and their triangular factor."""
    place = {name: j for j, name in enumerate(sample.columns)}
    x, z = names

    def rows(chosen: tuple[tuple[str, ...], tuple[str, ...]]) -> Columns:
        at = [place[name] for name in _order(*chosen)]
        return Columns((*(left.values[:, j] for j in at), left.values[:, -1]), sample.weights)

    first = rows(names)
    factor = factored(first, constant=False)
    try:
        rank = decided(factor.raw.astype(float), x, z, len(sample.y) - counts.absorbed)
    except DesignError as error:
        gone = ", ".join(name for name, lost in zip(sample.columns, left.absorbed, strict=False) if lost)
        raise DesignError(error.message + f" The fixed effects absorb {gone}." * bool(gone), do=error.do) from error
    kept = kept_of(sample.prepared.spec.method, sample.prepared.label, names, rank)
    if (kept.x, kept.z) == names:
        return kept, rank, factor, first
    fewer = rows((kept.x, kept.z))
    return kept, rank, factored(fewer, constant=False), fewer


def _order(x: tuple[str, ...], z: tuple[str, ...]) -> tuple[str, ...]:
    """Columns of W: the instruments, then the regressors that are not among them."""
    return (*z, *(name for name in x if name not in z))


def _layout(kept: Kept, counts: Counted, sample: Sample) -> Layout:
    place = {name: j for j, name in enumerate(_order(kept.x, kept.z))}
    return Layout(
        False, kept.x, kept.z, tuple(place[name] for name in kept.x), tuple(place[name] for name in kept.z), len(place),
        absorbed=counts.absorbed, nested=counts.nested, weighted=sample.weights is not None,
    )  # fmt: skip


def _effects(sample: Sample, counts: Counted, left: Within, r2_within: float) -> Effects:
    levels = {text: levels for text, (_, levels) in sample.factors.items()}
    return Effects(levels, counts.absorbed, counts.nested, sample.singletons, r2_within, left.step, left.path)


def _total(values: FloatArray, weights: FloatArray | None) -> float:
    """Weighted sum of squares around the mean."""
    centred = values - np.average(values, weights=weights)
    return float(centred @ (centred if weights is None else centred * weights))


def _digits(answer: Answer, effects: Effects, cancelled: float) -> Digits:
    """How many digits are good: those of the blocks, or fewer where the effects take most of a column away.

    Rounding of a column is then 2⁻⁵² of what it was, `cancelled` times what is left of it.
    """
    found = answer.solved
    rounding = 2.0**-52 * cancelled * found.factor.condition
    coef, std_error = (-math.log10(rounding + left) for left in (effects.step**2, effects.step))
    return Digits(min(found.digits.coef, max(coef, 0.0)), min(found.digits.std_error, max(std_error, 0.0)))


def _estimate(
    answer: Answer,
    sample: Sample,
    used: tuple[Kept, tuple[str, ...], dict[str, IntArray]],
    effects: Effects,
    cancelled: float,
) -> Estimate:
    """The answer; what has n rows, or needs another pass, is computed when it is looked at.

    `used` are the columns kept, those that the effects absorb, and the codes of cluster columns; `cancelled` is the
    largest ratio of a column to what the effects leave of it.
    """
    kept, gone, groups = used
    found, prepared, engine = answer.solved, sample.prepared, FastEngine()
    spec, n = prepared.spec, found.n
    r2 = 1 - found.rss / _total(sample.y, sample.weights)

    def stages() -> tuple[FirstStage, ...]:
        return tuple(_whole(stage, answer, sample) for stage in answer.first_stages)

    def matrix(names: tuple[str, ...]) -> FloatArray:
        return np.column_stack([sample.columns[name] for name in names])

    seen = Seen(
        rows=sample.at, x_names=kept.x, z_names=kept.z,
        aliased=(*(name for name in prepared.x.names if name in gone), *kept.aliased),
        aliased_instruments=(*(name for name in prepared.z.names if name in gone), *kept.aliased_instruments),
        levels=prepared.levels, y=sample.y, x=later(lambda: matrix(kept.x)), z=later(lambda: matrix(kept.z)),
        weights=sample.weights, groups=groups, exact=bool(answer.exact),
    )  # fmt: skip
    return Estimate(
        spec=spec, engine=engine.name, coefs=answer.coefs, cov=found.cov, residuals=alone(lambda: answer.residuals),
        fitted=alone(lambda: np.asarray(sample.y - answer.residuals)), n=n, df_resid=found.df_resid,
        sigma=found.sigma, r2=r2, r2_adj=1 - (1 - r2) * (n - 1) / found.df_resid, tests=alone(lambda: answer.tests),
        first_stages=alone(stages), seen=seen, data_sha256=later(lambda: fingerprint(prepared.frame)),
        provenance=later(lambda: engine.provenance(spec)), notes=_notes(sample, kept, gone, effects), kappa=found.kappa,
        effects=effects, digits=alone(lambda: _digits(answer, effects, cancelled)),
    )  # fmt: skip


def _whole(stage: FirstStage, answer: Answer, sample: Sample) -> FirstStage:
    """A first stage with the R² of the whole regression, the effects included."""
    layout = answer.solved.layout
    place = layout.x[layout.x_names.index(stage.endog)]
    rss = (1 - stage.r2) * squares(answer.solved.factor, place, centred=False)
    left = rss / _total(sample.columns[stage.endog], sample.weights)
    return dataclasses.replace(stage, r2=1 - left, r2_adj=1 - left * (stage.n - 1) / stage.df_resid)


def _notes(sample: Sample, kept: Kept, gone: tuple[str, ...], effects: Effects) -> tuple[str, ...]:
    notes = [*sample.prepared.notes]
    if effects.singletons:
        notes.append(f"{counted(effects.singletons, 'row')} left out: alone in a level of an absorbed factor")
    notes.append(str(effects))
    if gone:
        notes.append(f"left out, since the fixed effects absorb them: {', '.join(gone)}")
    if effects.path in ("iteration", "pyfixest"):
        notes.append(f"the effects were found by iteration; the last step changed them by {effects.step:.0e} at most")
    return (*notes, *kept.notes)

"""Look at the columns of a table: what the data themselves say about an analysis that is planned with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge.audit.catalogue import catalogue
from ivbridge.audit.duplicates import duplicates
from ivbridge.audit.records import Finding
from ivbridge.causal.overlap import describe
from ivbridge.causal.propensity import Propensity, logit
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.errors import DesignError, MissingExtraError
from ivbridge.records import FloatArray

__all__ = ["DATA_CHECKS", "data_findings"]

#: R² from which glmnet stops its path, and from which the outcome counts as a formula of the covariates.
PERFECT = 0.999
#: Condition number that statsmodels warns of, and the one below which standardised columns are not collinear.
CONDITION, HARMLESS = 1e3, 30.0
#: Standardised mean difference from which an arm differs; Rubin (2001, Health Services & Outcomes Research
#: Methodology 2, p. 174) asks for less than 0.25.
DIFFERENT = 0.25
#: First-stage F below which Staiger and Stock (1997) call instruments weak.
WEAK = 10.0
#: Differences of scores that nobody would see in a result.
SCORE_OFF = 1e-3
#: Quantile groups of a covariate in which both arms are looked for, and the units that a group needs to be judged.
GROUPS, CROWD = 10, 20

_TRUTH = re.compile(r"^(y|outcome)_?[01]$|^ite(_true)?$|true_(effect|ite|tau)|^tau_true$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Data with roles, and the numbers that several checks need."""

    name: str
    frame: pd.DataFrame
    question: CausalQuestion
    data: CausalData
    score: Propensity | None
    notes: list[str] = field(default_factory=list)

    def finding(self, check: str, where: str, found: str, numbers: Mapping[str, float] | None = None) -> Finding:
        """A finding in these data."""
        return Finding(catalogue()[check], f"{self.name}, {where}", found, dict(numbers or {}))


def data_findings(name: str, frame: pd.DataFrame, question: CausalQuestion) -> tuple[list[Finding], list[str]]:
    """Every mistake that the data show, and checks that could not be made, with the reason.

    Parameters
    ----------
    name : str
        What to call the data.
    frame : DataFrame
    question : CausalQuestion

    Raises
    ------
    DataError, DesignError
        If the roles do not fit the columns.
    """
    alone = [one for one in question.covariates if one in frame and _is_treatment(frame, one, question)]
    flat = [one for one in question.covariates if one in frame and frame[one].dropna().astype(str).nunique() == 1]
    kept = tuple(one for one in question.covariates if one not in {*alone, *flat})
    asked = CausalQuestion(
        question.dependent, question.treatment, kept, question.instruments, clusters=question.clusters
    )
    data = build(asked, frame)
    notes = [f"The column {one!r} does not vary, and was left out." for one in flat]
    found = [
        Finding(
            catalogue()["covariate-is-treatment"],
            f"{name}, column {one}",
            f"{one} equals {question.treatment} or its opposite.",
        )
        for one in alone
    ]
    score = None
    if data.x.shape[1]:
        try:
            score = logit(data)
        except DesignError as error:
            if "separate" in error.message:
                where = f"{name}, columns {', '.join(asked.covariates)}"
                found.append(Finding(catalogue()["propensity-separated"], where, error.message))
            else:
                notes.append(f"The propensity score was not looked at: {error}")
        except MissingExtraError as error:
            notes.append(f"The propensity score was not looked at: {error}")
    columns = Columns(name, frame, question, data, score, notes)
    for check in DATA_CHECKS:
        found += check(columns)
    return found, notes


def _is_treatment(frame: pd.DataFrame, covariate: str, question: CausalQuestion) -> bool:
    both = frame[[covariate, question.treatment]].dropna() if question.treatment in frame else frame[[]]
    if both.empty or not all(pd.api.types.is_numeric_dtype(both[one]) or both[one].dtype == bool for one in both):
        return False
    left, right = (both.iloc[:, i].to_numpy(dtype=np.float64) for i in (0, 1))
    return bool((left == right).all() or (left == 1 - right).all())


def _penalty(c: Columns) -> Iterator[Finding]:
    if c.score is None:
        return
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        c.notes.append("Default scikit-learn scores were not compared: scikit-learn is not installed.")
        return
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it does not converge is what is measured
        plain = LogisticRegression().fit(c.data.x, c.data.t).predict_proba(c.data.x)[:, 1]
        scaled = c.score.design[:, 1:]
        even = LogisticRegression().fit(scaled, c.data.t).predict_proba(scaled)[:, 1]
    off, off_even = (float(np.abs(one - c.score.score).max()) for one in (plain, even))
    if max(off, off_even) > SCORE_OFF:
        yield c.finding(
            "default-scores-differ",
            f"columns {', '.join(c.data.x_names)}",
            f"LogisticRegression() gives scores that are up to {off:.2g} off the maximum-likelihood ones, "
            f"{off_even:.2g} on standardised columns.",
            {"largest difference": off, "largest difference, standardised": off_even},
        )


def _weights(c: Columns) -> Iterator[Finding]:
    if c.score is None:
        return
    ps = c.score.score
    weights = np.where(c.data.treated, 1 / ps, 1 / (1 - ps))
    found = describe(ps, c.data.t, weights)
    if found.verdict != "fine":
        arm = weights[c.data.treated]
        numbers = {
            "max weight": float(weights.max()),
            "ess treated": found.ess_treated,
            "treated": float(found.n_treated),
            "ess control": found.ess_control,
            "beyond": found.beyond,
            "mean treated weight": float(arm.mean()),
        }
        yield c.finding(
            "extreme-weights",
            f"scores from {', '.join(c.data.x_names)}",
            f"{' '.join(found.reasons)} Largest weight {weights.max():.0f}.",
            numbers,
        )


def _design(c: Columns) -> FloatArray:
    return np.column_stack([np.ones(c.data.n), c.data.t, c.data.x])


def _fit(c: Columns) -> Iterator[Finding]:
    design, y = _design(c), c.data.y
    coef = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = y - design @ coef
    total = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(rest @ rest) / total if total else 0.0
    if r2 > PERFECT:
        alone = [float(np.corrcoef(y, c.data.x[:, j])[0, 1]) ** 2 for j in range(c.data.x.shape[1])]
        best = c.data.x_names[int(np.argmax(alone))] if alone else c.question.treatment
        yield c.finding(
            "r-squared-one",
            f"{c.question.dependent} on {c.question.treatment} and covariates",
            f"R-squared is {r2:.6f}; {best} alone gives {max(alone, default=r2):.6f}.",
            {"R-squared": r2},
        )
    spread = rest @ rest / max(len(y) - design.shape[1], 1)
    error = float(np.sqrt(spread * np.linalg.pinv(design.T @ design)[1, 1]))
    if error > 0 and abs(coef[1] / error) < stats.norm.isf(0.025):
        yield c.finding(
            "outcome-without-relation",
            f"{c.question.dependent} on {c.question.treatment} and covariates",
            f"The coefficient of {c.question.treatment} is {coef[1]:.4g} (standard error {error:.3g}).",
            {"coefficient": float(coef[1]), "std.error": error},
        )


def _scale(c: Columns) -> Iterator[Finding]:
    x = c.data.x
    spread = x.std(axis=0)
    if not x.shape[1] or (spread == 0).any():
        return
    raw = float(np.linalg.cond(_design(c)))
    even = float(np.linalg.cond(np.column_stack([np.ones(len(x)), c.data.t, (x - x.mean(axis=0)) / spread])))
    if raw > CONDITION and even < HARMLESS:
        yield c.finding(
            "columns-of-unequal-scale",
            f"columns {', '.join(c.data.x_names)}",
            f"The condition number is {raw:.2g}, and {even:.2g} after standardising.",
            {"condition number": raw, "after standardising": even},
        )


def _balance(c: Columns) -> Iterator[Finding]:
    arm, x = c.data.treated, c.data.x
    for j, name in enumerate(c.data.x_names):
        pooled = np.sqrt((x[arm, j].var(ddof=1) + x[~arm, j].var(ddof=1)) / 2)
        gap = float((x[arm, j].mean() - x[~arm, j].mean()) / pooled) if pooled else 0.0
        if abs(gap) > DIFFERENT:
            yield c.finding(
                "arms-differ",
                f"column {name}",
                f"The standardised mean difference of {name} is {gap:.2f}.",
                {"standardised mean difference": gap},
            )


def _instruments(c: Columns) -> Iterator[Finding]:
    z, n = c.data.z, c.data.n
    if not z.shape[1]:
        return
    inner = np.column_stack([np.ones(n), c.data.x])
    outer = np.column_stack([inner, z])
    short, full = (_squares(one, c.data.t) for one in (inner, outer))
    df = n - outer.shape[1]
    if df <= 0 or full <= 0:
        return
    f = (short - full) / z.shape[1] / (full / df)
    if f < WEAK:
        yield c.finding(
            "weak-instruments",
            f"{', '.join(c.data.z_names)} for {c.question.treatment}",
            f"The first-stage F is {f:.2f}.",
            {"F": f},
        )


def _squares(design: FloatArray, target: FloatArray) -> float:
    rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return float(rest @ rest)


def _truths(c: Columns) -> Iterator[Finding]:
    known = [str(one) for one in c.frame.columns if _TRUTH.search(str(one)) and one != c.question.dependent]
    if known:
        yield c.finding(
            "both-potential-outcomes",
            f"columns {', '.join(known)}",
            f"{', '.join(known)}: by their names, outcomes that are not observed.",
        )


def _missing(c: Columns) -> Iterator[Finding]:
    treated = c.frame[c.question.treatment]
    arm = treated.astype("float64") == 1
    known = treated.notna()
    for name in dict.fromkeys((c.question.dependent, *c.question.covariates)):
        lost = c.frame[name].isna()
        table = np.array([[int((lost & a & known).sum()), int((~lost & a & known).sum())] for a in (arm, ~arm)])
        if not table.sum(axis=0).all() or not table.sum(axis=1).all():
            continue
        p = float(stats.fisher_exact(table)[1])
        if p < 0.01:
            shares = table[:, 0] / table.sum(axis=1)
            yield c.finding(
                "missing-by-arm",
                f"column {name}",
                f"{name} is missing for {shares[0]:.1%} of the treated and {shares[1]:.1%} of the others "
                f"(p = {p:.2g}).",
                {"treated": float(shares[0]), "others": float(shares[1]), "p": p},
            )


def _strata(c: Columns) -> Iterator[Finding]:
    for j, name in enumerate(c.data.x_names):
        values = c.data.x[:, j]
        if len(np.unique(values)) <= GROUPS:
            groups = np.unique(values, return_inverse=True)[1]
        else:
            edges = np.quantile(values, np.linspace(0, 1, GROUPS + 1)[1:-1])
            groups = np.searchsorted(edges, values, side="right")
        sizes = np.bincount(groups)
        treated = np.bincount(groups, weights=c.data.t, minlength=len(sizes))
        bare = [g for g in range(len(sizes)) if sizes[g] >= CROWD and treated[g] in (0, sizes[g])]
        if bare:
            share = float(sizes[bare].sum() / c.data.n)
            low, high = values[np.isin(groups, bare)].min(), values[np.isin(groups, bare)].max()
            yield c.finding(
                "strata-without-treated",
                f"column {name}",
                f"{len(bare)} of {len(sizes)} groups of {name} have one arm only: {share:.0%} of the units, "
                f"between {low:.4g} and {high:.4g}.",
                {"share of units": share},
            )


def _copies(c: Columns) -> Iterator[Finding]:
    for one in duplicates(c.frame):
        yield c.finding(
            "duplicate-columns",
            f"columns {one.second} and {one.first}",
            one.sentence,
            {"correlation": one.correlation, "shift": float(one.lag)},
        )


#: Every look at data.
DATA_CHECKS: tuple[Callable[[Columns], Iterator[Finding]], ...] = (
    _copies,
    _truths,
    _missing,
    _balance,
    _scale,
    _fit,
    _penalty,
    _weights,
    _strata,
    _instruments,
)

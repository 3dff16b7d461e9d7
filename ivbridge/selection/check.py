"""The cross-check of a LASSO: several engines, one question, one verdict.

What is compared: the λ path, every coefficient on it, intercepts, shares of deviance, cross-validated losses and their
standard errors, λ.min and λ.1se with their places in the path, and the sets that both select. Verdicts are those of
:mod:`ivbridge.verdicts`. Two more reasons are told apart under **convention**: a near-tie (everything agrees but an
index or a set, and changing the data in their last bits moves it, too), and the stopping rule (an exact solver beside
coordinate descent that stops early; asked to go on, the reference comes to the same numbers).
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivbridge import serial
from ivbridge.errors import UnsupportedError
from ivbridge.gaps import Gap
from ivbridge.handshake import Check
from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.distances import DISCRETE, compare_fits, scales_of, set_differences
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.fragility import NearTie, fragility
from ivbridge.selection.moments import Moments, moments
from ivbridge.selection.noise import allowed_gaps
from ivbridge.selection.records import LassoFit, LassoSeen
from ivbridge.selection.spec import LassoSpec
from ivbridge.selection.stopping import EXACT_ENGINES, stopping_rule
from ivbridge.verdicts import Verdicts

__all__ = ["LassoAgreement", "LassoComparison", "agree_lasso", "crosscheck_lasso"]

#: Below so many digits of a coefficient a first-order bound is no longer a bound, as for IV estimates.
FEW_DIGITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class LassoComparison:
    """Two answers to one LASSO question.

    Attributes
    ----------
    reference, candidate : LassoFit
    handshake : tuple of Check
    gaps : tuple of Gap
        Everything that was compared, one entry a number; of a coefficient the λ where it is furthest apart.
    not_compared : mapping of str to str
        What only one side has, and why.
    verdict, reason : str
    """

    reference: LassoFit
    candidate: LassoFit
    handshake: tuple[Check, ...]
    gaps: tuple[Gap, ...]
    not_compared: Mapping[str, str]
    verdict: str
    reason: str

    @property
    def worst(self) -> Gap | None:
        """The number with the fewest agreeing digits."""
        return min(self.gaps, key=lambda gap: gap.digits, default=None)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LassoAgreement(Verdicts):
    """The verdict on one LASSO question, over all engines.

    Attributes
    ----------
    spec : LassoSpec
    comparisons : tuple of LassoComparison
        One for each engine but the first, the reference.
    fragile : tuple of NearTie
        Near-ties at λ.min and λ.1se that could change a selected set; empty when there is none.
    """

    spec: LassoSpec
    comparisons: tuple[LassoComparison, ...]
    fragile: tuple[NearTie, ...] = ()

    def _compared(self) -> tuple[LassoComparison, ...]:
        return self.comparisons

    @property
    def skipped(self) -> Mapping[str, str]:
        """Penalties that only one engine went on to, by engine; a strict check fails on them."""
        return {f"{what} ({c.candidate.engine})": why for c in self.comparisons for what, why in c.not_compared.items()}

    @property
    def ledger(self) -> pd.DataFrame:
        """What was compared: count, worst digits and failures by engine and quantity."""
        grouped = self.to_frame().groupby(["candidate_engine", "quantity"], sort=False)
        return grouped.agg(
            compared=("ok", "size"), digits=("digits", "min"), failed=("ok", lambda ok: int((~ok).sum()))
        ).reset_index()

    def to_frame(self) -> pd.DataFrame:
        """One row a compared number."""
        rows = [
            {"candidate_engine": c.candidate.engine, **dataclasses.asdict(gap)}
            for c in self.comparisons
            for gap in c.gaps
        ]
        return pd.DataFrame(rows, columns=["candidate_engine", *(field.name for field in dataclasses.fields(Gap))])

    def to_json(self, *, indent: int | None = None) -> str:
        """The verdict as one JSON object: ``verdict digits engines fragile comparisons`` and the question."""
        return serial.dumps(_plain(self), indent=indent)

    def summary(self, *, most: int = 8) -> str:
        """Text: the question, the verdict, the worst numbers where something failed, and what is fragile."""
        lines = self._lines(_question(self.spec), [c.candidate.engine for c in self.comparisons], most)
        lines += [f"  {what}: {why}" for c in self.comparisons for what, why in c.not_compared.items()]
        return "\n".join([*lines, *(f"  fragile: {tie.sentence}" for tie in self.fragile[:most])])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(c.candidate.engine)}</td><td>{c.verdict}</td>"
            f"<td>{c.worst.digits if c.worst else 0:.1f}</td></tr>"
            for c in self.comparisons
        )
        ties = "".join(f"<li>{html.escape(tie.sentence)}</li>" for tie in self.fragile)
        question, reason = html.escape(_question(self.spec)), html.escape(self.reason)
        head = f"<p><code>{question}</code><br><b>{self.verdict}</b>: {reason}</p>"
        table = f"<table><tr><th>engine</th><th>verdict</th><th>digits</th></tr>{rows}</table>"
        return head + table + (f"<ul>{ties}</ul>" if ties else "")


def crosscheck_lasso(spec: LassoSpec, data: pd.DataFrame, engines: Sequence[str] = ("r", "native")) -> LassoAgreement:
    """Let several engines answer one LASSO question and compare everything they say.

    Parameters
    ----------
    spec : LassoSpec
    data : DataFrame, n rows
    engines : sequence of str, default ("r", "native")
        The first one is the reference; ``"sklearn"`` is the third.

    Returns
    -------
    LassoAgreement

    Raises
    ------
    UnsupportedError
        If fewer than two engines, or an unknown one, are named.
    RNotAvailableError, MissingExtraError
        If an engine cannot be used here.
    DataError
        If the data cannot answer the question.
    """
    if len(engines) < 2:
        raise UnsupportedError(f"crosscheck_lasso() got {len(engines)} engine(s).", do="name two engines at least.")
    design = build_lasso(spec, data)
    fits = [lasso_engine(name).cv(design) for name in engines]
    found = moments(design)
    comparisons = tuple(agree_lasso(design, fits[0], candidate, found) for candidate in fits[1:])
    ties = [tie for rule in ("min", "1se") for tie in fragility(design, fits[0], rule, found)]
    return LassoAgreement(spec, comparisons, tuple(ties))


def agree_lasso(
    design: LassoDesign, reference: LassoFit, candidate: LassoFit, found: Moments | None = None
) -> LassoComparison:
    """Compare two answers to the same LASSO question.

    Parameters
    ----------
    design : LassoDesign
        The question's matrices; parts of the fit are computed again from them to know what rounding explains.
    reference, candidate : LassoFit
    found : Moments, optional
        Of the design, if they are at hand.
    """
    checks = _handshake(design, reference, candidate)

    def verdict(name: str, reason: str, gaps: tuple[Gap, ...] = ()) -> LassoComparison:
        only = _only_one_side(reference, candidate)
        return LassoComparison(reference, candidate, checks, gaps, only, name, reason)

    if failed := [check.name for check in checks if not check.ok]:
        return verdict("not comparable", f"the engines did not see the same {', '.join(failed)}")
    found = moments(design) if found is None else found
    allowed = _allowed(design, reference, candidate, found)
    bounds = {quantity: size for quantity, size in allowed.items() if quantity not in DISCRETE}
    gaps = compare_fits(reference, candidate, scales_of(reference, found), bounds)
    worst = min(gaps, key=lambda gap: gap.digits)
    if all(gap.absolute == 0 for gap in gaps):
        return verdict("identical", f"all {len(gaps)} numbers have the same bits", gaps)
    if all(gap.ok for gap in gaps):
        agreed = f"all {len(gaps)} numbers agree to {worst.digits:.1f} digits or more"
        return verdict("rounding", f"{agreed}; rounding explains every gap", gaps)
    if tie := _near_tie(gaps, allowed):
        return verdict("convention", tie, gaps)
    if rule := stopping_rule(design, reference, candidate, found):
        return verdict("convention", f"{rule}{_longer(reference, candidate)}", gaps)
    return verdict("substantive", _unexplained(gaps, allowed) + _longer(reference, candidate), gaps)


def _allowed(design: LassoDesign, reference: LassoFit, candidate: LassoFit, found: Moments) -> dict[str, float]:
    """What rounding explains, by the engine that repeats itself fastest; nothing beside a solver of another kind."""
    if {reference.engine, candidate.engine} & EXACT_ENGINES:
        return {}
    repeats = reference if reference.engine == "native" or candidate.engine == "r" else candidate
    return allowed_gaps(design, repeats.engine, found)


def _near_tie(gaps: tuple[Gap, ...], allowed: Mapping[str, float]) -> str:
    """The reason where only an index or a set differs, and where the data's last bits move it as well; else empty."""
    failing = {gap.quantity for gap in gaps if not gap.ok}
    moved = {quantity for quantity in DISCRETE if allowed.get(quantity, 0.0) > 0}
    follows = {*DISCRETE, "lambda.min", "lambda.1se"} if "index" in moved else set(DISCRETE)
    if not failing <= follows or not failing & moved:
        return ""
    what = ", ".join(set_differences(gaps)) or ", ".join(sorted(failing))
    return f"a near-tie decides {what}: all other numbers agree, and the last bits of the data move it, too"


def _unexplained(gaps: tuple[Gap, ...], allowed: Mapping[str, float]) -> str:
    failing = [gap for gap in gaps if not gap.ok]
    furthest = min(failing, key=lambda gap: gap.digits)
    text = (
        f"{len(failing)} of {len(gaps)} numbers differ by more than rounding explains, "
        f"{furthest.label} most ({furthest.digits:.1f} digits)"
    )
    if sets := set_differences(gaps):
        text += f"; only one side selects {', '.join(sets)}"
    left = -np.log10(allowed.get("coef", 0.0) + 1e-17)
    return text + (f"; near-ties leave the coefficients only {max(left, 0):.0f} digits" if left < FEW_DIGITS else "")


def _only_one_side(reference: LassoFit, candidate: LassoFit) -> dict[str, str]:
    one, two = len(reference.path.lambdas), len(candidate.path.lambdas)
    if one == two:
        return {}
    engine = reference.engine if one > two else candidate.engine
    span = f"lambda {max(one, two)}" if abs(one - two) == 1 else f"lambda {min(one, two) + 1} to {max(one, two)}"
    return {span: f"only on the path of {engine}; the other one stopped before"}


def _longer(reference: LassoFit, candidate: LassoFit) -> str:
    one, two = len(reference.path.lambdas), len(candidate.path.lambdas)
    return "" if one == two else f"; the paths have {one} ({reference.engine}) and {two} ({candidate.engine}) penalties"


def _handshake(design: LassoDesign, a: LassoFit, b: LassoFit) -> tuple[Check, ...]:
    """Did both answer the same question about the same rows, candidates, folds and levels?"""
    own = LassoSeen(design.rows, design.foldid, design.levels)
    one, two = (fit.seen or own for fit in (a, b))
    hashes = [fit.data_sha256[:12] for fit in (a, b)]
    return (
        Check("question", str(a.spec), str(b.spec), a.spec == b.spec == design.spec),
        Check("data", hashes[0], hashes[1], a.data_sha256 == b.data_sha256 == design.sha256),
        Check("rows", str(a.n), str(b.n), a.n == b.n and np.array_equal(one.rows, two.rows)),
        _listed("candidates", a.names, b.names),
        _folds(one, two),
        _listed("levels", one.levels, two.levels),
    )


def _listed(name: str, a: tuple[str, ...], b: tuple[str, ...]) -> Check:
    """Names in order; of unequal ones the first that differs."""
    if a == b:
        return Check(name, str(len(a)), str(len(b)), True)
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    shown = [
        f"{len(names)}, number {at + 1} is {names[at]}" if at < len(names) else str(len(names)) for names in (a, b)
    ]
    return Check(name, shown[0], shown[1], False)


def _folds(a: LassoSeen, b: LassoSeen) -> Check:
    counts = [", ".join(map(str, np.bincount(seen.foldid)[1:])) for seen in (a, b)]
    if len(a.foldid) != len(b.foldid) or np.array_equal(a.foldid, b.foldid):
        same = len(a.foldid) == len(b.foldid)
        return Check("folds", f"sizes {counts[0]}", f"sizes {counts[1]}", same)
    row = int(np.flatnonzero(a.foldid != b.foldid)[0])
    shown = [f"row {row + 1} in fold {seen.foldid[row]}" for seen in (a, b)]
    return Check("folds", shown[0], shown[1], False)


def _question(spec: LassoSpec) -> str:
    return f"{spec.dependent} on {len(spec.candidates)} candidates, rule {spec.rule}"


def _plain(agreement: LassoAgreement) -> Mapping[str, object]:
    return {
        "type": "LassoAgreement",
        "question": repr(agreement.spec),
        "verdict": agreement.verdict,
        "ok": agreement.ok,
        "reason": agreement.reason,
        "digits": agreement.digits,
        "n": agreement.comparisons[0].reference.n if agreement.comparisons else 0,
        "engines": agreement.engines,
        "fragile": [dataclasses.asdict(tie) for tie in agreement.fragile],
        "verdicts": [
            {"engine": c.candidate.engine, "verdict": c.verdict, "reason": c.reason,
             "handshake": [dataclasses.asdict(check) for check in c.handshake], "not_compared": dict(c.not_compared)}
            for c in agreement.comparisons
        ],
        "comparisons": [
            {"engine": c.candidate.engine, **dataclasses.asdict(gap)} for c in agreement.comparisons for gap in c.gaps
        ],
        "provenance": [provenance.as_dict() for provenance in agreement.provenance],
    }  # fmt: skip

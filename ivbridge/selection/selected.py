"""A selection of instruments, and everything that is asked after it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from ivbridge import serial
from ivbridge.agreement import Agreement
from ivbridge.compare import Progress, crosscheck
from ivbridge.method import Method, parse_method
from ivbridge.records import FirstStage
from ivbridge.results import Estimate
from ivbridge.selection.after import caveats, estimate_after, iv_spec
from ivbridge.selection.choose import Choice
from ivbridge.selection.controls import how, why
from ivbridge.selection.question import SelectionSpec
from ivbridge.selection.records import LassoFit
from ivbridge.selection.rules import Rule
from ivbridge.selection.seeds import seed_sentence, seed_table
from ivbridge.selection.steps import Steps
from ivbridge.spec import IVSpec
from ivbridge.vcov import Inference, Vcov
from ivbridge.vcov_text import parse_inference, parse_vcov
from ivbridge.weak_records import ConfidenceSet, EffectiveF
from ivbridge.weakiv import confidence_set, effective_f

__all__ = ["Selection"]

SHOWN = 20


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Instruments chosen by a rule, and the estimate that they lead to.

    Attributes
    ----------
    question : SelectionSpec
    steps : Steps
        Every LASSO behind the choice.
    data : DataFrame
        Complete rows, with the cross-fitted prediction where there is one: what :meth:`spec` speaks of.
    notes : tuple of str
        What was left out, and how controls were used.
    warnings : tuple of str
        What the reader should know before quoting the estimate.
    """

    question: SelectionSpec
    steps: Steps
    data: pd.DataFrame
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    _tables: dict[tuple[int, str, str], pd.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def selected(self) -> tuple[str, ...]:
        """Chosen candidates, in the data's order; for a cross-fitted rule those chosen for any part."""
        return self.steps.selected

    @property
    def controls(self) -> tuple[str, ...]:
        """Controls that enter both equations."""
        return self.steps.controls

    @property
    def rule(self) -> Rule:
        """The rule that chose."""
        return self.question.rule

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.data)

    @property
    def fits(self) -> Mapping[str, LassoFit]:
        """The deciding cross-validated fit of each LASSO step that has one, by purpose."""
        return {name: choice.fits[-1] for name, choice in self.steps.choices.items() if choice.fits}

    @property
    def shares(self) -> pd.Series:
        """For stability selection: share of the fold draws that select each candidate, largest first."""
        choice = self.steps.choices.get("instruments")
        shares = choice.shares if choice else {}
        return pd.Series(dict(shares), dtype=float, name="share").sort_values(ascending=False, kind="stable")

    def spec(
        self, vcov: str | Vcov | None = None, method: str | Method = "2sls", inference: str | Inference = "z"
    ) -> IVSpec:
        """The instrumental-variable question about :attr:`data`.

        Parameters
        ----------
        vcov : str or Vcov, optional
        method : str or Method, default "2sls"
        inference : str or T or Z, default "z"
            As the post's ``summary(fit, df = Inf)``.

        Raises
        ------
        DesignError
            If nothing was selected.
        """
        return replace(
            iv_spec(self.question, self.steps),
            vcov=None if vcov is None else parse_vcov(vcov),
            method=parse_method(method),
            inference=parse_inference(inference),
        )

    def estimate(
        self,
        vcov: str | Vcov = "HC0",
        method: str | Method = "2sls",
        engine: str = "native",
        inference: str | Inference = "z",
    ) -> Estimate:
        """Estimate the effect with the selected instruments (post-LASSO); the caveats are among its notes.

        Parameters
        ----------
        vcov : str or Vcov, default "HC0"
            As R's ``sandwich``, which the post uses.
        method, inference
            As for :meth:`spec`.
        engine : {"native", "r"}

        Raises
        ------
        DesignError
            If nothing was selected, or the model cannot be estimated.
        """
        return estimate_after(self.question, self.spec(vcov, method, inference), self.data, engine)

    def crosscheck(
        self,
        vcovs: Sequence[str | Vcov] = ("HC0",),
        method: str | Method = "2sls",
        engines: Sequence[str] = ("r", "native"),
        inference: str | Inference = "z",
    ) -> Agreement:
        """Let several engines estimate with the selected instruments and compare everything they say.

        Arguments are those of :meth:`estimate` and :func:`ivbridge.crosscheck`.
        """
        return crosscheck(self.spec(None, method, inference), self.data, vcovs, engines)

    def first_stage(self, vcov: str | Vcov = "HC0", engine: str = "native") -> tuple[FirstStage, EffectiveF]:
        """The post-LASSO first stage, and the effective F of Montiel Olea and Pflueger (2013).

        Parameters
        ----------
        vcov : str or Vcov, default "HC0"
            ``"classical"`` gives the F of R's ``lm``, as in the post; Bekker's and a bootstrap raise UnsupportedError.
        engine : {"native", "r"}

        Returns
        -------
        (FirstStage, EffectiveF)
        """
        effective = effective_f(self.spec(), self.data, vcov, engine=engine)
        return self.estimate(vcov, engine=engine, inference="t").first_stages[0], effective

    def confidence_set(self, vcov: str | Vcov = "HC0", level: float = 0.95, engine: str = "native") -> ConfidenceSet:
        """The Anderson–Rubin confidence set of the effect: it allows for weak instruments, not for their selection.

        Cross-fitted it covers what it says, after a selection on the same rows less: chance looks like invalidity.
        """
        return confidence_set(self.spec(), self.data, vcov, level, engine)

    def seeds(
        self, n: int = 30, vcov: str | Vcov = "HC0", method: str | Method = "2sls", progress: Progress | None = None
    ) -> pd.DataFrame:
        """How the answer moves over fold seeds 1 … n: ``seed, number, estimate, std.error, selected``.

        Computed once; :meth:`summary` then says what came out. `progress` is called with (done, total, what).

        Raises
        ------
        UnsupportedError
            If nothing in the question is drawn at random (plug-in penalty, given folds).
        """
        asked = (parse_vcov(vcov), parse_method(method))
        key = (n, str(asked[0]), str(asked[1]))
        if key not in self._tables:
            self._tables[key] = seed_table(self.question, self.data, n, asked, progress)
        return self._tables[key].copy()

    def explain(self) -> str:
        """How controls were used, which other way would choose differently and why; what selection does to tests."""
        q = self.question
        lines = [how(q, self.controls) + "."] if q.controls else ["No controls."]
        if q.controls and q.options.controls_by in ("forced", "residualised"):
            lines.append(why(q, self.data))
        return "\n".join([*lines, *caveats(q)])

    def tidy(self) -> pd.DataFrame:
        """One row a selected candidate: ``term, estimate`` (coefficient of the deciding LASSO, or post-LASSO)."""
        rows = [row for choice in self.steps.choices.values() for row in _coefs(choice, self.selected)]
        return pd.DataFrame(rows, columns=["term", "estimate"])

    def summary(self) -> str:
        """Text: the sets, each LASSO step, notes and warnings, and the movement over seeds once it is computed."""
        q = self.question
        head = f"Instruments for {q.endog} in the equation of {q.dependent}: {_count(self)}, rule {q.rule}"
        lines = [f"{head}, engine {q.options.engine}, n = {self.n}", f"  selected: {_listed(self.selected)}"]
        if q.controls:
            lines.append(f"  controls ({q.options.controls_by}): {_listed(self.controls)}")
        lines += _step_lines(self)
        lines += [*self.notes, *(f"Warning: {warning}" for warning in self.warnings)]
        return "\n".join([*lines, *(seed_sentence(table, self.selected) for table in self._tables.values())])

    def __repr__(self) -> str:
        return f"<Selection {self.question.options.engine} {self.question.endog}: {_count(self)}, rule {self.rule}>"

    def _repr_html_(self) -> str:
        first, *rest = self.summary().split("\n")
        return f"<p><strong>{html.escape(first)}</strong><br>" + "<br>".join(map(html.escape, rest)) + "</p>"

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON of question, sets, coefficients, notes, warnings and seed tables; neither paths nor data."""
        content = {
            "format": serial.FORMAT, "type": "Selection", "question": serial.encode(self.question),
            "rule": str(self.rule), "n": self.n, "selected": list(self.selected), "controls": list(self.controls),
            "steps": {name: list(choice.selected) for name, choice in self.steps.choices.items()},
            "coefs": self.tidy().to_dict("records"), "notes": list(self.notes), "warnings": list(self.warnings),
            "seeds": [serial.encode(table.to_dict("records")) for table in self._tables.values()],
        }  # fmt: skip
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent)


def _count(selection: Selection) -> str:
    return f"{len(selection.selected)} of {len(selection.question.candidates)} candidates"


def _listed(names: tuple[str, ...]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) + more) or "none"


def _step_lines(selection: Selection) -> list[str]:
    """One line a LASSO; those of the selected instruments on controls share one."""
    each = {f"controls for {name}" for name in selection.selected}
    lines = [f"  {name}: {_step(choice)}" for name, choice in selection.steps.choices.items() if name not in each]
    later = [choice for name, choice in selection.steps.choices.items() if name in each]
    if later:
        found = len({name for choice in later for name in choice.selected})
        lines.append(f"  controls for {len(later)} selected instruments: {found} of {len(later[0].names)} columns")
    return lines


def _step(choice: Choice) -> str:
    how = f"λ = {choice.penalty:.6g}" if choice.fits else ""
    if choice.plugin:
        how = f"λ₀ = {choice.plugin.lambda0:.6g}, {choice.plugin.rounds} rounds"
    return f"{len(choice.selected)} of {len(choice.names)} columns for {choice.dependent} ({how})"


def _coefs(choice: Choice, selected: tuple[str, ...]) -> list[tuple[str, float]]:
    inside = set(choice.selected) & set(selected)
    if choice.plugin:
        pairs = zip(choice.plugin.names, choice.plugin.coefs, strict=True)
        return [(name, float(value)) for name, value in pairs if name in inside]
    coefs = choice.fits[-1].coef().iloc[1:]  # a column may be called as the intercept is
    return [(name, float(coefs[name])) for name in choice.selected if name in inside]

"""The report of an encouragement design: what was found, as text, tables, JSON and a page."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ivbridge import serial
from ivbridge.encouragement.choice import Seeds
from ivbridge.encouragement.pooled import Pooled
from ivbridge.encouragement.records import Effect, Experiment, Selected
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.place import write_text
from ivbridge.records import NotApplicable

__all__ = ["Checked", "EncourageReport"]


@dataclass(frozen=True, slots=True)
class Checked:
    """One comparison of R and Python: what, the verdict of :mod:`ivbridge.agreement`, and its reason."""

    what: str
    verdict: str
    reason: str

    @property
    def ok(self) -> bool:
        """Whether the engines agree."""
        return self.verdict in ("identical", "rounding")


@dataclass(frozen=True, slots=True)
class EncourageReport:
    """What :func:`ivbridge.encourage` found.

    Attributes
    ----------
    outcome, behavior : str
    controls : tuple of str
    n : int
        Users whose outcome, behavior and controls are known.
    vcov, engine : str
    binary : bool
        Whether the behavior is 0/1.
    experiments : tuple of Experiment
        Each one by itself, in the order of the data.
    selected : Selected
    pooled : Pooled or NotApplicable
        The chosen experiments together.
    seeds : Seeds or NotApplicable
        The pooled answer over seeds of the folds.
    checks : tuple of Checked
        Empty unless asked for.
    notes : tuple of str
        What was left out.
    sentences : tuple of str
        The findings in words.
    warnings : tuple of str
        What to look at before believing them.
    """

    json_skip: ClassVar[tuple[str, ...]] = ()
    outcome: str
    behavior: str
    controls: tuple[str, ...]
    n: int
    vcov: str
    engine: str
    binary: bool
    experiments: tuple[Experiment, ...]
    selected: Selected
    pooled: Pooled | NotApplicable
    seeds: Seeds | NotApplicable
    checks: tuple[Checked, ...]
    notes: tuple[str, ...]
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]

    def __getitem__(self, name: str) -> Experiment:
        """The experiment of that name.

        Raises
        ------
        DataError
            If there is none.
        """
        for one in self.experiments:
            if one.name == name:
                return one
        raise DataError(f"There is no experiment {name!r}.", available=", ".join(one.name for one in self.experiments))

    def to_frame(self) -> pd.DataFrame:
        """One row an experiment: counts, checks of randomisation, effects."""
        used = self.pooled.experiments if isinstance(self.pooled, Pooled) else ()
        return pd.DataFrame([_row(one, one.name in used) for one in self.experiments])

    def tidy(self) -> pd.DataFrame:
        """One row an estimator of the pooled effect, with broom's column names; empty where nothing was selected."""
        columns = ["term", "estimator", "estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high"]
        if isinstance(self.pooled, NotApplicable):
            return pd.DataFrame(columns=columns)
        found = {"OLS": self.pooled.ols, "2SLS": self.pooled.two_stage, "LIML": self.pooled.liml,
                 "LIML, Bekker": self.pooled.bekker}  # fmt: skip
        return pd.DataFrame([(self.behavior, name, *_numbers(one)) for name, one in found.items()], columns=columns)

    def profile(self) -> pd.DataFrame:
        """One row an experiment and control: mean among compliers and among everyone."""
        columns = ["experiment", "term", "estimate", "std.error", "conf.low", "conf.high", "everyone", "p.value"]
        rows = [
            (one.name, p.control, p.compliers.estimate, p.compliers.std_error, p.compliers.conf_low,
             p.compliers.conf_high, p.everyone, p.compliers.p_value)
            for one in self.experiments
            if not isinstance(one.profile, NotApplicable)
            for p in one.profile
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    @property
    def ok(self) -> bool:
        """Whether R and Python agree wherever they were compared."""
        return all(check.ok for check in self.checks)

    def summary(self) -> str:
        """The findings as plain text of 80 columns."""
        return str(_page().text(self))

    def to_html(self) -> str:
        """One self-contained page."""
        return str(_page().html(self))

    def to_markdown(self) -> str:
        """The page as Markdown."""
        return str(_page().markdown(self))

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that reads back to the same bits."""
        return serial.dumps(self, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> EncourageReport:
        """Read what :meth:`to_json` wrote."""
        report: EncourageReport = serial.loads(cls, text)
        return report

    def write(self, path: str | Path) -> None:
        """Write the report; the ending of the path chooses ``.html``, ``.md`` or ``.json``.

        Raises
        ------
        UnsupportedError
            If no report has such an ending.
        DataError
            If the file cannot be written.
        """
        writers = {".html": self.to_html, ".md": self.to_markdown, ".json": self.to_json}
        writer = writers.get(Path(path).suffix.lower())
        if writer is None:
            raise UnsupportedError(
                f"A report cannot be {Path(path).name}.", available="names ending in .html .md .json"
            )
        write_text(path, writer())

    def _repr_html_(self) -> str:
        words = "".join(f"<p>{line}</p>" for line in _page().escaped(self.sentences))
        return words + self.to_frame().to_html(index=False, float_format="{:.4g}".format)

    def __repr__(self) -> str:
        used = len(self.selected.experiments)
        return (
            f"<EncourageReport {self.outcome} on {self.behavior}: n={self.n}, {used} of {len(self.experiments)} "
            "experiments>"
        )


def _page() -> Any:
    return importlib.import_module("ivbridge.encouragement.page")


def _numbers(one: Effect | NotApplicable) -> tuple[float, ...]:
    if isinstance(one, NotApplicable):
        return (float("nan"),) * 6
    return one.estimate, one.std_error, one.statistic, one.p_value, one.conf_low, one.conf_high


def _row(one: Experiment, selected: bool) -> dict[str, object]:
    wald = _numbers(one.wald)
    low, high = one.anderson_rubin.ends
    shares = None if isinstance(one.shares, NotApplicable) else one.shares
    nan = float("nan")
    return {
        "experiment": one.name,
        "users": one.users,
        "treated": one.treated,
        "outside": one.missing,
        "share.treated": one.share,
        "share.designed": one.designed,
        "p.value.sample_ratio": one.sample_ratio.p_value,
        "p.holm.sample_ratio": one.sample_ratio_holm,
        "p.value.attrition": nan if isinstance(one.attrition, NotApplicable) else one.attrition.p_value,
        "p.holm.attrition": one.attrition_holm,
        "p.value.balance": nan if isinstance(one.balance, NotApplicable) else one.balance.p_value,
        "p.holm.balance": one.balance_holm,
        "control.outcome": one.control_outcome,
        "control.behavior": one.control_behavior,
        "itt": one.itt.estimate,
        "std.error.itt": one.itt.std_error,
        "first_stage": one.first_stage.estimate,
        "std.error.first_stage": one.first_stage.std_error,
        "statistic.weakinst": one.weak.statistic,
        "wald": wald[0],
        "std.error.wald": wald[1],
        "conf.low": wald[4],
        "conf.high": wald[5],
        "conf.low.anderson_rubin": low,
        "conf.high.anderson_rubin": high,
        "compliers": shares.compliers.estimate if shares else nan,
        "std.error.compliers": shares.compliers.std_error if shares else nan,
        "always_takers": shares.always_takers.estimate if shares else nan,
        "never_takers": shares.never_takers.estimate if shares else nan,
        "in.pooled": selected,
    }

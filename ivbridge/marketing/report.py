"""Everything that ``ivbridge marketing`` measured, with the claims that it was to check."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ivbridge import serial
from ivbridge.errors import UnsupportedError
from ivbridge.marketing.records import (
    Confounded,
    Drift,
    Encoded,
    FirstStageRow,
    Gate,
    Ranked,
    Sample,
    Serving,
    Squared,
    Stacked,
    Suspected,
    Weak,
)
from ivbridge.place import write_text

__all__ = ["MarketingReport"]


@dataclass(frozen=True, slots=True)
class MarketingReport:
    """What :func:`ivbridge.marketing.analysis.marketing` found.

    Attributes
    ----------
    seed : int
    quick : bool
    sample : Sample
        One data set, every estimator, both engines.
    confounded : tuple of Confounded
        The recipe, and the recipe with a confounder.
    first_stages : tuple of FirstStageRow
        The forbidden regression and its alternatives, by world and first stage.
    squared : Squared
    drifts : tuple of Drift
    weak : tuple of Weak
    stacked : Stacked
    suspected : tuple of Suspected
    encoded : tuple of Encoded
    ranked : tuple of Ranked
    serving : Serving
    gates : tuple of Gate
        Each claim about these numbers, and whether it holds.
    """

    json_skip: ClassVar[tuple[str, ...]] = ()
    seed: int
    quick: bool
    sample: Sample
    confounded: tuple[Confounded, ...]
    first_stages: tuple[FirstStageRow, ...]
    squared: Squared
    drifts: tuple[Drift, ...]
    weak: tuple[Weak, ...]
    stacked: Stacked
    suspected: tuple[Suspected, ...]
    encoded: tuple[Encoded, ...]
    ranked: tuple[Ranked, ...]
    serving: Serving
    gates: tuple[Gate, ...]

    @property
    def ok(self) -> bool:
        """Whether every claim holds."""
        return all(gate.ok for gate in self.gates)

    def to_frame(self) -> pd.DataFrame:
        """One row an estimate of the sample."""
        rows = [(one.name, one.how, one.estimate, one.std_error) for one in self.sample.rows]
        return pd.DataFrame(rows, columns=["estimator", "engine", "estimate", "std.error"])

    def summary(self) -> str:
        """The claims as plain text, and the estimates of the sample."""
        return str(_page().text(self))

    def to_html(self) -> str:
        """One self-contained page."""
        return str(_page().html(self))

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that reads back to the same bits."""
        return serial.dumps(self, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> MarketingReport:
        """Read what :meth:`to_json` wrote."""
        report: MarketingReport = serial.loads(cls, text)
        return report

    def write(self, path: str | Path) -> None:
        """Write the page (``.html``) or the numbers (``.json``).

        Raises
        ------
        UnsupportedError
            If the path has another ending.
        DataError
            If the file cannot be written.
        """
        kind = Path(path).suffix.lower()
        if kind not in (".html", ".json"):
            raise UnsupportedError(f"A report cannot be {Path(path).name}.", available="names ending in .html .json")
        write_text(path, self.to_html() if kind == ".html" else self.to_json(indent=1) + "\n")

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False, float_format="{:.4g}".format)

    def __repr__(self) -> str:
        return f"<MarketingReport n={self.sample.n}: {sum(gate.ok for gate in self.gates)} of {len(self.gates)} hold>"


def _page() -> Any:
    return importlib.import_module("ivbridge.marketing.page")

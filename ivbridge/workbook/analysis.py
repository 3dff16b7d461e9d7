"""The whole workbook: rows, faults, corrections, agreement with R; as text and as the files behind the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ivbridge import serial
from ivbridge.causal.scenarios import notebook
from ivbridge.place import make_folder, write_text
from ivbridge.progress import Progress
from ivbridge.workbook import agreeing, corrected, in_r, mechanisms, today
from ivbridge.workbook.corrected import Measured
from ivbridge.workbook.faults import Fault, faults
from ivbridge.workbook.rows import VERDICTS, Reasons, Row, rows, to_frame

__all__ = ["Workbook", "workbook"]

#: Data sets whose last bits are moved.
TRIALS, QUICK_TRIALS = 60, 5


@dataclass(frozen=True, slots=True, eq=False)
class Workbook:
    """What became of the notebook.

    Attributes
    ----------
    steps : Steps
        Its own steps with today's libraries.
    rows : tuple of Row
        One for each printed number.
    measured : tuple of Measured
        What each fault does, and what belongs in its place.
    reasons : Reasons
    agreement : DataFrame
        One line for each method, estimand and choice; empty where R was not asked.
    """

    steps: today.Steps
    rows: tuple[Row, ...]
    measured: tuple[Measured, ...]
    reasons: Reasons
    agreement: pd.DataFrame

    @property
    def ok(self) -> bool:
        """Whether every printed number is reproduced or explained, and R agrees with every method that it has."""
        known = all(row.verdict != "unexplained" for row in self.rows)
        return known and "substantive" not in set(self.agreement.get("verdict", ()))

    def of(self, fault: Fault) -> tuple[Measured, ...]:
        """What was measured about a fault."""
        return tuple(one for one in self.measured if one.fault == fault.number)

    def summary(self) -> str:
        """Verdicts, faults with their measurements, and the agreement with R, as text."""
        count = Counter(row.verdict for row in self.rows)
        lines = [f"{len(self.rows)} printed numbers:"]
        lines += [f"  {count[name]:3d} {name}: {meaning}" for name, meaning in VERDICTS.items() if count[name]]
        for fault in faults():
            where = f"cell {', '.join(map(str, fault.cells))}" if fault.cells else "text"
            lines += ["", f"{fault.number}. {fault.title} ({where})", f"   {fault.consequence}"]
            lines += [f"   - {one.text} [{one.how}]" for one in self.of(fault)]
            lines.append(f"   Do this: {fault.fix}")
        if len(self.agreement):
            held = self.agreement[self.agreement["verdict"] != "no reference"]
            worst = held.sort_values("digits").iloc[0]
            where = f"{worst['method']}, {worst['worst']}"
            whole = f"R: {len(held)} comparisons of {held['method'].nunique()} methods"
            lines += ["", f"{whole}, {worst['digits']} digits at worst ({where})"]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Everything as one JSON object."""
        whole = {
            "ok": self.ok, "rows": to_frame(self.rows).to_dict("records"), "measured": self.measured,
            "faults": faults(), "agreement": self.agreement.to_dict("records"),
        }  # fmt: skip
        return serial.dumps(whole)

    def write(self, folder: Path) -> list[Path]:
        """``rows.csv``, ``measured.csv``, ``agreement.csv`` and the figures.

        Raises
        ------
        DataError
            If the folder cannot be made or written to.
        MissingExtraError
            If matplotlib is missing.
        """
        from ivbridge.workbook import figures

        make_folder(folder)
        frames = {"rows": to_frame(self.rows), "measured": _frame(self.measured), "agreement": self.agreement}
        written = []
        for name, frame in frames.items():
            if len(frame):
                written.append(folder / f"{name}.csv")
                write_text(written[-1], frame.to_csv(index=False, float_format="%.13g"))
        return written + figures.draw(self.steps, self.measured, self.reasons, folder)


def _frame(measured: Sequence[Measured]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"fault": one.fault, "what": one.what, "value": one.value, "std.error": one.std_error, "how": one.how}
         for one in measured]
    )  # fmt: skip


def workbook(*, with_r: bool = True, quick: bool = False, seed: int = 1, progress: Progress | None = None) -> Workbook:
    """Run the notebook again, measure its faults, and correct them.

    Parameters
    ----------
    with_r : bool, default True
        Ask R as well, for the notebook's tables and for every method.
    quick : bool, default False
        Move last bits five times instead of sixty.
    seed : int, default 1
        Of the folds and forests of the corrections; the notebook's own seeds stay.
    progress : callable, optional

    Raises
    ------
    MissingExtraError
        If statsmodels, scikit-learn, econml or DoubleML is missing.
    RNotAvailableError
        If R is asked for and cannot be used here.
    """
    steps = today.run(notebook(), progress)
    theirs = in_r.values(steps) if with_r else None
    found = corrected.measure(steps, seed, progress)
    bits = mechanisms.last_bits(steps, QUICK_TRIALS if quick else TRIALS, progress)
    reasons = Reasons(mechanisms.stopped(steps.frame), bits)
    agreed = agreeing.agreements(steps.draw, progress) if with_r else pd.DataFrame()
    return Workbook(steps, rows(steps.numbers, theirs, reasons, corrected.texts(found)), found, reasons, agreed)

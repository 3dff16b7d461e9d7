"""What a report is about: a question, its outcome, and the data if they are known."""

from __future__ import annotations

from dataclasses import dataclass

from ivbridge.agreement import Agreement
from ivbridge.data import Dataset
from ivbridge.errors import IvbridgeError

__all__ = ["COULD_NOT_RUN", "Entry"]

#: Stands beside the verdicts where there is none.
COULD_NOT_RUN = "could not run"


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One question of a report.

    Attributes
    ----------
    outcome : Agreement or IvbridgeError
        The error where the question could not be run.
    name : str
        Empty: the formula serves as the heading.
    data : Dataset or None
        Adds the origin of the data and code that reads them.
    formula : str
        Shown where the question could not be run.
    """

    outcome: Agreement | IvbridgeError
    name: str = ""
    data: Dataset | None = None
    formula: str = ""

    @property
    def verdict(self) -> str:
        """The agreement's verdict, or ``could not run``."""
        return self.outcome.verdict if isinstance(self.outcome, Agreement) else COULD_NOT_RUN

"""R and Python that reproduce a cross-check by hand, ready to paste."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd

from ivbridge.agreement import Agreement
from ivbridge.data import Dataset, datasets
from ivbridge.engines import ENGINES, PEERS
from ivbridge.method import TwoStage
from ivbridge.questions import DEFAULT_ENGINES
from ivbridge.results import Estimate

__all__ = ["python_code", "r_code"]

_FILE = "data.csv"


def _calls(estimates: Iterable[Estimate]) -> list[str]:
    """Every call once, in order."""
    return list(dict.fromkeys(call for estimate in estimates for call in estimate.provenance.calls))


def _sides(agreement: Agreement, engine: str) -> list[Estimate]:
    both = [estimate for c in agreement.comparisons for estimate in (c.reference, c.candidate)]
    found = [estimate for estimate in both if estimate.engine == engine]
    # what R answered once has the same calls
    return found or [e for e in both if engine == "r" and e.engine.startswith("recorded")]


def _reading(data: Dataset | None) -> str:
    """Python that reads the data."""
    if data is None:
        return "# data: a pandas DataFrame with the columns of the formula"
    if data.name in set(datasets()["name"]) and data.citation:
        return f"data = ivbridge.load({data.name!r}).frame"
    return f"data = ivbridge.read({data.source!r}).frame"


def python_code(agreement: Agreement, data: Dataset | None) -> str:
    """Python for the engines that are Python: linearmodels where it has the vcov, ivbridge otherwise; the cross-check.

    Parameters
    ----------
    agreement : Agreement
    data : Dataset or None
        Without it a comment stands where the data are read.
    """
    calls = [call for engine in ("native", "fast") for call in _calls(_sides(agreement, engine))]
    imports = [call for call in calls if call.startswith(("import ", "from "))]
    vcovs = list(dict.fromkeys(comparison.vcov for comparison in agreement.comparisons))
    spec = agreement.spec
    extra = f", weights={spec.weights!r}" if spec.weights else ""
    extra += f", inference={str(spec.inference)!r}" if str(spec.inference) != "t" else ""
    extra += "" if isinstance(spec.method, TwoStage) else f", method={str(spec.method)!r}"
    asked = agreement.engines
    extra += f", engines={asked!r}" if asked != DEFAULT_ENGINES and {*asked} <= {*ENGINES, *PEERS} else ""
    check = f"ivbridge.crosscheck({spec.to_r()!r}, data, {vcovs!r}{extra})"
    return "\n".join(
        [
            *dict.fromkeys(["import ivbridge", "import numpy as np", *imports]),
            "",
            _reading(data),
            *(call for call in calls if call not in imports),
            "",
            f"agreement = {check}",
            "print(agreement.summary())",
        ]
    )


def r_code(agreement: Agreement, data: Dataset | None) -> str:
    """R for the R engine: AER, sandwich and lmtest alone.

    Parameters
    ----------
    agreement : Agreement
    data : Dataset or None
        Its categories keep their level order, which decides the baseline.
    """
    return "\n".join([*_r_reading(agreement, data), "", *_calls(_sides(agreement, "r"))])


def _r_reading(agreement: Agreement, data: Dataset | None) -> list[str]:
    if data is None:
        return ["# data: a data frame with the columns of the formula"]
    columns = list(dict.fromkeys(name for c in agreement.comparisons for name in c.reference.spec.columns))
    lines = [
        f'# write {_FILE} in Python first: {_reading(data)[7:]}.to_csv("{_FILE}", index=False)',
        f'data <- read.csv("{_FILE}", check.names = FALSE)',
    ]
    for name in columns:
        column = data.frame.get(name)
        if column is not None and isinstance(column.dtype, pd.CategoricalDtype):
            ordered = ", ordered = TRUE" if column.dtype.ordered else ""
            levels = ", ".join(json.dumps(str(level), ensure_ascii=False) for level in column.cat.categories)
            cell = f"data[[{json.dumps(name, ensure_ascii=False)}]]"
            lines.append(f"{cell} <- factor({cell}, levels = c({levels}){ordered})")
    return lines

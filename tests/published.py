"""The published results of published.toml, computed: shared by test_published.py and docs/make_gallery.py."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ivbridge
from ivbridge.data import load
from ivbridge.records import Test

ENGINES = ("r", "native")
#: convention of the table → vcov asked of the engine
CONVENTIONS = {"classical": "classical", "classical_n": "classical", "HC0": "HC0", "HC1": "HC1"}
RESULTS: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    Path(__file__).with_name("published.toml").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class Printed:
    """One number in print; ``gives`` differs from ``text`` where the data cannot give the printed string."""

    result: str
    convention: str
    quantity: str
    term: str
    text: str
    gives: str
    why: str = ""


def printed_numbers(result: str) -> Iterator[Printed]:
    """Every printed number of one result, in the order of the table."""
    entry = RESULTS[result]
    for convention in CONVENTIONS:
        for quantity, found in entry.get(convention, {}).items():
            for term, text in found.items() if isinstance(found, dict) else [("", found)]:
                yield Printed(result, convention, quantity, term, text, text)
    for item in entry.get("unreachable", []):
        why = f"{item['why']} See {item['reached_by']}."
        yield Printed(result, item["convention"], item["quantity"], item["term"], item["printed"], item["gives"], why)


def rounds_to(value: float, text: str) -> bool:
    """Whether the exact decimal expansion of ``value``, rounded to the decimals of ``text``, is ``text``."""
    return round_like(value, text) == text


def round_like(value: float, text: str) -> str:
    """``value`` with as many decimals as ``text``, correctly rounded from the exact binary value."""
    decimals = len(text.partition(".")[2])
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    return f"{rounded:f}"


def keep(frame: pd.DataFrame, *, column: str, value: object) -> pd.DataFrame:
    """Only the rows where ``column`` is ``value``."""
    return frame[frame[column] == value].reset_index(drop=True)


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Only the rows without any missing value, R's ``na.omit``."""
    return frame.dropna().reset_index(drop=True)


def indicator(frame: pd.DataFrame, *, column: str, value: object, name: str) -> pd.DataFrame:
    """A new 0/1 column: is ``column`` equal to ``value``?"""
    return frame.assign(**{name: (frame[column] == value).astype(float)})


def change(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """One row a unit: the change of each column (``"log x"``: of its logarithm) between two periods."""
    first, last = (frame[frame[options["period"]] == options[end]].set_index(options["unit"]) for end in ("from", "to"))
    out = {}
    for name, text in options["columns"].items():
        log, _, column = text.rpartition(" ")
        transform: Callable[[pd.Series], pd.Series] = np.log if log == "log" else pd.Series
        out[name] = transform(last[column]) - transform(first[column])
    return pd.DataFrame(out).reset_index(drop=True)


STEPS: Mapping[str, Callable[..., pd.DataFrame]] = {
    "keep": keep, "complete": complete, "indicator": indicator, "change": change,
}  # fmt: skip


@cache
def prepared(result: str) -> pd.DataFrame:
    """The data of a result after its preparation."""
    frame = load(RESULTS[result]["data"]).frame
    for step in RESULTS[result].get("prepare", []):
        options = {key: value for key, value in step.items() if key != "step"}
        frame = STEPS[step["step"]](frame, **options)
    return frame


@cache
def answers(result: str, vcov: str, engine: str) -> Mapping[tuple[str, str], float]:
    """Every number of one engine's answer, by quantity and term; the matrices are let go."""
    fit = ivbridge.fit(RESULTS[result]["formula"], data=prepared(result), vcov=vcov, engine=engine)
    found = {("coefficient", term): value for term, value in fit.params.items()}
    found |= {("std_error", term): value for term, value in fit.bse.items()}
    found |= {("r2", ""): fit.r2, ("r2_adj", ""): fit.r2_adj, ("sigma", ""): fit.sigma}
    for key, test in fit.tests.items():
        if isinstance(test, Test):
            quantity, _, term = key.partition(":")
            found[quantity, term] = test.statistic
    if ("sargan", "") in found:
        found["basmann", ""] = basmann(found["sargan", ""], fit.n, len(fit.seen.z_names))
    found |= {("n", ""): fit.n, ("k", ""): len(fit.terms), ("condition", ""): condition(fit.seen.x, fit.seen.z)}
    return {(str(quantity), str(term)): float(value) for (quantity, term), value in found.items()}


def basmann(sargan: float, n: int, instruments: int) -> float:
    """Basmann's overidentification statistic S (n − l)/(n − S), from Sargan's S and the l instruments."""
    return sargan * (n - instruments) / (n - sargan)


def condition(x: np.ndarray, z: np.ndarray) -> float:
    """The larger condition number of the instruments and of the regressors projected on them, unit-length columns."""
    unit_z = z / np.linalg.norm(z, axis=0)
    basis = np.linalg.qr(unit_z)[0]
    projected = basis @ (basis.T @ x)
    return float(max(np.linalg.cond(unit_z), np.linalg.cond(projected / np.linalg.norm(projected, axis=0))))


def digits_left(kappa: float, n: float) -> float:
    """Digits that normal equations leave of a double: they square κ, and sums of n products add √n units.

    A floor for what R and native share: native refines, and R's decomposition loses as much only where the fit is poor.
    """
    return 53 * math.log10(2) - 2 * math.log10(kappa) - math.log10(n) / 2


def computed(number: Printed, engine: str) -> float:
    """What an engine gives for a printed number, under the convention of the print."""
    found = answers(number.result, CONVENTIONS[number.convention], engine)
    value = found[number.quantity, number.term]
    if number.convention == "classical_n" and number.quantity == "std_error":
        return value * math.sqrt((found["n", ""] - found["k", ""]) / found["n", ""])
    return value


def digits(reference: float, candidate: float) -> float:
    """Agreeing significant digits, −log₁₀ of the relative gap, at most 16."""
    gap = abs(candidate - reference) / abs(reference) if reference else abs(candidate)
    return 16.0 if gap < 1e-16 else -math.log10(gap)

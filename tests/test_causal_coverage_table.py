"""The stored coverage of the causal methods: whole, and every verdict follows from its numbers.

``ivbridge study causal --draws 400 --out DIR`` made it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ivbridge.causal.coverage import Coverage, band, coverage, judged
from ivbridge.causal.coverage_cases import CASES, chosen
from ivbridge.causal.scenarios import TWINS

STORED = Path(__file__).parents[1] / "docs" / "notebook" / "coverage.csv"


def table() -> pd.DataFrame:
    return pd.read_csv(STORED, keep_default_na=False)


def test_the_stored_table_is_the_plan_s() -> None:
    stored, planned = table(), [(case.name, world, why) for case in CASES for world, why in case.worlds.items()]
    assert list(zip(stored["case"], stored["world"], stored["why"], strict=True)) == planned
    assert (stored["draws"] >= 300).all()


def test_every_stored_verdict_follows_from_its_numbers() -> None:
    for _, row in table().iterrows():
        count = row["draws"] - row["without"]
        assert (row["low"], row["high"]) == pytest.approx(band(count), rel=1e-5)  # six digits are stored
        assert row["verdict"] == judged(round(row["coverage"] * count) / count, count, row["why"])


def test_nothing_fails_and_every_reason_is_needed() -> None:
    """A reason beside a row that lies in the band would be an excuse, but for a bias that is seen in the mean."""
    found = Coverage(table())
    assert found.failed.empty
    for _, row in found.table.iterrows():
        shifted = abs(row["bias"]) > 4.5 * row["sd"] / np.sqrt(row["draws"] - row["without"])
        needed = row["verdict"] == "explained" or shifted
        assert needed == bool(row["why"]), (row["case"], row["world"], row["coverage"], row["bias"])


def test_a_reason_shows_in_the_numbers() -> None:
    """Beside "biased" and "another mean" a bias of more than 4.5 of its standard errors; beside "too narrow" and "too
    wide" none, and errors that are a tenth off the estimates' spread, whose own error is 4 % with 400 draws.
    """
    for _, row in table()[lambda rows: rows["why"] != ""].iterrows():
        kind, place = row["why"].partition(":")[0], (row["case"], row["world"])
        shifted = abs(row["bias"]) > 4.5 * row["sd"] / np.sqrt(row["draws"] - row["without"])
        ratio = row["error"] / row["sd"]
        shows = {"biased": shifted, "another mean": shifted, "too narrow": ratio < 0.9, "too wide": ratio > 1.1}
        assert shows[kind], place
        assert shifted == (kind in {"biased", "another mean"}), place


def test_what_is_said_to_be_unbiased_is() -> None:
    """The mean of m estimates has the standard error sd/√m; 4.5 of them over some fifty rows is one in 3000."""
    rows = table()[lambda rows: rows["why"] == ""]
    bias = rows["bias"].abs() / (rows["sd"] / np.sqrt(rows["draws"] - rows["without"]))
    assert bias.max() < 4.5


def test_what_partially_linear_models_miss_is_the_weighted_mean() -> None:
    """The reason beside plr in "different", as a number: units count by m(1 - m) of a million others, and the bias of
    400 draws lies within 4.5 of its standard errors of that.
    """
    whole = TWINS["different"].draw(1_000_000, 77)
    chance = whole.propensity
    expected = float(np.average(whole.effects, weights=chance * (1 - chance))) - whole.truth
    row = table().set_index(["case", "world"]).loc["plr", "different"]
    error = row["sd"] / np.sqrt(row["draws"])
    assert abs(row["bias"] - expected) < 4.5 * error < expected / 3


@pytest.mark.slow
def test_a_few_draws_are_those_of_the_table() -> None:
    """Thirty draws of the quick cases: a mean further than 4.5 standard errors from the table's is another method's."""
    quick = [case for case in chosen(["ipw", "aipw", "two_stage", "irm", "pliv", "iivm"]) if not case.slow]
    found = coverage(30, None, 2, quick)
    kept = table().set_index(["case", "world"])
    for _, row in found.table.iterrows():
        stored = kept.loc[(row["case"], row["world"])]
        assert abs(row["bias"] - stored["bias"]) < 4.5 * stored["sd"] / np.sqrt(30), (row["case"], row["world"])
        loose = 0.35 if row["world"] == "poor-overlap" else 0.15  # thirty errors whose own spread is half and a fifth
        assert row["error"] == pytest.approx(stored["error"], rel=loose)
        assert row["truth"] == pytest.approx(stored["truth"], rel=1e-5)

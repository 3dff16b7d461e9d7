"""Charts: what they say is in them, and the same numbers make the same file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from ivbridge import charts, post_charts
from ivbridge.charts import Bar, Range, SeedPoint
from ivbridge.errors import MissingExtraError
from ivbridge.post import FoldSeed, PostBar, PostResult

BARS = [Bar("good", "R", 2.0439, 1.9641, 2.1239), Bar("good", "native", 2.0439, 1.9641, 2.1239)]


def words(path: Path) -> list[str]:
    """Every text of an SVG, in order."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))
    return [text.strip() for text in found]


def test_a_bar_carries_its_engine_its_value_and_the_truth(tmp_path: Path) -> None:
    vector, raster = charts.save(charts.bars(BARS, 2.0, "A title", "R 4.2.2"), tmp_path / "deep" / "chart")
    said = words(vector)
    assert said.count("2.044") == 2
    assert {"R", "native", "good", "A title", "R 4.2.2", charts.EFFECT, "effect 2"} <= set(said)
    assert raster.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_same_numbers_make_the_same_file(tmp_path: Path) -> None:
    one, two = (charts.save(charts.bars(BARS, 2.0, "t", "c"), tmp_path / name)[0].read_bytes() for name in "ab")
    assert one == two
    other = [Bar("good", "R", 2.0449, 1.9641, 2.1239), BARS[1]]
    assert charts.save(charts.bars(other, 2.0, "t", "c"), tmp_path / "c")[0].read_bytes() != one


def test_fold_seeds_say_how_many_and_which_is_the_posts(tmp_path: Path) -> None:
    points = [SeedPoint(5, 2, 1.981, 1.87, 2.09), SeedPoint(10, 21, 2.054, 1.95, 2.16)]
    said = words(charts.save(charts.seed_points(points, 2.0, 5, "t", "c"), tmp_path / "seeds")[0])
    assert {"2", "21", "5", "10", "1.981"} <= set(said)
    assert "2.054" not in said


def test_ranges_stand_in_the_given_order_with_their_text(tmp_path: Path) -> None:
    given = [Range("OLS", 2.8, 2.85, 2.9, "coverage 0.00"), Range("oracle", 1.9, 2.0, 2.1, "coverage 0.95")]
    said = words(charts.save(charts.ranges(given, 2.0, "t", "c"), tmp_path / "ranges")[0])
    assert said.index("OLS") < said.index("oracle")
    assert {"coverage 0.00", "coverage 0.95", "true effect 2"} <= set(said)


def test_without_matplotlib_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ivbridge\[plots\]'"):
        charts.bars(BARS, 2.0, "t", "c")


def result() -> PostResult:
    """A small result with invented numbers."""
    quantities = {"estimate": 2.5, "conf.low": 2.4, "conf.high": 2.6}
    bars = tuple(
        PostBar(simulation, label, engine, quantities)
        for simulation, label in (("A", "OLS"), ("A", "weak"), ("B", "all instruments"), ("B", "LASSO"))
        for engine in ("r", "native")
    )
    seeds = (FoldSeed(1, 5, 1.98, 1.9, 2.1), FoldSeed(2, 5, 1.98, 1.9, 2.1), FoldSeed(3, 9, 2.1, 2.0, 2.2))
    versions = {"r": {"R": "4.9", "AER": "9.8"}, "native": {"linearmodels": "7.7", "numpy": "1"}}
    today = {"selected": 20.0, "estimate": 2.2, "Sargan p": 1e-12}
    return PostResult(("r", "native"), bars, (), {}, seeds, today, {}, versions)


def test_the_posts_charts_are_two_bar_charts_and_the_seeds(tmp_path: Path) -> None:
    paths = post_charts.draw_post(result(), tmp_path)
    assert [path.name for path in paths] == [
        "post-a.svg", "post-a.png", "post-b.svg", "post-b.png", "post-seeds.svg", "post-seeds.png",
    ]  # fmt: skip
    a, b, seeds = (words(path) for path in paths[::2])
    assert "weak instrument" in a and "selected by" in b
    assert "weak instrument" not in b
    assert "R: R 4.9, AER 9.8; native: linearmodels 7.7." in a
    assert {"2", "1"} <= set(seeds)  # two seeds gave one set, one seed another


def test_the_study_chart_leaves_out_what_has_no_estimate(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "scenario": "w", "method": ["one"] * 3 + ["set"] * 3, "seed": [1, 2, 3] * 2, "truth": 2.0,
            "estimate": [1.9, 2.0, 2.1] + [float("nan")] * 3, "covers": [True, True, False] * 2,
            "selected": pd.array([4, 4, 4, 1, 1, 1], dtype="Int64"),
        }
    )  # fmt: skip
    said = words(post_charts.draw_study(table, tmp_path, "draws")[0])
    assert "one" in said and "coverage 0.67, 4 instruments" in said
    assert "set" not in said
    assert "3 draws: where the estimates fall" in said

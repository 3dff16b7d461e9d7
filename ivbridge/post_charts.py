"""The post's charts, drawn again from a :class:`~ivbridge.post.PostResult` and a Monte Carlo study."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from ivbridge import charts, study
from ivbridge.post import TRUTH, PostResult

__all__ = ["draw_post", "draw_study"]

#: What stands under each bar, in the post's order.
_UNDER = {
    "OLS": "OLS", "good": "good instrument", "weak": "weak instrument", "invalid": "invalid instrument",
    "all instruments": "all 500 A/B tests\nas instruments", "LASSO": "selected by\nthe LASSO",
}  # fmt: skip
_TITLES = {"A": "One instrument: good, weak or invalid", "B": "Five hundred A/B tests as instruments"}
_ENGINES = {"r": "R", "native": "native"}
_PACKAGES = {"r": ("R", "AER", "glmnet"), "native": ("linearmodels", "glmstar")}


def draw_post(result: PostResult, folder: Path) -> tuple[Path, ...]:
    """Both bar charts and the fold seeds, each as SVG and PNG.

    Parameters
    ----------
    result : PostResult
    folder : Path
        Made if it is missing; gets post-a, post-b and post-seeds.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    paths: list[Path] = []
    for simulation, title in _TITLES.items():
        caption = f"Simulation {simulation} of the post, set.seed(1), n = 1000; 95 % intervals.\n{_made_by(result)}"
        figure = charts.bars(_bars(result, simulation), TRUTH, title, caption)
        paths += charts.save(figure, folder / f"post-{simulation.lower()}")
    caption = (
        f"Simulation B of the post, LASSO 1se and two-stage least squares, fold seeds 1 to {len(result.seeds)}; "
        f"95 % intervals.\n{_made_by(result, 'native')}"
    )
    title = "The same data with other folds"
    figure = charts.seed_points(_points(result), TRUTH, 5, title, caption)
    return *paths, *charts.save(figure, folder / "post-seeds")


def draw_study(table: pd.DataFrame, folder: Path, name: str) -> tuple[Path, ...]:
    """Median and 5 % to 95 % range of every method of one scenario, with coverage, as SVG and PNG.

    Parameters
    ----------
    table : DataFrame
        From :func:`ivbridge.study.run`, of one scenario.
    folder : Path
    name : str
        Name of the files, without suffix.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    given = []
    for row in study.summary(table).to_dict("records"):
        estimates = table.loc[table["method"] == row["method"], "estimate"].dropna()
        if estimates.empty:
            continue
        low, median, high = estimates.quantile([0.05, 0.5, 0.95])
        text = f"coverage {row['coverage']:.2f}"
        if not math.isnan(row["selected"]):
            text += f", {row['selected']:.0f} instrument{'' if row['selected'] == 1 else 's'}"
        given.append(charts.Range(str(row["method"]), low, median, high, text))
    title = f"{table['seed'].nunique()} draws: where the estimates fall"
    caption = "Native engine. Beside each range: coverage of nominal 95 % intervals, median number of instruments."
    figure = charts.ranges(given, TRUTH, title, caption)
    return charts.save(figure, folder / name)


def _bars(result: PostResult, simulation: str) -> list[charts.Bar]:
    return [
        charts.Bar(
            _UNDER[bar.label], _ENGINES[bar.engine], bar.quantities["estimate"], bar.quantities["conf.low"],
            bar.quantities["conf.high"],
        )
        for bar in result.bars
        if bar.simulation == simulation
    ]  # fmt: skip


def _points(result: PostResult) -> list[charts.SeedPoint]:
    """Seeds that chose the same instruments are one point: the same set gives the same estimate."""
    table = result.fold_seeds()
    keys = ["selected", "estimate", "conf.low", "conf.high"]
    groups = table.groupby([table["selected"], table["estimate"].round(9)])
    return [
        charts.SeedPoint(int(part["selected"].iloc[0]), len(part), *(float(part[key].iloc[0]) for key in keys[1:]))
        for _, part in groups
    ]


def _made_by(result: PostResult, *only: str) -> str:
    sides = []
    for engine in only or result.engines:
        versions = result.versions.get(engine, {})
        found = [f"{name} {versions[name]}" for name in _PACKAGES[engine] if name in versions]
        sides.append(f"{_ENGINES[engine]}: {', '.join(found)}" if found else _ENGINES[engine])
    return "; ".join(sides) + "."

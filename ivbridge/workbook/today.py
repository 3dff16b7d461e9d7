"""The notebook's steps with today's libraries, in its order and with its seeds: what its readers get now."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ivbridge.causal.scenarios import COVARIATES, CausalDraw
from ivbridge.errors import MissingExtraError
from ivbridge.progress import Progress
from ivbridge.workbook.printed import numbers_of
from ivbridge.workbook.summaries import regression

__all__ = ["Steps", "double", "imagined", "matched_difference", "run"]

Table = dict[str, dict[str, float]]


class Steps:
    """What later steps take from earlier ones, and R as well.

    Attributes
    ----------
    draw : CausalDraw
    frame : DataFrame (n rows)
        The data with the notebook's later columns.
    numbers : dict
        Values by table, row and column.
    """

    def __init__(self, draw: CausalDraw) -> None:
        self.draw = draw
        self.frame = draw.frame.assign(Y_0=draw.y0, Y_1=draw.y1)
        self.numbers: dict[str, Table] = {}


def run(draw: CausalDraw, progress: Progress | None = None) -> Steps:
    """Do everything that the notebook does.

    Raises
    ------
    MissingExtraError
        If statsmodels, scikit-learn or econml is missing.
    """
    steps = Steps(draw)
    parts = (_described, _adjusted, _matched, _two_stages, double, _forest, _doubted, imagined)
    for done, part in enumerate(parts):
        if progress:
            progress(done, len(parts), part.__name__.strip("_"))
        part(steps)
    return steps


def _rows(frame: pd.DataFrame, columns: list[str]) -> Table:
    return {str(name): {c: float(row[c]) for c in columns} for name, row in frame[columns].iterrows()}


def _difference(frame: pd.DataFrame, column: str, by: str = "T") -> float:
    means = frame.groupby(by)[column].mean()
    return float(means[1] - means[0])


def _described(steps: Steps) -> None:
    f, numbers = steps.frame, steps.numbers
    numbers["head"] = _rows(f.head(), [*COVARIATES, "T", "Y_obs", "Y_0", "Y_1"])
    numbers["naive"] = numbers_of(
        {"naive difference": _difference(f, "Y_obs"), "true effect": float((f["Y_1"] - f["Y_0"]).mean())}
    )
    numbers["means"] = _rows(f.groupby("T")[list(COVARIATES)].mean(), list(COVARIATES))
    numbers["baseline"] = numbers_of({"baseline difference": _difference(f, "Y_0")})
    for name, above in (("by-income", f["income"] > 70000), ("by-engagement", f["prior_engagement"] > 0.5)):
        numbers[name] = {str(int(key)): {"diff": _difference(part, "Y_obs")} for key, part in f.groupby(above)}
    effects = f["Y_1"] - f["Y_0"]
    engaged = effects[f["prior_engagement"] > 0.5]
    numbers["ate"] = numbers_of({"ATE": effects.mean(), "CATE, engagement above 0.5": engaged.mean()})
    numbers["ite"] = _rows(f.assign(ITE_true=effects).head(), [*COVARIATES, "ITE_true"])


def _regressed(steps: Steps, name: str, dependent: pd.Series, regressors: pd.DataFrame, term: str) -> None:
    whole, rows = regression(dependent, regressors)
    steps.numbers[f"{name}-fit"] = numbers_of(whole)
    steps.numbers[name] = rows
    steps.numbers[f"{name}-effect"] = numbers_of({"effect": rows[term]["coef"]})


def _adjusted(steps: Steps) -> None:
    _regressed(steps, "ols", steps.frame["Y_obs"], steps.frame[["T", *COVARIATES]], "T")


def _matched(steps: Steps) -> None:
    import warnings

    from sklearn.linear_model import LogisticRegression

    f = steps.frame
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge is what this page is about
        model = LogisticRegression().fit(f[list(COVARIATES)], f["T"])
    score = model.predict_proba(f[list(COVARIATES)])[:, 1]
    steps.numbers["psm"] = numbers_of({"effect": matched_difference(score, f)})


def matched_difference(score: np.ndarray, frame: pd.DataFrame) -> float:
    """Mean of treated minus nearest untreated, by the score, with replacement."""
    from sklearn.neighbors import NearestNeighbors

    treated = frame["T"].to_numpy() == 1
    y = frame["Y_obs"].to_numpy()
    nearest = NearestNeighbors(n_neighbors=1).fit(score[~treated, None])
    found = nearest.kneighbors(score[treated, None], return_distance=False).ravel()
    return float((y[treated] - y[~treated][found]).mean())


def _two_stages(steps: Steps) -> None:
    from ivbridge.workbook.summaries import statsmodels

    sm, f = statsmodels(), steps.frame
    first = sm.add_constant(f[["Z", *COVARIATES]])
    f["T_hat"] = sm.OLS(f["T_iv"], first).fit().predict(first)
    _regressed(steps, "iv", f["Y_obs"], f[["T_hat", *COVARIATES]], "T_hat")


def _residuals(frame: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """``y_hat``, ``residual_Y``, ``residual_T``: forests of the global stream, of 70 % of the units, for all units."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import train_test_split

    n, x = len(frame), frame[list(COVARIATES)]
    before = np.random.get_state()  # noqa: NPY002 - the forests draw from numpy's global generator, as the notebook's do
    try:
        np.random.seed(seed)  # noqa: NPY002
        np.random.binomial(1, 0.5, size=n)  # noqa: NPY002 - drawn before the forests
        np.random.normal(0, 0.1, n)  # noqa: NPY002
        learn, _, y, _ = train_test_split(x, frame["Y_obs"], test_size=0.3, random_state=42)
        t, _ = train_test_split(frame["T"], test_size=0.3, random_state=42)
        y_hat = RandomForestRegressor().fit(learn, y).predict(x)
        t_hat = RandomForestRegressor().fit(learn, t).predict(x)
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return pd.DataFrame(
        {"y_hat": y_hat, "residual_Y": frame["Y_obs"] - y_hat, "residual_T": frame["T"] - t_hat}, index=frame.index
    )


def double(steps: Steps) -> None:
    """Residuals of two forests, and one on the other."""
    found = _residuals(steps.frame)
    steps.frame[list(found.columns)] = found
    _regressed(steps, "dml", found["residual_Y"], found[["residual_T"]], "residual_T")


def _forest(steps: Steps) -> None:
    f = steps.frame
    forest: Any = _econml_forest()(n_estimators=100, random_state=42)
    forest.fit(f[list(COVARIATES)].to_numpy(), f["T"].to_numpy(), f["Y_obs"].to_numpy())
    f["CATE_predicted"] = forest.predict(f[list(COVARIATES)].to_numpy())
    columns = [*COVARIATES, "CATE_predicted"]
    steps.numbers["forest"] = _rows(f.head(), columns)
    best = f.sort_values("CATE_predicted", ascending=False).head()
    best = best.assign(unit=best.index).reset_index(drop=True)
    best.index += 1
    steps.numbers["top"] = _rows(best, ["unit", *columns])


def _econml_forest() -> Any:
    try:
        from econml.grf import CausalForest
    except ImportError as error:
        raise MissingExtraError(
            f"The notebook's forest needs econml: {error}.", do='pip install "ivbridge[econml]"'
        ) from error
    return CausalForest


def _doubted(steps: Steps) -> None:
    f = steps.frame
    steps.numbers["placebo"] = numbers_of({"difference": _difference(f, "Y_obs", "placebo_T")})
    biased = _difference(f.assign(Y_biased=f["Y_obs"] + 2 * f["hidden_confounder"]), "Y_biased")
    steps.numbers["hidden"] = numbers_of({"difference": biased, "inflation": biased - _difference(f, "Y_obs")})


def imagined(steps: Steps) -> None:
    """Counterfactuals: the forest's mean, and its mean plus the predicted effect."""
    f = steps.frame
    f["counterfactual_outcome"] = np.where(f["T"] == 1, f["y_hat"], f["y_hat"] + f["CATE_predicted"])
    steps.numbers["counterfactual"] = _rows(f.head(), ["T", "Y_obs", "counterfactual_outcome"])

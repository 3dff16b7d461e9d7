"""The build on one data set: five ways to estimate, three of them by 2SLS in torch, R and Python."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ivbridge.api import fit
from ivbridge.compare import crosscheck
from ivbridge.errors import RNotAvailableError
from ivbridge.marketing.checks import residuals
from ivbridge.marketing.first_stage import Fitted, Trained
from ivbridge.marketing.forbidden import crossed_values
from ivbridge.marketing.records import Estimated, Sample, Scatter
from ivbridge.marketing.torch_linear import TorchTwoStage, two_stage
from ivbridge.marketing.worlds import COVARIATES, CampaignDraw
from ivbridge.records import FloatArray, NotApplicable, Test
from ivbridge.results import Estimate

__all__ = ["ENGINES", "FORMULA", "MLP", "PLUGGED", "estimated"]

_X = " + ".join(COVARIATES)
#: The question, as R writes it.
FORMULA = f"conversions ~ {_X} + exposure | {_X} + email"
#: The recipe's first stage.
MLP = Trained("two-layer MLP")
PLUGGED = "MLP plugged in (forbidden)"
_SHOWN = 400
#: What the engines are called on the page.
ENGINES = {"r": "R (AER)", "native": "Python (linearmodels)"}


def estimated(draw: CampaignDraw) -> tuple[Sample, Fitted]:
    """Every estimate from one data set, and the network of the first stage.

    R and Python are asked the same question and compared; where R cannot be used the sample says so.
    """
    frame = draw.frame
    by_torch = two_stage(draw.conversions, draw.exposure, draw.email, draw.x, (*COVARIATES, "exposure"))
    answers, verdict, reason, absent = _engines(frame)
    network = MLP.fit([draw])[0]
    values = network(draw.email, draw.x)
    plugged = _least_squares(frame.assign(fitted=values), "fitted")
    crossed = frame.assign(fitted=crossed_values(MLP, [draw])[0])
    instrument = fit(f"conversions ~ {_X} + exposure | {_X} + fitted", crossed, "HC1")
    rows = [
        _row("least squares", "no instrument", _least_squares(frame, "exposure"), "exposure"),
        _row(PLUGGED, "second stage by hand", plugged, "fitted"),
        _row("MLP as the instrument", "cross-fitted, 2SLS, HC1", instrument, "exposure"),
        Estimated("2SLS", "torch", float(by_torch.coef[-1]), float(by_torch.std_error[-1])),
        *(_row("2SLS", ENGINES[name], one, "exposure") for name, one in answers.items()),
    ]
    native = answers["native"]
    found = Sample(
        n=len(frame), rows=tuple(rows), digits={name: _digits(by_torch, one) for name, one in answers.items()},
        verdict=verdict, reason=reason, f=_f(native), f_hc1=_f(fit(FORMULA, frame, "HC1")),
        scatters=_scatters(draw, by_torch, values), absent=absent,
    )  # fmt: skip
    return found, network


def _engines(frame: pd.DataFrame) -> tuple[dict[str, Estimate], str, str, tuple[NotApplicable, ...]]:
    try:
        both = crosscheck(FORMULA, frame, ["classical"], engines=("r", "native"))
    except RNotAvailableError as error:
        return {"native": fit(FORMULA, frame, "classical")}, "", "", (NotApplicable("R", error.message),)
    one = both.comparisons[0]
    return {"r": one.reference, "native": one.candidate}, both.verdict, both.reason, ()


def _least_squares(frame: pd.DataFrame, regressor: str) -> Estimate:
    return fit(f"conversions ~ {_X} + {regressor}", frame, "classical")


def _row(name: str, how: str, found: Estimate, term: str) -> Estimated:
    return Estimated(name, how, float(found.params[term]), float(found.bse[term]))


def _f(found: Estimate) -> float:
    test = found.tests["weak_instruments:exposure"]
    return test.statistic if isinstance(test, Test) else math.nan


def _digits(ours: TorchTwoStage, theirs: Estimate) -> float:
    """Agreeing digits over all coefficients and standard errors; the worst."""
    wanted = np.array([[theirs.params[name], theirs.bse[name]] for name in ours.names]).T
    relative = np.abs(np.stack([ours.coef, ours.std_error]) - wanted) / np.abs(wanted)
    return float(-np.log10(max(relative.max(), 1e-16)))


def _scatters(draw: CampaignDraw, right: TorchTwoStage, values: FloatArray) -> tuple[Scatter, ...]:
    """Residuals of 2SLS against exposure, and what each first stage leaves against what it fitted; all given x."""
    pairs = {
        "2SLS residual against exposure": (draw.exposure, right.residuals),
        "linear first stage: d − d̂ against d̂": (right.fitted, draw.exposure - right.fitted),
        "MLP first stage: d − d̂ against d̂": (values, draw.exposure - values),
    }
    controls = np.column_stack([np.ones(len(draw.x)), draw.x])
    found = []
    for title, pair in pairs.items():
        across, up = residuals(np.stack(pair), np.stack([controls] * 2))
        slope = float(across @ up) / float(across @ across)
        found.append(Scatter(title, across[:_SHOWN], up[:_SHOWN], slope))
    return tuple(found)

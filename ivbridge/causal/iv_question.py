"""A causal question with instruments as a question to ivbridge's engines."""

from __future__ import annotations

import pandas as pd

from ivbridge.causal.question import CausalData, CausalQuestion
from ivbridge.expr import quote_name
from ivbridge.spec import IVSpec
from ivbridge.vcov import Clustered
from ivbridge.vcov_text import parse_vcov

__all__ = ["numeric_frame", "spec_of"]


def spec_of(question: CausalQuestion, vcov: str = "HC1") -> IVSpec:
    """Y on the treatment and the covariates, the treatment instrumented, as an :class:`~ivbridge.spec.IVSpec`.

    Parameters
    ----------
    question : CausalQuestion
        Without instruments it becomes least squares.
    vcov : str, default "HC1"
        A question with clusters has Stata's ``vce(cluster …) small`` instead.
    """
    covariates, instruments = (tuple(map(quote_name, names)) for names in (question.covariates, question.instruments))
    treatment = (quote_name(question.treatment),)
    asked = parse_vcov(vcov) if question.clusters is None else Clustered((question.clusters,), "HC1")
    exog, endog = (covariates, treatment) if instruments else ((*covariates, *treatment), ())
    return IVSpec(quote_name(question.dependent), exog, endog, instruments, vcov=asked)


def numeric_frame(data: CausalData) -> pd.DataFrame:
    """The kept rows, with True and False as numbers, which engines would take for levels."""
    truth = {name: float for name in data.frame.columns if pd.api.types.is_bool_dtype(data.frame[name])}
    return data.frame.astype(truth)

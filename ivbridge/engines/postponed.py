"""Estimates of the fast engine: what has n rows or needs another pass is computed when it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd

from ivbridge.blocks.answer import Answer
from ivbridge.engines.fast import FastEngine
from ivbridge.frame import fingerprint
from ivbridge.later import later
from ivbridge.records import Digits, Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread

__all__ = ["alone", "answered"]

V = TypeVar("V")


def alone(make: Callable[[], V]) -> V:
    """A :func:`~ivbridge.later.later` value that is computed with one thread of linear algebra."""

    def made() -> V:
        with one_thread():
            return make()

    return later(made)


def answered(
    answer: Answer, spec: IVSpec, seen: Seen, frame: Callable[[], pd.DataFrame], notes: tuple[str, ...] = ()
) -> Estimate:
    """The estimate of a solved question.

    Parameters
    ----------
    answer : Answer
    spec : IVSpec
    seen : Seen
    frame : callable
        Gives the columns of the question as :func:`ivbridge.design.frame_of` does, for the fingerprint.
    notes : tuple of str, optional

    Raises
    ------
    DataError
        If HC2 to HC5 meet a leverage of one in an auxiliary regression; that is not postponed.
    """
    answer.check()
    found, engine = answer.solved, FastEngine()
    return Estimate(
        spec=spec, engine=engine.name, coefs=answer.coefs, cov=found.cov, residuals=alone(lambda: answer.residuals),
        fitted=alone(lambda: np.asarray(seen.y - answer.residuals)), n=found.n, df_resid=found.df_resid,
        sigma=found.sigma, r2=found.r2, r2_adj=found.r2_adj, tests=alone(lambda: answer.tests),
        first_stages=alone(lambda: answer.first_stages), seen=seen, data_sha256=later(lambda: fingerprint(frame())),
        provenance=later(lambda: engine.provenance(spec)), notes=notes, kappa=found.kappa,
        digits=alone(lambda: Digits(found.digits.coef, found.digits.std_error)),
    )  # fmt: skip

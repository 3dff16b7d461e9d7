"""Many candidates for an instrument, of which some are invalid: the mode of what they say one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import pandas as pd

from ivbridge.errors import DataError
from ivbridge.iv_ml import method_class
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.predictors.modal import Modal
from ivbridge.progress import Progress

__all__ = ["ModeEnsemble"]


@final
@dataclass(frozen=True, kw_only=True)
class ModeEnsemble(IVRegression):
    """ModeIV: each column of Z alone is the instrument of one curve, and the mode of the curves predicts.

    Curves from valid candidates estimate the same function and lie together; those from invalid ones are wrong in ways
    of their own. At each (t, x) the prediction is the mean of the candidates' predictions in the tightest window over
    a share of them (Hartford et al. 2021). It is consistent if the window holds no more candidates than
    are valid, and no other wrong answer has as many.

    Parameters
    ----------
    method : str or IVRegression, default "poly2sls"
        Learns from each candidate: a name in :data:`ivbridge.iv_ml.METHODS`, with its defaults, or a method. Its
        ``standardize`` is not looked at; the ensemble's is.
    valid_share : float, default 0.5
        Share of the candidates in the window, rounded up: half, as in the authors' program.
    standardize : bool, default True

    Notes
    -----
    Known failure: candidates that go together. A valid candidate that is correlated with an invalid one carries its
    direct effect; put the others into exog, one fit for each, where that is in doubt.

    The maker of the same name (:class:`ivbridge.iv_ml.generation.mode_iv.ModeIV`) picks a covariate instead, as the
    comparison of Wu et al. (2023) does.

    Source: Hartford, Veitch, Sridhar, Leyton-Brown (2021), Valid causal inference with (some) invalid instruments.
    """

    name: ClassVar[str] = "mode_ensemble"
    method: str | IVRegression = "poly2sls"
    valid_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.valid_share <= 1:
            raise DataError(f"valid_share={self.valid_share} was asked.", available="0 < valid_share <= 1")
        if isinstance(self._base, ModeEnsemble):
            raise DataError("A mode of modes was asked.", do="give a method that learns from one instrument.")

    @property
    def packages(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the method inside."""
        return self._base.packages

    @property
    def _base(self) -> IVRegression:
        found: IVRegression = method_class(self.method)() if isinstance(self.method, str) else self.method
        return found

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """All candidates of all data sets in one computation."""
        candidates = data[0].shape[2]
        size = math.ceil(self.valid_share * candidates)
        single = [one.with_instruments(one.instruments[:, [j]]) for one in data for j in range(candidates)]
        found = self._base.learn(single, [seed for seed in seeds for _ in range(candidates)], progress)
        return [
            _joined(found[first : first + candidates], size) for first in range(0, len(found), candidates)
        ]  # fmt: skip


def _joined(found: Sequence[Learnt], size: int) -> Learnt:
    notes = [f"instrument {j}: {note}" for j, one in enumerate(found) for note in one.notes]
    histories = [one.history.assign(instrument=j) for j, one in enumerate(found) if len(one.history)]
    history = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame()
    return Learnt(Modal(tuple(one.predictor for one in found), size), history, tuple(notes))

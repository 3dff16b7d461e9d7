"""Double machine learning of the local average treatment effect with one 0/1 instrument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.dml import Clipped, Nuisance, Seen, weak
from ivbridge.causal.question import CausalData
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["IIVM"]


@dataclass(frozen=True, kw_only=True)
class IIVM(Clipped):
    """The effect on those whom a 0/1 instrument moves; nothing is linear; the score of DoubleMLIIVM.

    The ratio of two doubly robust effects of Z, on Y and on T; section 5.2 of Chernozhukov et al. (2018). Parameters
    are those of :class:`~ivbridge.causal.dml.Clipped`; the scores that are clipped are those of the instrument.
    """

    name: ClassVar[str] = "iivm"
    title: ClassVar[str] = "Double machine learning, local effect of a 0/1 instrument"
    estimands: ClassVar[tuple[str, ...]] = ("LATE",)
    needs: ClassVar[tuple[str, ...]] = ("covariates", "instruments")
    packages: ClassVar[tuple[str, ...]] = ("doubleml", "sklearn")
    extra: ClassVar[str] = "doubleml"
    r_call: ClassVar[str] = "lm.fit, glm.fit, glmnet on the same folds"

    def nuisances(self, data: CausalData) -> tuple[Nuisance, ...]:
        """E[Y | X] and E[T | X] at each value of the instrument, and P(Z = 1 | X)."""
        if data.z.shape[1] != 1 or not np.isin(data.z, (0.0, 1.0)).all():
            raise DataError(
                f"{self.title} needs one instrument with the values 0 and 1; found {', '.join(data.z_names)}.",
                do="take pliv or two_stage.",
            )
        moved = data.z[:, 0] == 1
        return (
            Nuisance("ml_g0", data.y, ~moved, outcome=True), Nuisance("ml_g1", data.y, moved, outcome=True),
            Nuisance("ml_m", data.z[:, 0]), Nuisance("ml_r0", data.t, ~moved), Nuisance("ml_r1", data.t, moved),
        )  # fmt: skip

    def model(self, doubleml: Any, data: Any, estimand: str) -> Any:
        """DoubleMLIIVM with always-takers and never-takers."""
        from doubleml.utils import DMLDummyClassifier, DMLDummyRegressor, PSProcessorConfig

        return doubleml.DoubleMLIIVM(
            data, DMLDummyRegressor(), DMLDummyClassifier(), DMLDummyClassifier(),
            ps_processor_config=PSProcessorConfig(clipping_threshold=self.clip), draw_sample_splitting=False,
        )  # fmt: skip

    def looked_at(self, data: CausalData, predictions: Mapping[str, FloatArray]) -> Seen:
        """Clipped scores of the instrument, and whether it moves the treatment."""
        raw = predictions["ml_m"]
        among = raw * predictions["ml_r1"] + (1 - raw) * predictions["ml_r0"]
        moved = weak(data.t - among, (data.z[:, 0] - raw)[:, None])
        return Seen(warnings=(*self.clipped(raw, "instrument"), *moved))

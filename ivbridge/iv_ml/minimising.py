"""What methods share whose stages each minimise one loss by Adam."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ivbridge.iv_ml.computing import Streams, torch_module
from ivbridge.iv_ml.method import Learnt
from ivbridge.iv_ml.networks import Networks
from ivbridge.iv_ml.predictors.feedforward import Feedforward
from ivbridge.iv_ml.training import Schedule, Stage, Stopping, descend, train
from ivbridge.progress import Progress

if TYPE_CHECKING:
    import torch

__all__ = ["Minimiser", "grouped", "learnt", "mean_square"]

#: Outputs of the widest layer that are worth having at once: more of them leave the processor's cache.
_OUTPUTS = 2**20


def grouped(members: int, batch: int, widths: Sequence[int]) -> list[slice]:
    """Members that are better trained together than one group after the other: all if networks are small.

    Parameters
    ----------
    members : int
    batch : int
        Rows in a batch.
    widths : sequence of int
        Outputs of the layers.
    """
    size = max(1, _OUTPUTS // (batch * max(widths, default=1)))
    return [slice(first, first + size) for first in range(0, members, size)]


def mean_square(values: torch.Tensor) -> torch.Tensor:
    """Of each member's values (B, …): (B,)."""
    return values.square().flatten(1).mean(1)


@dataclass(frozen=True, slots=True, eq=False)
class Minimiser:
    """How the stages of one method are trained.

    Attributes
    ----------
    rate : float
        Of Adam.
    streams : Streams
    stopping : Stopping, optional
    progress : callable, optional
    """

    rate: float
    streams: Streams
    stopping: Stopping | None
    progress: Progress | None

    def run(
        self,
        stage: str,
        networks: Sequence[Networks],
        loss: Callable[..., torch.Tensor],
        rows: Sequence[torch.Tensor],
        schedule: Schedule,
        check: Callable[[], torch.Tensor] | None,
    ) -> list[pd.DataFrame]:
        """Minimise a loss, and return each member's history.

        Parameters
        ----------
        stage : str
            Name for history and progress.
        networks : sequence of Networks
        loss : callable (*batches) -> (B,) tensor
        rows : sequence of (B, n, …) tensors
            What batches are taken from.
        schedule : Schedule
        check : callable, optional
            The criterion for early stopping, (B,).

        Raises
        ------
        EngineError
            If the loss of a member is no longer finite.
        """
        parameters = [part for one in networks for part in one.parameters]
        optimizer = torch_module().optim.Adam(parameters, lr=self.rate, fused=True)
        return train(
            lambda *batches: descend(optimizer, loss(*batches)), rows, schedule,
            Stage(stage, tuple(networks), check, self.stopping), self.streams, self.progress,
        )  # fmt: skip


def learnt(networks: Networks, *histories: Sequence[pd.DataFrame]) -> list[Learnt]:
    """Each member's network of (T, X) as a predictor, with its histories one under the other."""
    members = [pd.concat(parts, ignore_index=True) for parts in zip(*histories, strict=True)]
    return [Learnt(Feedforward(networks.layers(b)), history) for b, history in enumerate(members)]

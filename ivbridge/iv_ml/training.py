"""The loop that all trained methods share: epochs, batches, looks at a validation split, early stopping, history."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ivbridge.errors import DataError, EngineError
from ivbridge.iv_ml.computing import Streams, torch_module
from ivbridge.iv_ml.networks import Networks
from ivbridge.iv_ml.settings import check_range, check_sizes
from ivbridge.progress import Progress

if TYPE_CHECKING:
    import torch

__all__ = ["Schedule", "Stage", "Stopping", "descend", "train"]


@dataclass(frozen=True, slots=True)
class Stopping:
    """When to stop early, and on what.

    Parameters
    ----------
    share : float, default 0.2
        Of the rows, held out at random; nothing is learnt from them.
    patience : int, default 20
        Looks without a better criterion after which a member is no longer followed; its best state is kept.
    every : int, default 1
        Epochs between two looks.
    """

    share: float = 0.2
    patience: int = 20
    every: int = 1

    def __post_init__(self) -> None:
        check_range(0, 1, share=self.share)
        check_sizes(patience=self.patience, every=self.every)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to train: epochs, and rows in a batch (None: all of them, in their own order)."""

    epochs: int
    batch: int | None = None

    def __post_init__(self) -> None:
        check_sizes(epochs=self.epochs, batch=2 if self.batch is None else self.batch)
        if self.batch == 1:
            raise DataError("Batches of 1 row were asked.", available="2 rows or more in a batch, or None")


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that is trained.

    Attributes
    ----------
    name : str
        Of the stage, for history and progress: "first", "second", …
    networks : tuple of Networks
        What is put back to its best state after an early stop.
    check : callable, optional
        Gives the criterion on the validation split, (B,); smaller is better.
    stopping : Stopping, optional
        Needed with ``check``.
    """

    name: str
    networks: tuple[Networks, ...]
    check: Callable[[], torch.Tensor] | None = None
    stopping: Stopping | None = None


def descend(optimizer: torch.optim.Optimizer, losses: torch.Tensor) -> torch.Tensor:
    """One step of an optimiser on the sum of the members' losses (B,), whose gradients are each member's own."""
    optimizer.zero_grad(set_to_none=True)
    losses.sum().backward()
    optimizer.step()
    return losses.detach()


def train(
    step: Callable[..., torch.Tensor],
    rows: Sequence[torch.Tensor],
    schedule: Schedule,
    stage: Stage,
    streams: Streams,
    progress: Progress | None = None,
) -> list[pd.DataFrame]:
    """Call ``step`` on batches for some epochs.

    Parameters
    ----------
    step : callable (*batches) -> (B,) tensor
        Makes one step with its own optimiser and returns the losses before it, without gradient.
    rows : sequence of (B, n, …) tensors
        Shuffled together in each epoch, each member in its own order; a last batch with less than half of its rows
        joins the one before.
    schedule, stage, streams
    progress : callable, optional
        Called with (epochs done, epochs, stage's name).

    Returns
    -------
    list of DataFrame
        One history for each member: stage, epoch, loss, criterion.

    Raises
    ------
    DataError, EngineError
        If it ends before the first look of an early stopping; if the loss of a member is no longer finite.
    """
    torch = torch_module()
    _check_looks(stage, schedule)
    watch = _Watch(stage, len(streams))
    losses = []
    for epoch in range(1, schedule.epochs + 1):
        total, count = torch.zeros(len(streams), device=rows[0].device), 0
        for batch in _batches(rows, schedule.batch, streams):
            total, count = total + step(*batch), count + 1
        losses.append((total / count).tolist())
        watch.losses(losses[-1], epoch)
        if progress:
            progress(epoch, schedule.epochs, stage.name)
        if watch.look(epoch):
            break
    watch.finish()
    return [
        _history(stage.name, [row[b] for row in losses[: watch.until[b]]], watch.criteria, b)
        for b in range(len(streams))
    ]


def _check_looks(stage: Stage, schedule: Schedule) -> None:
    every = 1 if stage.check is None or stage.stopping is None else stage.stopping.every
    if every > schedule.epochs:
        raise DataError(
            f"A look after every {every} epochs was asked, and {schedule.epochs} epochs in all.",
            do="look more often, or train longer.",
        )


def _batches(rows: Sequence[torch.Tensor], size: int | None, streams: Streams) -> list[tuple[torch.Tensor, ...]]:
    if size is None:
        return [tuple(rows)]
    torch = torch_module()
    members, n = rows[0].shape[:2]
    order = streams.orders(n)
    lines = torch.arange(members, device=order.device)[:, None]
    shuffled = [part[lines, order] for part in rows]
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] < (size + 1) // 2:
        starts.pop()
    return [tuple(part[:, a:b] for part in shuffled) for a, b in zip(starts, [*starts[1:], n], strict=True)]


class _Watch:
    """The best state of each member so far."""

    def __init__(self, stage: Stage, members: int) -> None:
        self._stage = stage
        self._best = [math.inf] * members
        self._since = [0] * members
        self._states: list[list[torch.Tensor]] = []
        self.criteria: dict[int, list[float]] = {}
        #: Epoch after which each member was no longer followed.
        self.until: list[int | None] = [None] * members

    def losses(self, found: list[float], epoch: int) -> None:
        """Raise if a member that is still followed has no finite loss."""
        if not all(math.isfinite(loss) for loss, until in zip(found, self.until, strict=True) if until is None):
            raise EngineError(
                f"The {self._stage.name} stage's loss is not finite after epoch {epoch}.",
                do="lower the learning rate, or let the method standardise the data.",
            )

    def look(self, epoch: int) -> bool:
        """Judge the members where it is time to; True if none is worth following any longer."""
        check, stopping = self._stage.check, self._stage.stopping
        if check is None or stopping is None or epoch % stopping.every:
            return False
        torch = torch_module()
        with torch.no_grad():
            found = check().tolist()
        self.criteria[epoch] = found
        better = [end is None and new < best for end, new, best in zip(self.until, found, self._best, strict=True)]
        self._keep(better)
        self._best = [new if b else best for b, new, best in zip(better, found, self._best, strict=True)]
        self._since = [0 if b else since + 1 for b, since in zip(better, self._since, strict=True)]
        ended = [since >= stopping.patience for since in self._since]
        self.until = [epoch if end is None and e else end for end, e in zip(self.until, ended, strict=True)]
        return None not in self.until

    def _keep(self, better: list[bool]) -> None:
        if self._states and not any(better):
            return
        now = [networks.state() for networks in self._stage.networks]
        if not self._states:
            self._states = now
            return
        which = torch_module().tensor(better)
        for kept, new in zip(self._states, now, strict=True):
            for old, part in zip(kept, new, strict=True):
                old[which] = part[which]

    def finish(self) -> None:
        """Put every member back to its best state."""
        for networks, state in zip(self._stage.networks, self._states, strict=False):
            networks.restore(state)


def _history(name: str, losses: list[float], criteria: dict[int, list[float]], member: int) -> pd.DataFrame:
    epochs = range(1, len(losses) + 1)
    judged = [criteria[epoch][member] if epoch in criteria else math.nan for epoch in epochs]
    return pd.DataFrame({"stage": name, "epoch": list(epochs), "loss": losses, "criterion": judged})

"""Pieces on a Dask cluster: each machine reads and adds up what it is given, the sums are joined here, in order.

A task is one part function on one piece. Nothing but descriptions of pieces goes to the workers and nothing but sums
comes back, and these are joined in the order of the pieces: the result has the same bits as in one process, whatever
worker answered, how often a task was repeated, and when.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, TypeVar

import ivbridge
from ivbridge.blocks.rows import Part, Sum
from ivbridge.errors import EngineError, IvbridgeError, MissingExtraError, UnsupportedError
from ivbridge.scale.pieces import Piece
from ivbridge.threads import one_thread

__all__ = ["Distributed"]

S = TypeVar("S", bound=Sum)

#: Tasks in flight for each thread of the cluster: enough that none waits for this process.
AHEAD = 4

#: How often Dask repeats a task that raised (a file server that was away for a moment).
RETRIES = 2

#: Sums fetched at a time; with very many clusters each takes tens of megabytes.
BATCH = 8

#: Seconds between two looks at whether there is a worker.
POLL = 1.0


@dataclass(frozen=True, slots=True)
class Distributed:
    """A :class:`~ivbridge.scale.pieces.Runner` on a Dask cluster that runs already.

    Attributes
    ----------
    cluster : dask.distributed.Client or str
        A client, or the address of a scheduler, such as ``"tcp://10.0.0.1:8786"``. It and its workers need ivbridge in
        the same version, and the workers see the data under the same names.
    ahead : int or None
        Pieces in flight at most; default four for each thread of the cluster.
    patience : float, default 120
        Seconds to wait for a worker where the cluster has none.

    Notes
    -----
    A worker that dies loses nothing: Dask asks another one for its pieces. A piece on which one worker after the other
    dies is asked for once more with no other piece in flight; if they die again, an error names it.
    """

    cluster: Any
    ahead: int | None = None
    patience: float = 120.0

    def sums(self, part: Part[S], pieces: Sequence[Piece]) -> Iterator[S]:
        """The sum of each piece, in their order, as they become known.

        Raises
        ------
        MissingExtraError
            If dask[distributed] is not installed.
        EngineError
            If there is no scheduler (any more) or no worker, a piece kills its workers, or reading it fails for a
            reason that is not ivbridge's own.
        IvbridgeError
            What a piece raises itself, the same as in one process.
        """
        with _connected(self.cluster) as client:
            run = _Run(client, f"ivbridge-{uuid.uuid4().hex}", self.patience)
            try:
                yield from run.sums(part, pieces, self.ahead)
            except (OSError, asyncio.CancelledError, futures.CancelledError) as error:
                raise EngineError(
                    "The Dask scheduler went away while pieces were added up.",
                    do="start the cluster again and run this again; a journal keeps what was done.",
                ) from error


@contextmanager
def _connected(cluster: Any) -> Iterator[Any]:
    """The client itself, or one for an address that is closed afterwards."""
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("A cluster needs Dask.", do='pip install "ivbridge[scale]"') from None
    if not isinstance(cluster, str):
        if not isinstance(cluster, Client) or cluster.asynchronous:
            found = f"Distributed() got a {type(cluster).__name__}"
            raise UnsupportedError(f"{found}.", do="give a dask.distributed.Client that is not asynchronous.")
        yield cluster
        return
    try:
        client = Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise EngineError(
            f"No Dask scheduler answers at {cluster[:200]!r}.",
            do="start one with `dask scheduler`, its workers with `dask worker ADDRESS`, and give that address.",
        ) from error
    with client:
        yield client


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """What all tasks of a pass share: the part function, and the recipe of the pieces, where they have one in common.

    A recipe holds the codes of all clusters, and may be larger than all else; every worker gets it once.
    """

    part: Any
    recipe: Any

    @classmethod
    def of(cls, part: Part[S], pieces: Sequence[Piece]) -> tuple[_Order, Sequence[Piece]]:
        """The order and the pieces without what it holds."""
        recipes = {id(recipe): recipe for recipe in (getattr(piece, "recipe", None) for piece in pieces)}
        if len(recipes) != 1 or None in recipes.values():
            return cls(part, None), pieces
        bare = [dataclasses.replace(piece, recipe=None) for piece in pieces]  # type: ignore[type-var]
        return cls(part, recipes.popitem()[1]), bare

    def apply(self, piece: Any) -> Any:
        """The sum of a piece."""
        whole = piece if self.recipe is None else dataclasses.replace(piece, recipe=self.recipe)
        return self.part(whole.blocks())


def _itself(order: _Order) -> _Order:
    return order


def _applied(order: _Order, piece: Piece, version: str) -> Any:
    """Runs on a worker."""
    if ivbridge.__version__ != version:
        found = f"A worker has ivbridge {ivbridge.__version__}, this process {version}."
        raise EngineError(found, do="install the same version everywhere.")
    with one_thread():
        return order.apply(piece)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A piece that was asked for, and whether without any other in flight."""

    place: int
    future: Any
    alone: bool = False


@dataclass(frozen=True, slots=True)
class _Run:
    """One pass."""

    client: Any
    name: str
    patience: float

    def sums(self, part: Part[S], pieces: Sequence[Piece], ahead: int | None) -> Iterator[S]:
        """The sum of each piece, in their order."""
        from dask import config

        order, pieces = _Order.of(part, pieces)
        # a task, not scattered data: the scheduler makes it again when the worker that holds it dies
        with config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):  # it is sent once
            carried = self.client.submit(_itself, order, key=f"{self.name}-part", retries=RETRIES)
        todo = iter(range(len(pieces)))
        flying: deque[_Asked] = deque()
        try:
            while True:
                room = ahead or AHEAD * max(1, sum(self.client.nthreads().values()))
                for i in islice(todo, max(0, room - len(flying))):
                    flying.append(_Asked(i, self._submitted(carried, pieces[i], f"piece-{i}")))
                if not flying:
                    return
                first = flying[0]
                self._settle([first.future])
                if first.future.status == "error":
                    flying[0] = self._again(first, carried, pieces[first.place], [one.future for one in flying])
                    continue
                known = list(islice(takewhile(lambda one: one.future.status == "finished", flying), BATCH))
                for found in self._fetched(known):
                    flying.popleft().future.release()
                    yield found
        finally:
            left = [carried, *(one.future for one in flying)]
            self.client.cancel(left)
            for future in left:
                future.release()

    def _submitted(self, carried: Any, piece: Piece, name: str) -> Any:
        key = f"{self.name}-{name}"
        return self.client.submit(_applied, carried, piece, ivbridge.__version__, key=key, retries=RETRIES)

    def _settle(self, asked: list[Any]) -> None:
        """Wait until each has an answer or an error, as long as there is a worker."""
        from distributed import wait

        alone = 0.0
        while True:
            with suppress(TimeoutError), self.client.as_current():
                wait(asked, timeout=POLL)  # type: ignore[no-untyped-call]
                return
            alone = 0.0 if self.client.nthreads() else alone + POLL
            if alone >= self.patience:
                raise EngineError(
                    f"The Dask cluster has had no worker for {alone:.0f} seconds.",
                    do="start workers with `dask worker ADDRESS`, or give a longer patience.",
                )

    def _again(self, failed: _Asked, carried: Any, piece: Piece, flying: list[Any]) -> _Asked:
        """Ask for a piece alone if workers died on it the first time; otherwise, and the second time, raise."""
        from distributed import KilledWorker

        error = failed.future.exception()
        if isinstance(error, IvbridgeError):
            raise error
        which = f"{str(piece)[:200]} (piece {failed.place + 1})"
        if not isinstance(error, KilledWorker):
            found = f"Reading {which} on a worker failed: {type(error).__name__}: {str(error)[:500]}"
            raise EngineError(
                found,
                do="see that the scheduler and all workers have ivbridge, that all workers see these data, and that "
                "they are whole.",
            )
        if failed.alone:
            raise EngineError(
                f"Every worker that was given {which} died, {error.allowed_failures + 1} of them with no other piece "
                "in flight.",
                do="look at the workers' logs; give them more memory, or make the pieces smaller.",
            )
        self._settle(flying)
        return _Asked(failed.place, self._submitted(carried, piece, f"piece-{failed.place}-alone"), alone=True)

    def _fetched(self, known: list[_Asked]) -> list[Any]:
        """Sums that are ready; none where they were lost before they arrived, which is to be waited for again."""
        fetch = functools.partial(self.client.gather, [one.future for one in known], asynchronous=True)
        try:
            found: list[Any] = self.client.sync(fetch, callback_timeout=self.patience)
        except Exception as error:
            if any(one.future.status != "finished" for one in known):
                return []
            if not isinstance(error, TimeoutError):
                raise
            waited = f"{len(known)} sums did not arrive in {self.patience:.0f} seconds."
            raise EngineError(waited, do="give a longer patience.") from error
        return found

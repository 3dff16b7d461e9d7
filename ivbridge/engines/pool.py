"""Several R processes that share out calls of one R function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ivbridge.crew import FailedTask, complete, number_of_workers
from ivbridge.engines.process import RReply, RWorker
from ivbridge.engines.transfer import encode
from ivbridge.errors import DataError
from ivbridge.journal import Journal
from ivbridge.packing import digest, pack, unpack
from ivbridge.progress import Progress

__all__ = ["RPool"]


class RPool:
    """R processes, one a processor, that share out the calls of an R function.

    Parameters
    ----------
    workers : int, optional
        R processes; default one for each processor that may be used.
    scripts : sequence of str or Path, optional
        As for `ivbridge.engines.process.RWorker`, default its default.
    timeout, memory_bytes : float, optional
        Of each call and of each process, as for that class.
    bridge : {"auto", "rpy2", "rscript"}, optional
        As for that class.

    Raises
    ------
    UnsupportedError
        Fewer than one worker, a limit or a bridge that does not exist, or an R script that is not there.

    Notes
    -----
    Nothing is started before the first `map`. For the same questions to R and Python see
    `ivbridge.crosscheck_many`, for Monte Carlo studies `ivbridge.study`.

    Examples
    --------
    >>> import ivbridge
    >>> with ivbridge.RPool(2, scripts=["provenance.R"]) as pool:  # doctest: +SKIP
    ...     replies = pool.map("ivb_provenance", [{"packages": ["stats"]}, {"packages": ["utils"]}])
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        scripts: Sequence[str | Path] | None = None,
        timeout: float | None = None,
        memory_bytes: float | None = None,
        bridge: str | None = None,
    ) -> None:
        loaded: dict[str, Any] = {} if scripts is None else {"scripts": scripts}
        self.workers = tuple(
            RWorker(**loaded, timeout=timeout, memory_bytes=memory_bytes, bridge=bridge)
            for _ in range(number_of_workers(workers))
        )

    def map(
        self,
        function: str,
        arguments: Sequence[Mapping[str, object]],
        *,
        timeout: float | None = None,
        path: Path | str | None = None,
        progress: Progress | None = None,
    ) -> list[RReply | FailedTask]:
        """Call one R function with many sets of arguments; the answers are those of one R, in the order of the calls.

        A call must not depend on what the R process did before: which R answers is left to chance. Random numbers need
        a seed among the arguments.

        Parameters
        ----------
        function : str
            A function of the loaded scripts whose name starts with ``ivb_``.
        arguments : sequence of mapping
            Named arguments of each call, as for `RWorker.call`.
        timeout : float, optional
            Seconds that each call may take.
        path : path, optional
            Each answer is appended to this file; what it holds already is not asked again. With the same path a later
            run goes on where an interrupt, or a failure, left off.
        progress : callable, optional
            Called with (calls done, total, what); `ivbridge.progress_bar` draws them.

        Returns
        -------
        list of RReply or FailedTask
            One for each set of arguments. A call that failed is a `FailedTask` with its error; one during which R died
            has been tried again on a fresh R.

        Raises
        ------
        RNotAvailableError
            R, rpy2 or an R package that the scripts load is missing or does not fit.
        DataError
            The file holds the answers of another function, scripts or arguments.
        """
        names = [f"{function}() {i}" for i in range(1, len(arguments) + 1)]
        calls = [_Call(function, one, timeout) for one in arguments]
        found: dict[int, RReply | FailedTask] = {}
        with Journal.opened(path, {"function": f"{function} of {self._scripts_sha256()}"}) as journal:
            asked = [] if path is None else [_digest(one) for one in arguments]
            found |= _kept(journal, asked, path)
            complete(found, [_Member(w) for w in self.workers], names, calls, _keeping(journal, asked), progress)
        return [found[i] for i in range(len(calls))]

    def close(self) -> None:
        """End all R processes. A later call starts them again."""
        for worker in self.workers:
            worker.close()

    def __enter__(self) -> RPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _scripts_sha256(self) -> str:
        scripts = self.workers[0].scripts
        return hashlib.sha256(b"\0".join(Path(script).read_bytes() for script in scripts)).hexdigest()


@dataclass(frozen=True, slots=True)
class _Call:
    function: str
    arguments: Mapping[str, object]
    timeout: float | None


@dataclass(frozen=True, slots=True)
class _Member:
    """A worker as `ivbridge.crew.answers` wants it."""

    worker: RWorker

    def start(self) -> None:
        """Nothing: `ask` starts R."""

    def ask(self, call: _Call) -> RReply:
        """The reply; the worker replaces an R that ended."""
        return self.worker.call(call.function, timeout=call.timeout, **call.arguments)

    def kill(self) -> None:
        """End R; the thread that waits for it gets an error at once."""
        self.worker.close()


def _digest(arguments: Mapping[str, object]) -> str:
    return digest({name: encode(value, name) for name, value in arguments.items()})


def _keeping(journal: Journal, asked: Sequence[str]) -> Callable[[int, RReply], None]:
    """What writes a reply; nothing is packed for a journal without a file."""

    def keep(i: int, reply: RReply) -> None:
        if asked:
            journal.append([{"task": i, "asked": asked[i], "reply": pack(reply)}])

    return keep


def _kept(journal: Journal, asked: Sequence[str], path: Path | str | None) -> dict[int, RReply]:
    """Replies that the file holds, by the place of their arguments."""
    found = {}
    for row in journal.rows:
        i = row.get("task")
        if not isinstance(i, int):
            raise DataError(f"{path} holds a line that is no answer of R.", do="choose another file.")
        if i >= len(asked):
            continue
        if row.get("asked") != asked[i]:
            raise DataError(
                f"{path} holds the answer to other arguments for call {i + 1}.",
                do="give these calls a file of their own, or delete that one.",
            )
        found[i] = unpack(RReply, row.get("reply"))
    return found

"""R's answers to many cases: in batches, and one by one where R dies or hangs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivbridge.engines.process import RWorker
from ivbridge.errors import DataError, RDiedError, RError, RTimeoutError, UnsupportedError
from ivbridge.ports.calls import Port, r_calls, r_name, script_of
from ivbridge.ports.records import Case, Failure, RCall
from ivbridge.ports.values import Leaf, leaves_of_r

__all__ = ["BATCH", "RAnswer", "RSide"]

#: Cases in one message to R.
BATCH = 100
_BASE = {"base", "stats", "utils", "methods", "graphics", "grDevices"}


#: R processes that are kept for the next check in the same thread.
_KEPT = 3
_of_thread = threading.local()


def _warm(functions: Sequence[str]) -> RWorker:
    """An R that has loaded the scripts of these functions, and no package but theirs."""
    scripts = {_existing(script) for one in functions if (script := script_of(one)) is not None}
    packages = {one.partition("::")[0] for one in functions if script_of(one) is None} - _BASE
    kept: dict[Any, RWorker] = _of_thread.__dict__.setdefault("workers", {})
    key = (frozenset((script, Path(script).stat().st_mtime_ns) for script in scripts), frozenset(packages))
    worker = kept.pop(key, None) or RWorker(scripts=["port.R", *sorted(scripts)])
    kept[key] = worker
    for old in list(kept)[:-_KEPT]:
        kept.pop(old).close()
    return worker


def _existing(script: Path) -> str:
    if not script.is_file():
        raise UnsupportedError(f"There is no R script {script}.", do="name it as FILE.R::function.")
    return str(script.resolve())


@dataclass(frozen=True)
class RAnswer:
    """R's answer to one case: for each output its leaves, or what was raised; and the texts of warnings."""

    found: dict[str, dict[str, Leaf]] | Failure
    warnings: tuple[str, ...] = ()


class RSide:
    """A warm R that answers the cases of a port; the next port of the same packages gets the same R.

    Parameters
    ----------
    port : Port
        What is asked.

    Raises
    ------
    UnsupportedError
        The R package exports no such function.
    RNotAvailableError
        R or the R package is missing.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        self.paths = [(output.r or "").split() for output in port.outputs]
        functions = [port.r, *(step for path in self.paths for step in path if not step.startswith("$"))]
        self.worker = _warm(functions)
        self.paths = [[one if one.startswith("$") else r_name(one) for one in path] for path in self.paths]
        try:
            found = self.worker.call("ivb_port_find", functions=[r_name(one) for one in functions]).value
        except RError as error:
            raise UnsupportedError(f"R: {error.message}", do="name an exported function: package::name.") from error
        self.arguments: list[str] = list(found[r_name(port.r)]["arguments"])
        self.packages = sorted({one.partition("::")[0] for one in functions if script_of(one) is None})
        self.scripts = sorted({script for one in functions if (script := script_of(one)) is not None})

    def provenance(self) -> dict[str, Any]:
        """R's version, platform and linear algebra, versions of the packages, hashes of the scripts that were asked."""
        found = self.worker.call("ivb_provenance", packages=self.packages).value
        kept = ("r", "platform", "blas", "lapack_version", "rng")
        plain = {name: found[name][0] for name in kept}
        packages = {name: version[0] for name, version in found["packages"].items()} if found["packages"] else {}
        scripts = {script.name: hashlib.sha256(script.read_bytes()).hexdigest() for script in self.scripts}
        return {**plain, "packages": packages, **({"scripts": scripts} if scripts else {})}

    def check_names(self, case: Case) -> None:
        """Refuse arguments that R's function does not have, before all cases fail for the same reason.

        Raises
        ------
        UnsupportedError
            It has no such argument.
        """
        call: RCall = self.port.for_r(case)
        known = set(self.arguments)
        if "..." in known:
            return
        unknown = [name for name in call.arguments.named if not any(one.startswith(name) for one in known)]
        if unknown or len(call.arguments.positional) > len(known):
            raise UnsupportedError(
                f"{self.port.r} was to be called with {', '.join(unknown) or 'more arguments than it has'}.",
                available=", ".join(self.arguments) or "no arguments",
                do="rename them in to_r: a function of the case that returns R's arguments.",
            )

    def answers(self, cases: Sequence[Case]) -> list[RAnswer]:
        """R's answers, in the order of the cases."""
        found: list[RAnswer] = []
        for start in range(0, len(cases), BATCH):
            found += self._batch(list(cases[start : start + BATCH]))
        return found

    def _batch(self, cases: list[Case]) -> list[RAnswer]:
        """A message for all of them; where R ends or takes too long, one for each half."""
        calls = r_calls(self.port, cases)
        try:
            reply = self.worker.call("ivb_port", calls=calls, outputs=self.paths, timeout=self.port.options.timeout)
        except (RDiedError, RTimeoutError) as error:
            if len(cases) > 1:
                half = len(cases) // 2
                return [*self._batch(cases[:half]), *self._batch(cases[half:])]
            what = "ended" if isinstance(error, RDiedError) else "timeout"
            return [RAnswer(Failure((what,), error.message))]
        except DataError as error:
            raise DataError(f"A case cannot be sent to R: {error.message}", do=error.do) from error
        return [self._answer(one) for one in reply.value]

    def _answer(self, plain: Mapping[str, Any]) -> RAnswer:
        if plain["error"] is not None:
            return RAnswer(Failure(tuple(plain["classes"]), plain["error"][0]))
        names = [output.name for output in self.port.outputs]
        described = zip(names, plain["outputs"], strict=True)
        return RAnswer({name: leaves_of_r(one) for name, one in described}, tuple(plain["warnings"]))

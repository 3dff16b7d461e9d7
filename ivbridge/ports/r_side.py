"""R's answers to many cases: in batches, and one by one where R dies or hangs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ivbridge.engines.process import RWorker
from ivbridge.errors import DataError, RDiedError, RError, RTimeoutError, UnsupportedError
from ivbridge.ports.calls import Port, r_calls, r_name, script_of
from ivbridge.ports.records import Case, Failure, RCall
from ivbridge.ports.values import Leaf, leaves_of_r

__all__ = ["BATCH", "RAnswer", "RSide"]

#: Cases in one message to R.
BATCH = 100


@dataclass(frozen=True)
class RAnswer:
    """R's answer to one case: for each output its leaves, or what was raised; and the texts of warnings."""

    found: dict[str, dict[str, Leaf]] | Failure
    warnings: tuple[str, ...] = ()


class RSide:
    """One warm R that answers the cases of a port.

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
        scripts = {str(script) for one in functions if (script := script_of(one)) is not None}
        self.worker = RWorker(scripts=["port.R", *(script if "/" in script else f"./{script}" for script in scripts)])
        self.paths = [[one if one.startswith("$") else r_name(one) for one in path] for path in self.paths]
        try:
            found = self.worker.call("ivb_port_find", functions=[r_name(one) for one in functions]).value
        except RError as error:
            self.worker.close()
            raise UnsupportedError(f"R: {error.message}", do="name an exported function: package::name.") from error
        self.arguments: list[str] = list(found[r_name(port.r)]["arguments"])
        self.versions = {one.partition("::")[0]: found[r_name(one)]["version"][0] for one in functions}

    def __enter__(self) -> RSide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.worker.close()

    def provenance(self) -> dict[str, Any]:
        """R's version, platform and linear algebra, and the versions of the packages that were asked."""
        found = self.worker.call("ivb_provenance", packages=sorted(one for one in self.versions if one)).value
        kept = ("r", "platform", "blas", "lapack_version", "rng")
        plain = {name: found[name][0] for name in kept}
        packages = {name: version[0] for name, version in found["packages"].items()} if found["packages"] else {}
        return {**plain, "packages": packages}

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

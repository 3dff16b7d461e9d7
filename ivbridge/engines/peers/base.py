"""What peers share: a Python package, or an R package in an R process that AER never enters."""

from __future__ import annotations

import importlib.util
import platform
import threading
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar
from weakref import WeakKeyDictionary

from ivbridge.asked import asked_vcov, seen_of
from ivbridge.design import Design
from ivbridge.effects import INSTEAD, ONLY_FAST
from ivbridge.engines import Available, Supported, Unavailable, Unsupported
from ivbridge.engines.peers.reported import Plain, Reported, estimate, heard, plain_columns
from ivbridge.engines.process import RWorker
from ivbridge.engines.r_calls import r_vcov
from ivbridge.errors import MissingExtraError, RNotAvailableError, UnsupportedError
from ivbridge.method import TwoStage
from ivbridge.records import FloatArray, Seen, Test
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread

__all__ = ["PythonPeer", "RPeer", "peer_worker"]


class _Peer:
    """One package behind the protocol of engines."""

    name: ClassVar[str] = ""

    def available(self) -> Available | Unavailable:
        """Whether the package is installed."""
        raise NotImplementedError

    def versions(self) -> Mapping[str, str]:
        """The package's version and those of what it computes with."""
        raise NotImplementedError

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Whether the package can answer the question."""
        reason = self.lacking(spec) if spec.absorb is None else f"is not asked here: {ONLY_FAST} Do this: {INSTEAD}"
        return Unsupported(f"{self.name} {reason}") if reason else Supported()

    def lacking(self, spec: IVSpec) -> str:
        """What the package does not have that the question needs, as a clause without a subject; empty for nothing."""
        raise NotImplementedError

    def report(self, design: Design, seen: Seen, columns: Plain) -> Reported:
        """Ask the package."""
        raise NotImplementedError

    @one_thread()
    def fit(self, design: Design) -> Estimate:
        """Answer the question.

        Raises
        ------
        UnsupportedError
            If the package cannot answer it, or the question names no vcov.
        DataError, DesignError
            As the native engine's.
        MissingExtraError, RNotAvailableError
            If the package is not installed; the message holds the command that installs it.
        EngineError
            If the package fails; it is quoted.
        """
        asked_vcov(design.spec)
        seen = seen_of(design)
        supported, available = self.supports(design.spec), self.available()
        if isinstance(supported, Unsupported):
            raise UnsupportedError(f"{self.name} cannot answer with {design.spec.vcov}: {supported.reason}")
        if isinstance(available, Unavailable):
            kind = RNotAvailableError if isinstance(self, RPeer) else MissingExtraError
            raise kind(available.cause, do=available.do)
        with heard(self.name) as warned:
            reported = self.report(design, seen, plain_columns(design, seen))
        return estimate(self.name, design, seen, reported, self.versions(), warned)


class PythonPeer(_Peer):
    """A Python package of the extra ``peers``."""

    def available(self) -> Available | Unavailable:
        """Whether the package is installed."""
        if importlib.util.find_spec(self.name):
            return Available()
        return Unavailable(f"The Python package {self.name} is not installed.", 'run: pip install "ivbridge[peers]"')

    def versions(self) -> Mapping[str, str]:
        """Python, the package, numpy and scipy."""
        found = {"python": platform.python_version()}
        for name in (self.name, "numpy", "scipy"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "not installed"
        return found


_of_thread = threading.local()


def peer_worker() -> RWorker:
    """The calling thread's R process for peers, apart from AER's: packages with a class "ivreg" may live here."""
    worker: RWorker | None = getattr(_of_thread, "worker", None)
    if worker is None:
        worker = _of_thread.worker = RWorker(scripts=("peers.R",))
    return worker


class RPeer(_Peer):
    """An R package, asked by the function ``ivb_peer_<name>`` of ``r_scripts/peers.R``.

    ``install`` is the command that installs the package.
    """

    install: ClassVar[str] = ""

    def available(self) -> Available | Unavailable:
        """Whether R works here and has the package; starts the peers' R process."""
        try:
            found = _r_versions(peer_worker(), self.name)[self.name]
        except RNotAvailableError as error:
            return Unavailable(error.message, error.do)
        if found != "not installed":
            return Available()
        return Unavailable(f"The R package {self.name} is not installed.", f"run: {self.install}")

    def versions(self) -> Mapping[str, str]:
        """R and the package."""
        return _r_versions(peer_worker(), self.name)

    def report(self, design: Design, seen: Seen, columns: Plain) -> Reported:
        """Ask the package in R."""
        spec = design.spec
        answer = peer_worker().call(
            f"ivb_peer_{self.name}",
            data=columns.frame,
            roles={
                "exog": list(columns.exog), "endog": list(columns.endog), "instruments": list(columns.instruments),
                "groups": list(columns.groups), "intercept": columns.intercept,
            },
            vcov=r_vcov(asked_vcov(spec)),
            method="2sls" if isinstance(spec.method, TwoStage) else str(spec.method),
        ).value  # fmt: skip
        scalar = {name: None if answer.get(name) is None else float(answer[name][0]) for name in _SCALARS}
        tests = {_test_key(key, columns): _test(key, value) for key, value in (answer.get("tests") or {}).items()}
        return Reported(
            calls=tuple(answer["calls"]),
            terms=[columns.terms[name] for name in answer["terms"]],
            table={name: answer[name] for name in _COLUMNS if answer.get(name) is not None},
            cov=answer.get("cov"),
            residuals=answer.get("residuals"),
            fitted=answer.get("fitted"),
            tests=tests,
            why={key: f"{self.name} {reason[0]}" for key, reason in (answer.get("why") or {}).items()},
            **scalar,  # type: ignore[arg-type]
        )


_SCALARS = ("df", "df_resid", "sigma", "r2", "r2_adj", "kappa")
_COLUMNS = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")
_TITLES = {"weak_instruments": "Weak instruments", "wu_hausman": "Wu-Hausman", "sargan": "Sargan", "wald": "Wald test"}


_versions: WeakKeyDictionary[RWorker, dict[str, Mapping[str, str]]] = WeakKeyDictionary()


def _r_versions(worker: RWorker, package: str) -> Mapping[str, str]:
    known = _versions.setdefault(worker, {})
    if package not in known:
        value = worker.call("ivb_provenance", packages=[package]).value
        found = value["packages"][package][0] or "not installed"
        known[package] = {"R": value["r"][0], package: found, "bridge": worker.connection}
    return known[package]


def _test_key(key: str, columns: Plain) -> str:
    name, _, column = key.partition(":")
    return f"{name}:{columns.terms[column]}" if column else name


def _test(key: str, value: FloatArray) -> Test:
    """R's ``c(df1, df2, statistic, p)``; an infinite df2 says χ²."""
    df1, df2, statistic, p_value = (float(number) for number in value)
    name, _, _ = key.partition(":")
    return Test(_TITLES[name], statistic, p_value, df1, df2, "chi2" if df2 == float("inf") else "F")

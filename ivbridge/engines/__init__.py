"""Engines: each one answers a :class:`~ivbridge.design.Design` with an :class:`~ivbridge.results.Estimate`.

:data:`ENGINES` names where each engine lives; nothing is imported before it is asked for. A new engine is one module
with one class and one line here or in :data:`PEERS`, and the tests enrol it by themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from ivbridge.effects import INSTEAD, ONLY_FAST
from ivbridge.errors import UnsupportedError

if TYPE_CHECKING:  # the R process imports this package and must not load pandas
    from ivbridge.design import Design
    from ivbridge.results import Estimate
    from ivbridge.spec import IVSpec

__all__ = [
    "ENGINES", "PEERS", "REPLAYED", "Available", "IVEngine", "Supported", "Unavailable", "Unsupported", "engine",
    "without_effects",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Available:
    """The engine can be used here."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The engine cannot be used here: why, and the command that mends it."""

    cause: str
    do: str


@dataclass(frozen=True, slots=True)
class Supported:
    """The engine can answer this question."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The engine cannot answer this question, and why."""

    reason: str


class IVEngine(Protocol):
    """What an engine has to offer."""

    name: ClassVar[str]

    def available(self) -> Available | Unavailable:
        """Whether the engine can run on this machine."""
        ...

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Whether the engine can answer this question."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Versions of everything that the numbers depend on."""
        ...

    def fit(self, design: Design) -> Estimate:
        """Answer the question."""
        ...


ENGINES: dict[str, str] = {
    "fast": "ivbridge.engines.fast:FastEngine",
    "native": "ivbridge.engines.native:NativeEngine",
    "r": "ivbridge.engines.r:REngine",
}

#: R's answers from files: whatever was recorded before (:mod:`ivbridge.references`).
REPLAYED: dict[str, str] = {"recorded": "ivbridge.engines.recorded:RecordedEngine"}

#: Engines that answer part of the questions with part of the numbers: ``supports`` says which questions, and
#: :attr:`ivbridge.results.Estimate.lacks` which numbers are missing.
PEERS: dict[str, str] = {
    "estimatr": "ivbridge.engines.peers.estimatr:EstimatrEngine",
    "fixest": "ivbridge.engines.peers.fixest:FixestEngine",
    "gmm": "ivbridge.engines.peers.gmm:GmmEngine",
    "ivmodel": "ivbridge.engines.peers.ivmodel:IvmodelEngine",
    "ivmodels": "ivbridge.engines.peers.ivmodels:IvmodelsEngine",
    "ivreg": "ivbridge.engines.peers.ivreg:IvregEngine",
    "ivreg2r": "ivbridge.engines.peers.ivreg2r:Ivreg2rEngine",
    "linearmodels": "ivbridge.engines.peers.linearmodels_plain:LinearmodelsEngine",
    "pyfixest": "ivbridge.engines.peers.pyfixest:PyfixestEngine",
    "statsmodels": "ivbridge.engines.peers.statsmodels:StatsmodelsEngine",
    "systemfit": "ivbridge.engines.peers.systemfit:SystemfitEngine",
}


def engine(name: str) -> IVEngine:
    """The engine of that name.

    Raises
    ------
    UnsupportedError
        If no engine has that name.
    """
    known = {**ENGINES, **REPLAYED, **PEERS}
    if name not in known:
        available = f"{', '.join(sorted(ENGINES))}; recorded; for part of the questions {', '.join(sorted(PEERS))}"
        raise UnsupportedError(f"There is no engine {name!r}.", available=available)
    module, _, attribute = known[name].partition(":")
    found: IVEngine = getattr(importlib.import_module(module), attribute)()
    return found


def without_effects(spec: IVSpec) -> Supported | Unsupported:
    """What an engine supports that answers every question but those with absorbed fixed effects."""
    return Supported() if spec.absorb is None else Unsupported(f"{ONLY_FAST} Do this: {INSTEAD}")

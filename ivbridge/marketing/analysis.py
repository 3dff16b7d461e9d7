"""Run the whole build: ``marketing() -> MarketingReport``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ivbridge.errors import DataError
from ivbridge.iv_ml.computing import torch_module
from ivbridge.marketing import exclusion
from ivbridge.marketing.encoder import encoded
from ivbridge.marketing.forbidden import WORLDS, compare, squared
from ivbridge.marketing.gates import gates
from ivbridge.marketing.report import MarketingReport
from ivbridge.marketing.sample import estimated
from ivbridge.marketing.serving import measured
from ivbridge.marketing.uplift import ranking
from ivbridge.marketing.worlds import Campaign
from ivbridge.progress import Progress

__all__ = ["Sizes", "marketing"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows and draws: of the sample, of closed forms, of trained first stages, of encoders; requests to the server."""

    sample: int = 10_000
    users: int = 2000
    draws: int = 300
    trained_users: int = 4000
    trained_draws: int = 12
    requests: int = 300


#: What ``quick=True`` takes.
QUICK = Sizes(4000, 1000, 100, 1000, 4, 120)
#: Strengths of the instrument for the drift curve, and from strong to hopeless.
_DRIFTS, _WEAK = (1.0, 0.5), (1.0, 0.2, 0.1, 0.05, 0.02)


def marketing(quick: bool = False, seed: int = 1, progress: Progress | None = None) -> MarketingReport:
    """Build the example and break each of its assumptions once.

    Parameters
    ----------
    quick : bool, default False
        Fewer users and draws.
    seed : int, default 1
        Of the first data set of each study; the following ones come next.
    progress : callable, optional
        Called with (steps done, steps, what).

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    DataError
        If the seed is no integer from 0.
    """
    if seed < 0:
        raise DataError(f"The seed {seed!r} was asked.", available="integers from 0")
    torch_module()
    steps = _steps(QUICK if quick else Sizes(), seed)
    found: dict[str, Any] = {}
    for done, (what, step) in enumerate(steps):
        if progress:
            progress(done, len(steps), what)
        found |= step()
    report = MarketingReport(seed=seed, quick=quick, gates=(), **found)
    return replace(report, gates=gates(report))


def _steps(sizes: Sizes, seed: int) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Each step's name, and what gives fields of the report."""
    n, draws, trained = sizes.users, sizes.draws, (sizes.trained_users, sizes.trained_draws)
    steps: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("one sample, both engines, serving", lambda: _sample(sizes, seed)),
        ("confounding", lambda: {"confounded": _confounded(n, draws, seed)}),
        ("drift", lambda: {"drifts": tuple(exclusion.drift(p, 4 * n, draws // 3, seed=seed) for p in _DRIFTS)}),
        ("weak instruments", lambda: {"weak": tuple(exclusion.weakness(p, n, draws, seed) for p in _WEAK)}),
        ("second instrument", lambda: {"stacked": exclusion.stacking(n, draws, seed=seed)}),
        ("falsification", lambda: {"suspected": _suspected(n, draws, seed)}),
        ("ranking", lambda: {"ranked": tuple(ranking(n, draws // 6, seed))}),
        ("squares", lambda: {"squared": squared(n, draws // 3, seed)}),
        ("first stages", lambda: {"first_stages": tuple(r for w in WORLDS for r in compare(w, *trained, seed=seed))}),
        ("encoders", lambda: {"encoded": tuple(encoded(n, trained[1], seed=seed))}),
    ]
    return steps


def _sample(sizes: Sizes, seed: int) -> dict[str, Any]:
    draw = Campaign(confounding=1.0, curved=True).draw(sizes.sample, seed)
    sample, network = estimated(draw)
    return {"sample": sample, "serving": measured(network, draw, sizes.requests)}


def _confounded(n: int, draws: int, seed: int) -> tuple[Any, ...]:
    worlds = {"the recipe": Campaign(), "with a confounder": Campaign(confounding=1.0)}
    return tuple(exclusion.confounding(name, world, n, draws, seed) for name, world in worlds.items())


def _suspected(n: int, draws: int, seed: int) -> tuple[Any, ...]:
    base = Campaign(confounding=1.0, second=0.6)
    worlds = {
        "valid": base,
        "email violates by 0.5": replace(base, violation=0.5),
        "both violate alike": replace(base, violation=0.5, second_violation=0.3),
    }
    return tuple(exclusion.suspicion(name, world, n, draws, seed) for name, world in worlds.items())

"""The figures of "Machine Learning Meets Instrumental Variables" (Teconomics), from R and natively, side by side.

The post shows two simulations. In A one instrument is good, one weak and one invalid. In B a LASSO chooses among 480
A/B tests. Both are drawn again with R's random numbers (:mod:`ivbridge.simulate`), so that every printed figure can be
compared with ours; and B is asked what the post does not say: how much of its answer is the draw of the folds.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from ivbridge import serial, weakiv
from ivbridge.api import fit
from ivbridge.engines import engine as engine_named
from ivbridge.errors import UnsupportedError
from ivbridge.post_methods import lasso_design
from ivbridge.records import Test
from ivbridge.results import Estimate
from ivbridge.selection.engines import lasso_engine
from ivbridge.simulate import SCENARIOS, Draw

__all__ = ["PUBLISHED", "FoldSeed", "PostBar", "PostResult", "Printed", "post_figures"]

Progress = Callable[[int, int, str], None]

TRUTH, N = 2.0, 1000
OLS, GOOD, WEAK, INVALID, EVERY, LASSO = "OLS", "good", "weak", "invalid", "all instruments", "LASSO"

#: What was printed: simulation, bar, quantity, text, and where (the post, or the notebook that it links to).
PUBLISHED = (
    ("A", OLS, "estimate", "2.59080", "notebook"),
    ("A", OLS, "std.error", "0.01440", "notebook"),
    ("A", GOOD, "estimate", "2.04", "post"),
    ("A", GOOD, "conf.low", "1.96", "post"),
    ("A", GOOD, "conf.high", "2.12", "post"),
    ("A", GOOD, "estimate", "2.04400", "notebook"),
    ("A", GOOD, "std.error", "0.04075", "notebook"),
    ("A", GOOD, "first-stage F, HC0", "435.1", "notebook"),
    ("A", GOOD, "Wu-Hausman", "1575.1", "notebook"),
    ("A", WEAK, "estimate", "2.90671", "notebook"),
    ("A", WEAK, "std.error", "0.47201", "notebook"),
    ("A", WEAK, "first-stage F, HC0", "1.520", "notebook"),
    ("A", WEAK, "Wu-Hausman", "0.698", "notebook"),
    ("A", INVALID, "estimate", "2.83672", "notebook"),
    ("A", INVALID, "std.error", "0.01954", "notebook"),
    ("A", INVALID, "first-stage F, HC0", "2201", "notebook"),
    ("A", INVALID, "Wu-Hausman", "1593", "notebook"),
    ("B", LASSO, "estimate", "1.98", "post"),
    ("B", LASSO, "selected", "5", "notebook"),
    ("B", LASSO, "estimate", "1.98078", "notebook"),
    ("B", LASSO, "std.error", "0.05733", "notebook"),
    ("B", LASSO, "first-stage F", "156.4", "notebook"),
    ("B", LASSO, "first-stage F, HC0", "164.292", "notebook"),
    ("B", LASSO, "Wu-Hausman", "4199.733", "notebook"),
    ("B", LASSO, "Sargan", "2.006", "notebook"),
    ("B", LASSO, "Sargan p", "0.735", "notebook"),
)


@dataclass(frozen=True, slots=True)
class PostBar:
    """One bar of the post's charts, from one engine.

    Attributes
    ----------
    simulation : {"A", "B"}
    label, engine : str
    quantities : mapping of str to float
        estimate, std.error, conf.low, conf.high; where there are instruments also first-stage F (classical and HC0),
        Wu-Hausman, Sargan and Sargan p (NaN where it does not apply) and selected, their number.
    """

    simulation: str
    label: str
    engine: str
    quantities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed figure beside ours: what each engine gives, and whether all of it rounds to the print."""

    simulation: str
    label: str
    quantity: str
    text: str
    source: str
    ours: Mapping[str, float]

    @property
    def ok(self) -> bool:
        """Whether every engine's value, rounded as printed, is the print."""
        decimals = len(self.text.partition(".")[2])
        return bool(self.ours) and all(f"{value:.{decimals}f}" == self.text for value in self.ours.values())


@dataclass(frozen=True, slots=True)
class FoldSeed:
    """What the post's data give with folds from one seed: instruments selected, estimate, 95 % limits."""

    seed: int
    selected: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PostResult:
    """The post, computed again.

    Attributes
    ----------
    engines : tuple of str
    bars : tuple of PostBar
    printed : tuple of Printed
    selected : mapping of engine to tuple of str
        The instruments that the LASSO chooses on the post's folds.
    seeds : tuple of FoldSeed
        Other folds on the same data, native engine.
    today : mapping of str to float
        The same code with today's default of ``sample()``: quantities of the LASSO bar, native engine.
    ar_sets : mapping of engine to str
        The Anderson–Rubin set of the good instrument, 95 %, HC0.
    versions : mapping of engine to mapping of str to str
        Language and packages.
    """

    json_skip: ClassVar[tuple[str, ...]] = ()
    engines: tuple[str, ...]
    bars: tuple[PostBar, ...]
    printed: tuple[Printed, ...]
    selected: Mapping[str, tuple[str, ...]]
    seeds: tuple[FoldSeed, ...]
    today: Mapping[str, float]
    ar_sets: Mapping[str, str]
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every engine gives every printed figure."""
        return all(figure.ok for figure in self.printed)

    @property
    def lucky(self) -> int:
        """Number of fold seeds that choose five instruments, as the post has it."""
        return sum(one.selected == 5 for one in self.seeds)

    def to_frame(self) -> pd.DataFrame:
        """The bars, one row for each bar and engine: simulation, label, engine and the quantities."""
        return pd.DataFrame(
            [{"simulation": b.simulation, "label": b.label, "engine": b.engine, **b.quantities} for b in self.bars]
        )

    def published(self) -> pd.DataFrame:
        """The printed figures, one row each: simulation, label, quantity, printed, source, one column an engine, ok."""
        return pd.DataFrame(
            [
                {
                    "simulation": p.simulation, "label": p.label, "quantity": p.quantity, "printed": p.text,
                    "source": p.source, **p.ours, "ok": p.ok,
                }
                for p in self.printed
            ]
        )  # fmt: skip

    def fold_seeds(self) -> pd.DataFrame:
        """The fold seeds, one row each: seed, selected, estimate, conf.low, conf.high."""
        return pd.DataFrame(
            [(s.seed, s.selected, s.estimate, s.low, s.high) for s in self.seeds],
            columns=["seed", "selected", "estimate", "conf.low", "conf.high"],
        )

    def luck(self) -> str:
        """What the post's 1.98 owes to its folds, in words."""
        sizes, estimates = [s.selected for s in self.seeds], [s.estimate for s in self.seeds]
        return (
            f"The post's 1.98 is a lucky draw of the folds. On the same data, {len(self.seeds)} other fold seeds "
            f"select {min(sizes)} to {max(sizes)} instruments and give {min(estimates):.3f} to {max(estimates):.3f}; "
            f"exactly five, as in the post, come out in {self.lucky} of {len(self.seeds)}. The same code under today's "
            f"default of sample() draws other data, selects {self.today['selected']:.0f} instruments and gives "
            f"{self.today['estimate']:.4f}, with a Sargan p-value of {self.today['Sargan p']:.1g} although all of them "
            "are valid: the test does not know that they were selected."
        )

    def summary(self) -> str:
        """Bars, printed figures and the luck of the draw, as text."""
        columns = [
            "simulation",
            "label",
            "engine",
            "estimate",
            "conf.low",
            "conf.high",
            "first-stage F, HC0",
            "selected",
        ]
        bars = self.to_frame()[columns].to_string(index=False, float_format="{:.4f}".format, na_rep="")
        printed = self.published().to_string(index=False, float_format="{:.6g}".format)
        good = f"{sum(figure.ok for figure in self.printed)} of {len(self.printed)} printed figures reproduced"
        sets = "; ".join(f"{engine} {found}" for engine, found in self.ar_sets.items())
        return "\n".join(
            [
                f"The post, true effect {TRUTH:g}, n = {N}; 95 % intervals", bars, "",
                f"{good} by {' and '.join(self.engines)}", printed, "",
                f"Anderson–Rubin set of the good instrument: {sets}", "", textwrap.fill(self.luck(), 100),
            ]
        )  # fmt: skip

    def __repr__(self) -> str:
        good = sum(figure.ok for figure in self.printed)
        return f"<PostResult {', '.join(self.engines)}: {good} of {len(self.printed)} printed figures reproduced>"

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that reads back to the same bits."""
        return serial.dumps(self, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> PostResult:
        """Read what :meth:`to_json` wrote."""
        found: PostResult = serial.loads(cls, text)
        return found


def post_figures(
    engines: Sequence[str] = ("r", "native"), seeds: int = 30, progress: Progress | None = None
) -> PostResult:
    """Compute everything that the post shows.

    Parameters
    ----------
    engines : sequence of str, default ("r", "native")
    seeds : int, default 30
        Fold seeds 1 … seeds, tried with the native engine on the post's data.
    progress : callable (done, total, what), optional

    Raises
    ------
    UnsupportedError
        If no engine is named, or an unknown one, or no seed.
    RNotAvailableError
        If an engine is R and R cannot be used here.
    MissingExtraError
        If glmstar, which the native LASSO needs, is not installed.
    """
    if not engines or seeds < 1:
        raise UnsupportedError(f"{len(engines)} engines and {seeds} fold seeds were asked.", available="one or more")
    say = progress or (lambda _done, _total, _what: None)
    total = 2 * len(engines) + 2
    a, b = SCENARIOS["post-a"].draw(N), SCENARIOS["post-b"].draw(N)
    bars: list[PostBar] = []
    chosen, sets, versions = {}, {}, {}
    for i, engine in enumerate(engines):
        say(2 * i, total, f"simulation A, {engine}")
        bars += _simulation_a(a, engine)
        sets[engine] = str(weakiv.confidence_set("Y ~ X | good", a.frame, "HC0", engine=engine))
        say(2 * i + 1, total, f"simulation B, {engine}")
        bars += _least_squares(b, "B", engine), _instrumented(b, "B", EVERY, b.instruments, engine)
        lasso, chosen[engine], versions[engine] = _lasso(b, engine)
        bars.append(lasso)
    say(total - 2, total, "fold seeds")
    tried = tuple(_fold_seed(b, seed) for seed in range(1, seeds + 1))
    say(total - 1, total, "today's sample()")
    today = _lasso(SCENARIOS["post-b"].draw(N, sample_kind="Rejection"), "native")[0].quantities
    say(total, total, "done")
    return PostResult(tuple(engines), tuple(bars), _printed(bars), chosen, tried, today, sets, versions)


def _simulation_a(draw: Draw, engine: str) -> list[PostBar]:
    bars = [_least_squares(draw, "A", engine)]
    return bars + [_instrumented(draw, "A", name, (name,), engine) for name in (GOOD, WEAK, INVALID)]


def _least_squares(draw: Draw, simulation: str, engine: str) -> PostBar:
    """R's ``lm``: classical standard errors and t, as in the post."""
    return PostBar(simulation, OLS, engine, _quantities(fit("Y ~ X | X", draw.frame, "classical", engine)))


def _instrumented(draw: Draw, simulation: str, label: str, names: Sequence[str], engine: str) -> PostBar:
    """R's ``summary(ivreg(…), vcov = sandwich, df = Inf, diagnostics = TRUE)``, and the classical first-stage F."""
    formula = f"Y ~ X | {' + '.join(names)}"
    found = _quantities(fit(formula, draw.frame, "HC0", engine, inference="z"))
    classical = fit(formula, draw.frame, "classical", engine)
    found["first-stage F"] = _statistic(classical, "weak_instruments:X")
    found["selected"] = float(len(names))
    return PostBar(simulation, label, engine, found)


def _quantities(estimate: Estimate) -> dict[str, float]:
    at = estimate.terms.index("X")
    table = estimate.coefs
    found = {
        "estimate": float(table.estimate[at]), "std.error": float(table.std_error[at]),
        "conf.low": float(table.conf_low[at]), "conf.high": float(table.conf_high[at]), "first-stage F": np.nan,
    }  # fmt: skip
    for name, key in (
        ("first-stage F, HC0", "weak_instruments:X"), ("Wu-Hausman", "wu_hausman"), ("Sargan", "sargan")
    ):  # fmt: skip
        found[name] = _statistic(estimate, key)
    sargan = estimate.tests.get("sargan")
    found["Sargan p"] = sargan.p_value if isinstance(sargan, Test) else np.nan
    found["selected"] = np.nan
    return found


def _statistic(estimate: Estimate, key: str) -> float:
    test = estimate.tests.get(key)
    return test.statistic if isinstance(test, Test) else np.nan


def _lasso(draw: Draw, engine: str) -> tuple[PostBar, tuple[str, ...], Mapping[str, str]]:
    """The post's LASSO on the folds that come next in its session, and two-stage least squares on what it selects."""
    chosen = lasso_engine(engine).cv(lasso_design(draw))
    selected = chosen.selected("1se")
    versions = {**engine_named(engine).versions(), **chosen.provenance.versions}
    return _instrumented(draw, "B", LASSO, selected, engine), selected, versions


def _fold_seed(draw: Draw, seed: int) -> FoldSeed:
    selected = lasso_engine("native").cv(lasso_design(draw, seed)).selected("1se")
    estimate = fit(f"Y ~ X | {' + '.join(selected)}", draw.frame, "HC0", inference="z")
    found = _quantities(estimate)
    return FoldSeed(seed, len(selected), found["estimate"], found["conf.low"], found["conf.high"])


def _printed(bars: Sequence[PostBar]) -> tuple[Printed, ...]:
    return tuple(
        Printed(
            simulation, label, quantity, text, source,
            {b.engine: b.quantities[quantity] for b in bars if (b.simulation, b.label) == (simulation, label)},
        )
        for simulation, label, quantity, text, source in PUBLISHED
    )  # fmt: skip

"""``ivbridge.drift``: ask two versions of a package the same recorded questions and compare their answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from ivbridge.api import design_for
from ivbridge.asked import asked_vcov, seen_of
from ivbridge.design import Design
from ivbridge.engines import ENGINES, PEERS
from ivbridge.errors import DataError, IvbridgeError, UnsupportedError
from ivbridge.gaps import Gap, compare_numbers, flatten, is_lacking
from ivbridge.records import FloatArray
from ivbridge.references import Reference, load_reference, reference_files, replay
from ivbridge.references_verify import data_of
from ivbridge.results import Estimate
from ivbridge.rounding import allowed_gaps
from ivbridge.sentinel.asked import Answers, Asked, ask
from ivbridge.sentinel.drifted import Drift, Moved
from ivbridge.sentinel.places import Place, python_version, r_library, r_program
from ivbridge.sentinel.reasons import reasons_for
from ivbridge.threads import one_thread

__all__ = ["KINDS", "drift"]

Kind = Literal["pip", "r-library", "rscript"]
KINDS: tuple[Kind, ...] = ("pip", "r-library", "rscript")
Progress = Callable[[int, int, str], None]


@one_thread()
def drift(
    package: str,
    before: str | Path,
    after: str | Path,
    *,
    kind: Kind = "pip",
    references: Sequence[str | Path] | None = None,
    engine: str | None = None,
    progress: Progress | None = None,
) -> Drift:
    """Ask two versions of a package the same recorded questions.

    Parameters
    ----------
    package : str
        A Python or R package.
    before, after : str or path
        With ``kind="pip"`` versions, or folders that hold the package; with ``"r-library"`` two folders of R packages;
        with ``"rscript"`` two programs ``Rscript``.
    references : sequence of path, optional
        Recorded references, or folders of them. Default: where the engine ``recorded`` looks, the gallery included.
    engine : str, optional
        Who is asked. Default: the engine of the package's name; ``"r"`` for the two kinds of R.
    progress : callable (done, total, what), optional

    Returns
    -------
    Drift
        Every number that moved by more than rounding explains, beside R's recorded answer, with the likely reasons.

    Raises
    ------
    UnsupportedError
        If no engine calls the package, a version cannot be had, or both are the same.
    DataError
        If there is no recorded reference, or a folder does not hold the package.
    EngineError
        If a version cannot be run.
    """
    asked = _engine(engine or ("r" if kind != "pip" else package))
    tell = progress or (lambda done, total, what: None)
    tell(0, 4, f"{package} {before} and {after}")
    places = [_place(package, version, kind) for version in (before, after)]
    known, skipped = _recorded(references)
    if places[0] == places[1]:
        raise UnsupportedError(f"{package} {places[0].label} was named twice.", do="name two versions that differ.")
    answers = _asked(places, package, asked, known, tell)
    tell(3, 4, "comparing, and looking for reasons")
    found = _Compared(known, answers[0], answers[1])
    return _drifted(package, asked, places, found, skipped)


def _asked(
    places: Sequence[Place], package: str, engine: str, known: Mapping[Path, Reference], tell: Progress
) -> list[Answers]:
    answers = []
    for i, place in enumerate(places, 1):
        tell(i, 4, f"{package} {place.label}")
        answers.append(ask(place, engine, [str(path) for path in known]))
    return answers


def _drifted(package: str, engine: str, places: Sequence[Place], found: _Compared, skipped: Mapping[str, str]) -> Drift:
    before, after = places
    return Drift(
        package=package, engine=engine, before=before.label, after=after.label,
        reference=", ".join(dict.fromkeys(reference.label for reference in found.known.values())),
        compared=found.compared, questions=len(found.pairs), moved=tuple(one for _, one in found.moved),
        reasons=reasons_for(found.moved, found.pairs, before, after, engine), skipped={**skipped, **found.skipped},
    )  # fmt: skip


def _engine(name: str) -> str:
    known = {**ENGINES, **PEERS}
    if name not in known:
        do = 'name the one that calls the package: engine="native".'
        raise UnsupportedError(f"No engine is called {name!r}.", available=", ".join(sorted(known)), do=do)
    return name


def _place(package: str, version: str | Path, kind: Kind) -> Place:
    if kind == "pip":
        return python_version(package, str(version))
    return r_library(package, version) if kind == "r-library" else r_program(version)


def _recorded(places: Sequence[str | Path] | None) -> tuple[dict[Path, Reference], dict[str, str]]:
    """The references by path, and those that cannot be used, with the reason."""
    known: dict[Path, Reference] = {}
    skipped: dict[str, str] = {}
    for path in reference_files(None if places is None else tuple(map(Path, places))):
        try:
            found = load_reference(path)
            data_of(found)
            known[path.resolve()] = found
        except IvbridgeError as error:
            skipped[str(path)] = str(error)
    if not known:
        first = "".join(f" {path}: {why}" for path, why in list(skipped.items())[:1])
        raise DataError(f"There is no recorded reference to ask again.{first}", do="record one: ivbridge record --help")
    return known, skipped


class _Compared:
    """The answers of two versions, side by side."""

    def __init__(self, known: dict[Path, Reference], before: Answers, after: Answers) -> None:
        self.known = known
        self.pairs = {
            key: (before.estimates[key], after.estimates[key]) for key in before.estimates if key in after.estimates
        }
        refused = {**before.refused, **after.refused}
        self.skipped = {f"{known[Path(path)].spec}, {vcov}": why for (path, vcov), why in refused.items()}

    @cached_property
    def compared(self) -> int:
        """How many numbers both versions were asked for."""
        return sum(len(flatten(one).keys() | flatten(two).keys()) for one, two in self.pairs.values())

    @cached_property
    def moved(self) -> list[tuple[Asked, Moved]]:
        """What moved by more than rounding explains."""
        found = []
        for (path, vcov), (before, after) in self.pairs.items():
            if _same_bits(before, after):
                continue
            reference = self.known[Path(path)]
            design = design_for(reference.spec, data_of(reference), (vcov,))
            seen = seen_of(design)  # JSON leaves the matrices out, and the explainer needs them
            pair = (dataclasses.replace(before, seen=seen), dataclasses.replace(after, seen=seen))
            self.pairs[path, vcov] = pair
            found += [((path, vcov), one) for one in _moved(reference, design, *pair)]
        return found


def _same_bits(before: Estimate, after: Estimate) -> bool:
    one, two = flatten(before), flatten(after)
    return one.keys() == two.keys() and all(np.array_equal(one[key], two[key], equal_nan=True) for key in one)


def _moved(reference: Reference, design: Design, before: Estimate, after: Estimate) -> Iterator[Moved]:
    spec, vcov = design.spec, asked_vcov(design.spec)
    (allowed,) = allowed_gaps(before.seen, after.seen, [vcov], spec.inference, spec.method)
    try:
        answer = replay(reference, design)
        known = {key: value for key, value in flatten(answer).items() if not is_lacking(key, answer.lacks)}
    except IvbridgeError:  # stale: its numbers are not about these data
        known = {}
    if math.isnan(before.sigma) and math.isnan(after.sigma):  # residuals are measured against it
        size = float(np.sqrt(np.mean(before.residuals**2)))
        before, after = (dataclasses.replace(one, sigma=size) for one in (before, after))
    for gap in compare_numbers(before, after, allowed):
        if gap.ok:
            continue
        key = (gap.quantity, gap.term)
        comparable = key in known and not is_lacking(key, {**before.lacks, **after.lacks})
        r = known[key] if comparable else math.nan
        stands = [_equal(flatten(one).get(key), r, allowed.get(key, 0.0)) for one in (before, after)]
        shown = math.nan if isinstance(r, np.ndarray) else float(r)
        data = reference.data.source or Path(str(reference.path)).stem
        yield Moved(str(dataclasses.replace(spec, vcov=None)), data, str(vcov), *key,
                    *_values(gap), gap.digits, shown, stands[0], stands[1])  # fmt: skip


def _values(gap: Gap) -> tuple[float, float]:
    return gap.reference, gap.candidate


def _equal(value: float | FloatArray | None, r: float | FloatArray, allowed: float) -> bool | None:
    if value is None or np.shape(value) != np.shape(r) or bool(np.isnan(np.sum(r))):
        return None
    return bool(np.max(np.abs(np.subtract(value, r))) <= allowed)

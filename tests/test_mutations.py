"""Every way of getting one thing slightly wrong is caught, on every published result and every kind of question.

``pytest tests/test_mutations.py -s`` prints how many mutants each case had and how many lived.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import pytest
from cases import FEW_VCOVS
from mutations import (
    GALLERY,
    PART_PER_MILLION,
    QUESTIONS,
    Mutant,
    Subject,
    dropped,
    edits,
    forged,
    numbers,
    relabelled,
    swapped,
)

import ivbridge
from ivbridge import Estimate
from ivbridge.api import design_for
from ivbridge.compare import _allowed
from ivbridge.gaps import Gap, Key, compare_numbers
from ivbridge.handshake import handshake
from ivbridge.references import replay

#: Published results with more rows than the fast tests can ask about.
LARGE = ("ak_one_instrument", "ak_quarters", "ak_thirty_instruments", "fertility_samesex", "fertility_controls")
#: Published results whose references the fast tests edit; the slow ones edit all.
EDITED = ("kmenta_demand", "mroz_father", "klein_consumption")
#: Where rounding explains more, the data may hide 1 ppm; a p-value's gap is that of its logarithm, and smaller.
RESOLUTION = PART_PER_MILLION / 100
#: What a forger may write as he likes: names and texts, and the two fields that tell the comparison to leave something
#: out, on which a strict one fails.
SAID_ONLY = re.compile(
    r"data\.(name|source|sha256|columns\..*\.kind)|model\.(exact|lacks)|answers\.[0*]\.(calls|notes|warnings|digits|asked)\b.*"
    r"|answers\..*\.(type|type \(taken away\)|name|reason|distribution)"
)


def _fast(names: Callable[[str], bool]) -> list[object]:
    return [pytest.param(one, id=one.name, marks=[pytest.mark.slow] * (not names(one.name))) for one in GALLERY]


def _small(name: str) -> bool:
    return name not in LARGE


@lru_cache(maxsize=4)
def _pair(subject: Subject, vcov: str) -> tuple[Estimate, Estimate, Mapping[Key, float]]:
    """R's answer, the native one, and what rounding explains between them."""
    r, native = (subject.fit(vcov, engine) for engine in ("r", "native"))
    return r, native, _allowed([(r, native)])[0]


def _gaps(r: Estimate, other: Estimate, allowed: Mapping[Key, float]) -> list[Gap]:
    """Gaps that rounding does not explain."""
    return [gap for gap in compare_numbers(r, other, allowed, {**other.lacks, **r.lacks}) if not gap.ok]


def _caught(r: Estimate, mutant: Estimate, allowed: Mapping[Key, float]) -> bool:
    """What :func:`ivbridge.agree` looks at before it says "rounding", with the bound measured once."""
    return not all(check.ok for check in handshake(r, mutant)) or bool(_gaps(r, mutant, allowed))


def _hidden(survivor: Mutant, right: Estimate, r: Estimate, allowed: Mapping[Key, float]) -> list[Gap]:
    """The numbers that a survivor changed; each must be one whose rounding bound is above the resolution."""
    before, after = (compare_numbers(r, one, allowed) for one in (right, survivor.answer))
    return [new for old, new in zip(before, after, strict=True) if old.candidate != new.candidate]


def _score(subject: Subject, vcov: str, mutants: list[Mutant], alive: list[Mutant]) -> None:
    print(f"{subject.name}, {vcov}: {len(mutants) - len(alive)} of {len(mutants)} caught")


def _numbers(subject: Subject, vcov: str) -> tuple[list[Mutant], list[Mutant]]:
    """All mutants that differ in one number, and those that live: rounding must hide what they change."""
    r, native, allowed = _pair(subject, vcov)
    assert not _gaps(r, native, allowed)
    mutants = list(numbers(native))
    alive = [mutant for mutant in mutants if not _caught(r, mutant.answer, allowed)]
    for mutant in alive:
        changed = _hidden(mutant, native, r, allowed)
        assert changed, f"{mutant.what} is never compared"
        assert all(gap.bound > RESOLUTION for gap in changed), mutant.what
    _score(subject, vcov, mutants, alive)
    return mutants, alive


@pytest.mark.parametrize("vcov", [pytest.param("classical", marks=pytest.mark.slow), "HC1"])
@pytest.mark.parametrize("subject", _fast(_small))
def test_one_part_per_million_on_any_published_number(subject: Subject, vcov: str) -> None:
    mutants, alive = _numbers(subject, vcov)
    assert subject.name in LARGE or not alive
    assert len(alive) < 0.1 * len(mutants)


@pytest.mark.slow
@pytest.mark.parametrize("vcov", FEW_VCOVS)
@pytest.mark.parametrize("subject", QUESTIONS, ids=repr)
def test_one_part_per_million_on_any_number_of_any_question(subject: Subject, vcov: str) -> None:
    mutants, alive = _numbers(subject, vcov)
    assert len(alive) < 0.1 * len(mutants) or subject.name == "nearly collinear"  # which leaves about six digits


def _agrees(r: Estimate, mutant: Mutant) -> bool:
    return ivbridge.agree(r, mutant.answer).verdict in ("identical", "rounding")


def _structural(subject: Subject, right: Estimate) -> Iterator[Mutant]:
    yield from dropped(subject, right, "HC1")
    yield from swapped(subject, right, "HC1")
    yield relabelled(subject, "HC1", "HC0")


@pytest.mark.parametrize("subject", _fast(_small))
def test_other_rows_columns_and_estimators_of_published_results(subject: Subject) -> None:
    r, native, _ = _pair(subject, "HC1")
    mutants = list(_structural(subject, native))
    alive = [mutant for mutant in mutants if _agrees(r, mutant)]
    _score(subject, "HC1", mutants, alive)
    assert not alive, [mutant.what for mutant in alive]
    assert len(mutants) >= 9
    assert any("swapped" in mutant.what for mutant in mutants)


@pytest.mark.slow
@pytest.mark.parametrize("subject", QUESTIONS, ids=repr)
def test_other_rows_columns_and_estimators_of_any_question(subject: Subject) -> None:
    r, native, _ = _pair(subject, "HC1")
    mutants = list(_structural(subject, native))
    alive = [mutant for mutant in mutants if _agrees(r, mutant)]
    _score(subject, "HC1", mutants, alive)
    assert not alive, [mutant.what for mutant in alive]


def test_the_public_path_catches_each_kind_of_number() -> None:
    r, native, _ = _pair(GALLERY[0], "HC1")
    mutants = list(numbers(native))
    kinds = {mutant.what.split(" of ")[0].split("[")[0]: mutant for mutant in mutants}
    assert len(kinds) > 15
    alive = [
        what for what, mutant in kinds.items() if ivbridge.agree(r, mutant.answer).verdict in ("identical", "rounding")
    ]
    assert not alive


@pytest.mark.parametrize("subject", _fast(EDITED.__contains__))
def test_an_edited_reference_is_refused(subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    ivbridge.record(subject.formula, subject.data(), ["HC1"], path, **subject.options)
    tree = json.loads(path.read_text(encoding="utf-8"))
    assert ivbridge.load_reference(path).answers
    kinds = list(edits(tree))
    for what, edited in kinds:
        path.write_text(json.dumps(edited), encoding="utf-8")
        with pytest.raises((ivbridge.EditedReferenceError, ivbridge.DataError)):
            pytest.fail(f"{what}: {ivbridge.load_reference(path)}")
    print(f"{subject.name}: {len(kinds)} of {len(kinds)} edits refused")
    assert len(kinds) > 80


@pytest.mark.parametrize("subject", _fast(EDITED.__contains__))
def test_a_forged_digest_does_not_hide_an_edited_number(subject: Subject, tmp_path: Path) -> None:
    """Whoever edits a number and makes the digest fit contradicts the other numbers, the data, or the other engine."""
    path = tmp_path / "reference.json"
    ivbridge.record(subject.formula, subject.data(), ["HC1"], path, **subject.options)
    tree = json.loads(path.read_text(encoding="utf-8"))
    _, native, allowed = _pair(subject, "HC1")
    design = design_for(subject.formula, subject.data(), ("HC1",), **subject.options)
    kinds = [(what, edited) for what, edited in edits(tree) if not what.startswith("recorded.")]
    alive = []
    for what, edited in kinds:
        path.write_text(json.dumps(forged(edited)), encoding="utf-8")
        try:
            replayed = replay(ivbridge.load_reference(path), design)
        except ivbridge.IvbridgeError:
            continue
        if not _caught(replayed, native, allowed):
            alive.append(what)
    print(f"{subject.name}: {len(kinds) - len(alive)} of {len(kinds)} forgeries caught, the others are names and texts")
    assert [what for what in alive if not SAID_ONLY.fullmatch(what)] == []
    assert len(kinds) - len(alive) > 60

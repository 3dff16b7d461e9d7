"""Nothing that a stranger writes is run: every hostile input of tests/hostile_cases.py, at every way in, watched."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge import formula
from ivbridge.engines.process import default_worker
from ivbridge.unpack import FLOOR, RATIO, allowed_bytes
from ivbridge.visible import visible
from tests import hostile_texts as texts
from tests.canary import Canary
from tests.hostile_cases import ANSWER, CASES, Attempt, Case, Place, frame, helpers, outcome_of, warmed

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs" / "reliability" / "safety.csv"
#: Seconds of this process's own time in which an input is refused or answered; R's time comes on top. An answer from
#: both engines takes a third of a second, reading up to the limit of a packed file as long.
QUICK = 2.0
#: At these ways in R fits what is data like any other: a minute in all, which `make test` leaves out.
SLOW = ("crosscheck", "fit, r", "report, code")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place.made(tmp_path_factory.mktemp("hostile"))
    warmed(place)
    return place


@pytest.fixture
def canary(place: Place) -> Canary:
    return Canary(place.folder)


def tried(case: Case, attempt: Attempt, place: Place, canary: Canary) -> None:
    worker = default_worker()
    before, started = worker.pid, time.process_time()
    with canary.watch() as seen:
        outcome, said = outcome_of(attempt.act, place)
    seconds = time.process_time() - started
    assert seen == [], "something happened"
    assert outcome == attempt.outcome, said
    assert outcome == ANSWER or (said.strip() and "Traceback" not in said), "an error without words"
    assert seconds < QUICK
    assert worker.pid == before, "R died"


def attempts(*, slow: bool) -> list[object]:
    return [
        pytest.param(case, attempt, id=f"{case.name} | {attempt.door}")
        for case in CASES
        for attempt in case.attempts
        if slow == (attempt.outcome == ANSWER and attempt.door in SLOW)
    ]


@pytest.mark.parametrize(("case", "attempt"), attempts(slow=False))
def test_nothing_runs_and_nothing_changes(case: Case, attempt: Attempt, place: Place, canary: Canary) -> None:
    tried(case, attempt, place, canary)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "attempt"), attempts(slow=True))
def test_what_is_data_is_answered_by_r_too(case: Case, attempt: Attempt, place: Place, canary: Canary) -> None:
    tried(case, attempt, place, canary)


def test_there_are_enough_inputs_and_each_has_its_name() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 200
    assert all(case.attempts for case in CASES)


# ------------------------------------------------------------------------------------- the canary can see, and bark
@pytest.mark.parametrize(("what", "text"), texts.FORMULAS_R, ids=[what for what, _ in texts.FORMULAS_R])
def test_every_text_of_r_runs_when_it_is_evaluated(what: str, text: str, place: Place) -> None:
    armed = place.armed(text)
    helpers().call("ivb_naive", formula=armed, data=frame())
    try:
        assert place.sentinel.exists(), what
    finally:
        if place.sentinel.is_dir():
            place.sentinel.rmdir()
        else:
            place.sentinel.unlink(missing_ok=True)


SABOTAGE = {
    "Python is evaluated": lambda p: eval("1 + 1"),  # noqa: S307
    "Python is executed": lambda p: exec("x = 1"),
    "pandas evaluates": lambda p: frame().eval("y + x", engine="python"),
    "a file is made": lambda p: p.sentinel.touch(),
    "a file is changed": lambda p: (p.folder / "data.csv").write_bytes((p.folder / "data.csv").read_bytes() + b"\n"),
    "a file is removed": lambda p: (p.folder / "users.csv").rename(p.folder / "users.old"),
    "a shell is started": lambda p: os.system("true"),
    "R makes a file": lambda p: helpers().call("ivb_naive", formula=p.armed("y ~ file.create('@S@')"), data=frame()),
    "a pickle is read": lambda p: pd.read_pickle(p.folder / "frame.pkl"),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_canary_sees(what: str, tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "out", tmp_path / "sentinel")
    for name in ("data.csv", "users.csv"):
        (tmp_path / name).write_text("y\n1\n")
    frame().to_pickle(tmp_path / "frame.pkl")
    with Canary(tmp_path).watch() as seen:
        SABOTAGE[what](place)
    assert seen, "the canary slept"


def naive(text: str) -> object:
    """What must never stand where a formula is read."""
    return eval(text.partition("~")[2].partition("|")[0])  # noqa: S307


def test_the_canary_sees_a_parser_that_evaluates(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula, "tokenize", naive)
    canary = Canary(place.folder)
    with canary.watch() as seen, pytest.raises(TypeError):
        ivbridge.IVSpec.from_formula(place.armed("y ~ open('@S@', 'w').close() | z"))
    place.sentinel.unlink()
    assert any("compile" in event for event in seen)
    assert any("sentinel" in event for event in seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["good.parquet", "good.feather", "good.dta", "files/frame_beside_code.rda"])
def test_a_good_file_with_changed_bytes_is_read_or_refused(name: str, place: Place, tmp_path: Path) -> None:
    data = frame().assign(g=frame()["g"].astype("category"))
    data.to_parquet(tmp_path / "good.parquet")
    data.to_feather(tmp_path / "good.feather")
    data.to_stata(tmp_path / "good.dta", write_index=False)
    source = place.folder / name if "/" in name else tmp_path / name
    good = source.read_bytes()
    good = gzip.decompress(good) if good[:2] == b"\x1f\x8b" else good
    generator, refused = np.random.default_rng(20261122), 0
    path = tmp_path / f"changed{source.suffix}"
    for _ in range(500):
        raw = bytearray(good)
        for place_of_change in generator.integers(len(raw), size=generator.integers(1, 8)):
            raw[place_of_change] = generator.choice([0, 127, 128, 255])
        path.write_bytes(raw)
        try:
            ivbridge.read(path)
        except ivbridge.IvbridgeError:
            refused += 1
    assert refused


# --------------------------------------------------------------------------------------------------- small promises
def test_a_packed_file_may_become_what_tables_become() -> None:
    assert allowed_bytes(1) == FLOOR
    assert allowed_bytes(FLOOR) == RATIO * FLOOR


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain\n\ttext", "plain\n\ttext"), ("\x1b[2J", "\\x1b[2J"), ("\x9bA", "\\x9bA"), ("a\rb", "a\\x0db"),
     ("\u202eabc", "\\u202eabc"), ("\udcff", "\\udcff"), ("é 收 \U0001f4a3", "é 收 \U0001f4a3")],
)  # fmt: skip
def test_a_terminal_shows_what_it_would_obey(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_the_page_has_every_case_and_says_what_is_asserted_here() -> None:
    kept = pd.read_csv(KEPT, keep_default_na=False)
    found = {(row.group, row.what): row for row in kept.itertuples()}
    assert set(found) == {(case.group, case.what) for case in CASES}
    for case in CASES:
        row = found[case.group, case.what]
        assert row.attempts == len(case.attempts), case.name
        assert row.outcome == " · ".join(sorted({attempt.outcome for attempt in case.attempts})), case.name
        assert not (row.evaluated or row.changed or row.started or row.crashed), case.name

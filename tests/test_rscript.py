"""The bridge without rpy2: the same values, answers and errors through Rscript."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ivbridge
from ivbridge.engines import rscript
from ivbridge.engines.process import RWorker
from ivbridge.engines.rserial import read_value, record, serialized
from ivbridge.engines.transfer import encode
from ivbridge.engines.wire import Vector
from ivbridge.errors import (
    IvbridgeError,
    RDiedError,
    RError,
    RMemoryError,
    RNotAvailableError,
    RTimeoutError,
    UnsupportedError,
)
from tests.cases import CASES, FEW_VCOVS, VCOVS, Case, frame

HERE = Path(__file__).parent
ROOT = HERE.parent
SCRIPTS = [HERE / "worker_faults.R", HERE / "rscript.R"]
RICH = "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3"


@pytest.fixture(scope="module")
def r() -> Iterator[RWorker]:
    with RWorker(scripts=SCRIPTS, timeout=60, bridge="rscript") as worker:
        yield worker


@pytest.fixture(scope="module")
def rpy2() -> Iterator[RWorker]:
    with RWorker(scripts=SCRIPTS, timeout=60, bridge="rpy2") as worker:
        yield worker


def child_of(pid: int) -> int:
    """The one process that this one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if f"\nPPid:\t{pid}\n" in path.read_text():
                found.append(int(path.parent.name))
    (child,) = found
    return child


def relay_of(worker: RWorker) -> int:
    worker.call("ivb_pid")
    assert worker.pid is not None
    return child_of(worker.pid)


# ---- values ------------------------------------------------------------------------------------------------------


def stamped(*texts: str | None, zone: str | None = None) -> pd.Series:
    return pd.Series(pd.to_datetime(list(texts))).dt.tz_localize(zone)


#: Python values, and R code that makes the same.
SENT = [
    (None, "NULL"),
    (True, "TRUE"),
    (3, "3L"),
    (2.5, "2.5"),
    (2**40, "2^40"),
    ("a", '"a"'),
    ("Zürich ≤ 数 😀", r'"Z\u00fcrich \u2264 \u6570 \U1F600"'),
    ("", '""'),
    ([True, None], "c(TRUE, NA)"),
    ([1, None], "c(1L, NA)"),
    (["b", None, "a", "b"], 'c("b", NA, "a", "b")'),
    ([], "character()"),
    ([1, ["a"]], 'list(1L, "a")'),
    ({"a": 1.5, "b": None, "c": {"d": "e"}}, 'list(a = 1.5, b = NULL, c = list(d = "e"))'),
    ({}, "structure(list(), names = character())"),
    (np.array([1.5, np.nan, np.inf, -0.0, 5e-324]), "c(1.5, NaN, Inf, -0, 2^-1074)"),
    (np.array([], dtype=float), "numeric()"),
    (np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int32), "rbind(1:3, 4:6)"),
    (np.zeros((0, 3)), "matrix(0, 0, 3)"),
    (pd.Series([1.5, None], dtype="Float64"), "c(1.5, NA)"),
    (pd.Categorical(["b", None, "a"], ["a", "b", "unused"]), 'factor(c("b", NA, "a"), c("a", "b", "unused"))'),
    (pd.Categorical(["lo"], ["lo", "hi"], ordered=True), 'factor("lo", c("lo", "hi"), ordered = TRUE)'),
    (pd.DataFrame({"a": [1.5, 2.5], "b": ["x", None]}), 'data.frame(a = c(1.5, 2.5), b = c("x", NA))'),
    (pd.DataFrame({"a": np.zeros(0)}), "data.frame(a = numeric())"),
    (pd.DataFrame(index=range(3)), "data.frame(row.names = 1:3)"),
    ([dt.date(2026, 11, 22), None], 'as.Date(c("2026-11-22", NA))'),
    (stamped("2026-11-22 05:00:01.5", None, zone="UTC"), '.POSIXct(c(1795323601.5, NA), "UTC")'),
    (stamped("2026-11-22", zone="Europe/Berlin"), 'as.POSIXct("2026-11-22", tz = "Europe/Berlin")'),
    (pd.Series(pd.to_timedelta([90], unit="s")), 'as.difftime(90, units = "secs")'),
]


@pytest.mark.parametrize(("value", "code"), SENT, ids=[code for _, code in SENT])
def test_r_holds_exactly_what_was_sent(r: RWorker, value: object, code: str) -> None:
    assert r.call("ivb_identical", x=value, text=code).value[0]


#: R code for values that come back; what has to come is what rpy2 brings, which test_transfer.py holds to its word.
RETURNED = [
    "ivb_values()",
    "list()",
    "structure(list(), names = character())",
    "c(TRUE, NA)",
    "1:100000",
    "seq(0, 1, length.out = 200000)",
    "as.character(c(200000:1, NA))",
    "rep(c('x', NA, 'y', ''), 50)",
    'structure(1:3, class = "factor", levels = c("a", "b", "c"))',
    "array(1:24, 2:4)",
    'matrix(1:4, 2, dimnames = list(c("a", "b"), NULL))',
    "c(a = 1, b = 2)",
    'data.frame(a = 1:2, row.names = c("x", "y"))',
    "data.frame(a = 1:4)[c(2, 4), , drop = FALSE]",
    "data.frame()",
    "data.frame(a = 1:3)[0, , drop = FALSE]",
    ".Date(c(1, NA))",
    ".Date(c(1L, NA))",
    'as.POSIXct(c(0.5, NA), tz = "UTC", origin = "1970-01-01")',
    'as.POSIXlt("2026-11-22", tz = "UTC")',
    'as.difftime(c(1, NA), units = "hours")',
    'structure(list(a = 1, b = "c"), class = "own", extra = mean)',
    'structure(1:2, class = "own", formula = y ~ x)',
    "list(1, list(2, NULL, list()))",
    'table(c("a", "b", "a"))',
    "replicate(100, 1:3, simplify = FALSE)",
    "lm(dist ~ speed, cars)$residuals",
    'addNA(factor(c("a", NA)))',
    'structure(3 * 2^-1074, class = "integer64")',
    "list(`NA` = 1)",
]


def same(one: Any, other: Any) -> bool:
    """Whether two records hold the same bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("code", RETURNED)
def test_what_r_returns_comes_back_as_through_rpy2(r: RWorker, rpy2: RWorker, code: str) -> None:
    ours, theirs = (worker.call("ivb_value", text=code).record for worker in (r, rpy2))
    assert same(ours, theirs), f"{ours} is not {theirs}"


def test_same_notices_a_bit() -> None:
    one, other = (Vector("double", np.array([x])) for x in (0.0, -0.0))
    assert same(one, one)
    assert not same(one, other)


UNSENDABLE = [
    "mean",
    "globalenv()",
    "quote(a + b)",
    "1i",
    "as.raw(1)",
    "y ~ x",
    "list(a = sum)",
    "list(1, list(b = environment()))",
    "list(a = 1, a = 2)",
    "list(c = list(a = 1, 2))",
    "structure(list(1), names = NA_character_)",
    'structure(3L, levels = "a", class = "factor")',
    "structure(pi, class = 'integer64')",
    r'c("fine", "\xff")',
]


@pytest.mark.parametrize("code", UNSENDABLE)
def test_what_cannot_be_sent_is_refused_in_the_same_words(r: RWorker, rpy2: RWorker, code: str) -> None:
    said = []
    for worker in (r, rpy2):
        with pytest.raises(RError, match=r"^value") as caught:
            worker.call("ivb_value", text=code)
        said.append((str(caught.value), caught.value.classes, caught.value.call))
    assert said[0] == said[1]
    assert said[0][1][0] == "ivb_unsendable"
    assert r.call("ivb_echo", x=1.5).value[0] == 1.5


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1)), st.lists(st.one_of(st.none(), TEXTS)))
def test_every_bit_and_every_text_survives(r: RWorker, bits: list[int], texts: list[str | None]) -> None:
    doubles = np.array(bits, dtype=np.uint64).view(np.float64)
    found = r.call("ivb_echo", x={"doubles": doubles, "texts": pd.Series(texts, dtype=object)}).value
    assert found["doubles"].tobytes() == doubles.tobytes()
    assert found["texts"] == texts


@settings(max_examples=200, deadline=None)
@example(noise=b"\r" + bytes(6) + b"\x80" + bytes(3) + b"\x01" + bytes(4))  # a vector of 2^56 numbers
@given(st.binary(max_size=200))
def test_bytes_that_are_no_value_are_an_error(noise: bytes) -> None:
    start = b"".join(serialized(None))[:-4]
    with contextlib.suppress(EOFError, ValueError):
        read_value(io.BufferedReader(io.BytesIO(start + noise)))  # type: ignore[arg-type]


def test_lengths_beyond_2_to_the_31_are_written_as_r_writes_them() -> None:
    huge = np.broadcast_to(np.zeros(1), 2**31)
    head = b"".join(serialized_head(huge))
    # 14: double; -1, then the two halves of the length: R's WriteLENGTH
    assert head == struct.pack("=iiII", 14, -1, 0, 2**31)


def serialized_head(values: np.ndarray[Any, Any]) -> list[bytes]:
    """Kind and length as they are written for an array that is not."""
    from ivbridge.engines import rserial

    return [rserial._flags(14, {}), rserial._length(values.size)]


def test_a_value_cut_short_is_an_error() -> None:
    whole = b"".join(serialized(encode(pd.DataFrame({"a": [1.5], "b": ["x"]}))))
    assert record(read_value(io.BufferedReader(io.BytesIO(whole)))) is not None  # type: ignore[arg-type]
    for size in range(len(whole)):
        with pytest.raises(EOFError):
            read_value(io.BufferedReader(io.BytesIO(whole[:size])))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not R's binary serialization"):
        read_value(io.BufferedReader(io.BytesIO(b"X\n" + whole[2:])))  # type: ignore[arg-type]


# ---- answers -----------------------------------------------------------------------------------------------------


def through(bridge: str, monkeypatch: pytest.MonkeyPatch, work: Any) -> Any:
    """What `work` returns in a thread whose R is reached through this bridge."""
    monkeypatch.setenv("IVBRIDGE_R_BRIDGE", bridge)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def numbers(estimate: ivbridge.Estimate) -> list[bytes]:
    """Every number of an estimate, bit by bit."""
    found: list[bytes] = []

    def visit(part: Any) -> None:
        if isinstance(part, np.ndarray):
            found.append(part.tobytes())
        elif isinstance(part, float | int):
            found.append(struct.pack("d", part))
        elif isinstance(part, Mapping):
            for one in part.values():
                visit(one)
        elif isinstance(part, list | tuple):
            for one in part:
                visit(one)
        elif isinstance(part, ivbridge.Test) or type(part).__name__ in ("Coefficients", "FirstStage", "Seen"):
            visit([getattr(part, field.name) for field in dataclasses.fields(part)])

    visit([getattr(estimate, field.name) for field in dataclasses.fields(estimate) if field.name != "spec"])
    return found


def compared(monkeypatch: pytest.MonkeyPatch, questions: list[tuple[Case, str]]) -> int:
    """Ask each question through both bridges, expect the same bits, and return how many there were."""
    data = frame()

    def answers() -> list[list[bytes] | str]:
        found: list[list[bytes] | str] = []
        for case, vcov in questions:
            try:
                found.append(numbers(ivbridge.fit(case.formula, data, vcov, "r", **case.options)))
            except IvbridgeError as error:
                found.append(str(error))
        return found

    ours, theirs = (through(bridge, monkeypatch, answers) for bridge in ("rscript", "rpy2"))
    for question, one, other in zip(questions, ours, theirs, strict=True):
        assert one == other, question
    return sum(map(len, ours))


def test_the_same_bits_as_through_rpy2(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [case for case in CASES if case.name in ("two endogenous", "weights", "missing values", "strings")]
    assert len(some) == 4
    assert compared(monkeypatch, [(case, vcov) for case in some for vcov in ("HC1", "cluster(g)")]) > 100


@pytest.mark.slow
def test_the_same_bits_for_every_question_and_vcov(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [(case, vcov) for case in CASES for vcov in FEW_VCOVS]
    everything += [(Case("rich", RICH), vcov) for vcov in VCOVS]
    assert compared(monkeypatch, everything) > 1000


def test_a_whole_check(monkeypatch: pytest.MonkeyPatch) -> None:
    check = through("rscript", monkeypatch, lambda: ivbridge.crosscheck(RICH, frame(), ["HC1", "cluster(g)"]))
    check.assert_ok()
    versions = {p.engine: p.versions for p in check.provenance}
    assert versions["r"]["bridge"] == "Rscript"
    check = through("rpy2", monkeypatch, lambda: ivbridge.crosscheck(RICH, frame(), ["HC1"]))
    assert {p.engine: p.versions for p in check.provenance}["r"]["bridge"].startswith("rpy2 3.")


@pytest.mark.slow
@pytest.mark.parametrize(
    "tests",
    ["test_worker.py", "test_faults.py", "test_transfer.py", "test_crosscheck.py test_kclass.py test_weakiv.py"],
)
def test_what_is_tested_of_the_r_process_holds_for_this_bridge(tests: str) -> None:
    # in these two the limit leaves room for R alone, but not for R and Python in one process
    fit = [f"--deselect=tests/test_faults.py::test_fault[memory limit: {what}]" for what in ("arguments", "value")]
    files = [str(HERE / name) for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *fit, *files]
    done = subprocess.run(command, env={**os.environ, "IVBRIDGE_R_BRIDGE": "rscript"}, cwd=ROOT, capture_output=True,
                          text=True, timeout=1500, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize(
    "code",
    [
        ".libPaths()",
        "search()",
        "Sys.getlocale()",
        "R.home()",
        "RNGkind()",
        "interactive()",
        "unlist(lapply(c('contrasts', 'digits', 'na.action', 'OutDec', 'scipen', 'warn', 'expressions'), getOption))",
    ],
)
def test_surroundings_that_change_answers_are_the_same(r: RWorker, rpy2: RWorker, code: str) -> None:
    ours, theirs = (worker.call("ivb_value", text=code).record for worker in (r, rpy2))
    assert same(ours, theirs), f"{ours} is not {theirs}"


# ---- which bridge ------------------------------------------------------------------------------------------------


@pytest.fixture
def no_rpy2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An rpy2 that cannot be loaded stands before the real one in the R process."""
    fake = tmp_path / "rpy2" / "rinterface_lib"
    fake.mkdir(parents=True)
    (tmp_path / "rpy2" / "__init__.py").touch()
    (fake / "__init__.py").touch()
    (fake / "embedded.py").write_text("raise ImportError('undefined symbol: R_ParentEnv')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("IVBRIDGE_R_BRIDGE", raising=False)


def test_rpy2_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IVBRIDGE_R_BRIDGE", raising=False)
    with RWorker(scripts=SCRIPTS) as worker:
        assert (worker.bridge, worker.connection) == ("auto", "Auto")
        assert worker.call("ivb_echo", x=1.5).value[0] == 1.5
        assert (worker.bridge, worker.no_rpy2) == ("rpy2", "")
        assert worker.connection.startswith("rpy2 3.")


def test_rscript_where_rpy2_cannot_be_loaded(no_rpy2: None) -> None:
    with RWorker(scripts=SCRIPTS) as worker:
        assert worker.call("ivb_echo", x=1.5).value[0] == 1.5
        assert worker.bridge == "rscript"
        assert "undefined symbol: R_ParentEnv" in worker.no_rpy2
        assert worker.connection == "Rscript (rpy2 cannot be loaded)"
        with pytest.raises(RDiedError, match="exit code 7"):
            worker.call("ivb_quit", status=7)
        assert worker.call("ivb_echo", x=1.5).value[0] == 1.5
        assert "/libR" not in Path(f"/proc/{relay_of(worker)}/maps").read_text()


def test_rpy2_or_nothing(no_rpy2: None) -> None:
    with RWorker(scripts=SCRIPTS, bridge="rpy2") as worker, pytest.raises(RNotAvailableError, match="R_ParentEnv"):
        worker.call("ivb_echo", x=1.5)


def test_provenance_says_that_rpy2_could_not_be_loaded(no_rpy2: None) -> None:
    with ThreadPoolExecutor(1) as pool:
        estimate = pool.submit(ivbridge.fit, RICH, frame(), "HC1", "r").result()
    assert estimate.provenance.versions["bridge"] == "Rscript (rpy2 cannot be loaded)"


def test_the_environment_chooses_and_the_argument_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVBRIDGE_R_BRIDGE", "rscript")
    assert RWorker(scripts=SCRIPTS).bridge == "rscript"
    assert RWorker(scripts=SCRIPTS, bridge="rpy2").bridge == "rpy2"
    monkeypatch.setenv("IVBRIDGE_R_BRIDGE", "pipe")
    with pytest.raises(UnsupportedError, match=r"no bridge 'pipe' to R. Available: auto, rpy2, rscript"):
        RWorker(scripts=SCRIPTS)


def test_an_r_without_rscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library" / "base").mkdir(parents=True)
    (tmp_path / "library" / "base" / "DESCRIPTION").write_text("Package: base\nVersion: 4.5.1\n")
    monkeypatch.setenv("R_HOME", str(tmp_path))
    with RWorker(bridge="rscript") as worker, pytest.raises(RNotAvailableError, match=r"no .*bin/Rscript.*reinstall R"):
        worker.call("ivb_provenance")


def test_a_broken_script_is_not_forgotten_over_the_next(tmp_path: Path) -> None:
    broken = tmp_path / "broken.R"
    broken.write_text("ivb_f <- function( {\n")
    with RWorker(scripts=[broken, *SCRIPTS], bridge="rscript") as worker, pytest.raises(RError, match="unexpected"):
        worker.call("ivb_pid")


# ---- faults ------------------------------------------------------------------------------------------------------


def test_r_speaks_as_through_rpy2(r: RWorker) -> None:
    reply = r.call("ivb_signals")
    assert (reply.value, reply.warnings[0], reply.messages) == (["done"], "first", ("said\n",))
    with pytest.raises(RError, match=r"^boom$") as caught:
        r.call("ivb_stop", text="boom")
    assert (caught.value.classes[0], caught.value.call) == ("simpleError", "ivb_stop(text = text)")
    with pytest.raises(UnsupportedError, match=r"not a public function. Available: .*ivb_echo"):
        r.call("quit")
    output = r.call("ivb_chatter", lines=3).output
    assert output.splitlines()[:5] == ["line 1", "line 2", "line 3", '[1] "printed"', "from a subprocess"]


def test_what_c_code_prints_belongs_to_its_call(r: RWorker) -> None:
    assert sorted(r.call("ivb_printf_c").output.split()) == ["first", "second"]


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        ("ivb_loop", {}, RTimeoutError, "took longer than 0.5 s"),
        ("ivb_system", {"seconds": 4321}, RTimeoutError, "took longer than 0.5 s"),
        ("ivb_quit", {"status": 7}, RDiedError, "exit code 7"),
        ("ivb_quit_beside", {"seconds": 4322}, RDiedError, "exit code 3"),
        ("ivb_signal", {"number": 9}, RDiedError, "SIGKILL"),
        ("ivb_signal", {"number": 11}, RDiedError, r"SIGSEGV|exit code"),
        ("ivb_recurse", {}, RError, r"infinite recursion|C stack"),
        ("ivb_abort", {}, RError, "top level"),
        ("ivb_allocate", {"n": 1e13}, RMemoryError, "cannot allocate"),
    ],
)
def test_a_fault_is_an_error_at_once_and_the_next_call_works(
    r: RWorker, function: str, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    r.call("ivb_pid")
    begun = time.monotonic()
    with pytest.raises(error, match=message):
        r.call(function, timeout=0.5 if error is RTimeoutError else 60, **arguments)
    # a second from the event to the error, and the half that was asked; the rest is room for a busy machine
    assert time.monotonic() - begun < 5
    assert r.call("ivb_echo", x=2.5).value[0] == 2.5


@pytest.mark.parametrize(("held", "sent"), [(80e6, 40_000_000), (1.0, 120_000_000)], ids=["R", "relay"])
def test_memory_that_arguments_do_not_fit_into(held: float, sent: int) -> None:
    """8 bytes each: with 0.64 GB held a 0.32 GB argument fits into the relay but not into R; 0.96 GB into neither."""
    with RWorker(scripts=SCRIPTS, bridge="rscript", memory_bytes=1e9) as worker:
        before = worker.call("ivb_hold", n=held).value[0]
        with pytest.raises(RMemoryError):
            worker.call("ivb_echo", x=np.zeros(sent))
        assert worker.call("ivb_pid").value[0] == before
        assert worker.call("ivb_echo", x=1.5).value[0] == 1.5


def test_r_code_that_closes_every_connection(r: RWorker, tmp_path: Path) -> None:
    before = r.call("ivb_pid").value[0]
    assert r.call("ivb_close_connections").value == ["closed"]
    assert r.call("ivb_other_connections", path=str(tmp_path / "mine")).value == ["opened"]
    assert r.call("ivb_close_connections").value == ["closed"]
    assert r.call("ivb_pid").value[0] == before
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0] * 4


def test_the_relay_killed(r: RWorker) -> None:
    before, relay = r.pid, relay_of(r)
    os.kill(relay, signal.SIGKILL)
    give_up = time.monotonic() + 15  # only bounds a failing test
    while r.pid is not None and time.monotonic() < give_up:
        time.sleep(0.02)
    assert r.call("ivb_pid").value[0] != before
    threading.Timer(0.5, os.kill, (relay_of(r), signal.SIGKILL)).start()
    with pytest.raises(RDiedError):
        r.call("ivb_loop", timeout=20)


def gone(pid: int) -> bool:
    """Whether the process ends within seconds; the limit only bounds a failing test."""
    give_up = time.monotonic() + 15
    while time.monotonic() < give_up:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def processor_seconds(pid: int) -> float:
    """How long the process has computed."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]
    return int(ticks) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("function", ["ivb_loop", "ivb_pid"])
def test_nothing_outlives_the_parent(function: str) -> None:
    code = f"""
from ivbridge.engines import rscript
from ivbridge.engines.process import RWorker
worker = RWorker(scripts={list(map(str, SCRIPTS))!r}, bridge="rscript")
print(worker.call("ivb_pid").value[0], worker.call("ivb_getwd").value[0], flush=True)
worker.call({function!r})
import time
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        r, directory = parent.stdout.readline().split()
        relay = child_of(int(r))
        if function == "ivb_loop":
            busy = processor_seconds(int(r)) + 0.2
            while processor_seconds(int(r)) < busy:
                time.sleep(0.02)
        parent.kill()
        parent.wait()
        assert gone(int(r))
        assert gone(relay)
        assert not Path(directory).parent.exists()


def test_large_values_leave_nothing_open(r: RWorker) -> None:
    big = np.arange(500_000.0)
    relay = relay_of(r)

    def open_files() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), r.pid, relay)]

    before = open_files()
    for _ in range(3):
        assert np.array_equal(r.call("ivb_echo", x=big).value, big)
    give_up = time.monotonic() + 15  # only bounds a failing test
    while open_files() != before and time.monotonic() < give_up:
        time.sleep(0.05)
    assert open_files() == before


@pytest.mark.parametrize("memory", [True, False])
def test_a_passed_file_can_be_opened_by_name_and_is_gone_afterwards(
    memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not memory:
        monkeypatch.delattr(os, "memfd_create")
    with rscript._passed_file(tmp_path) as (descriptor, path):
        os.write(descriptor, b"what R reads")
        assert Path(path).read_bytes() == b"what R reads"
        assert Path(path).is_relative_to(tmp_path) is not memory
    assert not list(tmp_path.iterdir())

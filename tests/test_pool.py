"""Workers that share out tasks: the answers of one worker, in order, whoever dies and however often it is stopped."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge import many, study
from ivbridge.agreement import Agreement
from ivbridge.cli import app
from ivbridge.crew import FailedTask, answers
from ivbridge.engines.limits import memory_now, r_limits, timeout_now
from ivbridge.engines.process import RReply, RWorker
from ivbridge.errors import (
    DataError,
    EngineError,
    RDiedError,
    RError,
    RNotAvailableError,
    RTimeoutError,
    UnsupportedError,
)
from ivbridge.packing import digest, pack, unpack
from ivbridge.processes import PythonProcess, python_processes
from ivbridge.questions import Question

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).with_name("pool.R")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


@pytest.fixture(scope="module")
def pool() -> Iterator[ivbridge.RPool]:
    with ivbridge.RPool(2, scripts=[SCRIPT], timeout=60) as workers:
        yield workers


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def values(replies: list[RReply | FailedTask]) -> list[Any]:
    return [reply.value.tolist() if isinstance(reply, RReply) else str(reply) for reply in replies]


class TestRPool:
    def test_answers_are_those_of_one_worker_in_order(self, pool: ivbridge.RPool) -> None:
        """Calls that take longer the earlier they come, so that they end in another order."""
        calls = [{"seed": i, "seconds": 0.3 * (i == 1)} for i in range(1, 21)]
        order: list[str] = []
        replies = pool.map("ivb_mean", calls, progress=lambda _done, _total, what: order.append(what))
        with RWorker(scripts=[SCRIPT]) as one:
            alone = [one.call("ivb_mean", **call) for call in calls]
        assert [pickle.dumps(reply) for reply in replies] == [pickle.dumps(reply) for reply in alone]
        assert order[0] == "starting"
        assert sorted(order[1:]) == sorted(f"ivb_mean() {i}" for i in range(1, 21))
        assert order[1] != "ivb_mean() 1"

    def test_every_worker_works(self, pool: ivbridge.RPool) -> None:
        pool.map("ivb_mean", [{"seed": 1, "seconds": 0.3}] * 2)
        pids = {reply.value.item() for reply in pool.map("ivb_pid", [{}] * 40) if isinstance(reply, RReply)}
        assert pids == {worker.pid for worker in pool.workers}
        assert len(pids) == 2

    def test_a_worker_that_dies_is_replaced_and_its_task_tried_again(
        self, pool: ivbridge.RPool, tmp_path: Path
    ) -> None:
        before = {worker.pid for worker in pool.workers}
        calls = [{"seed": i, "only": 3, "once": str(tmp_path / "died")} for i in range(1, 7)]
        assert values(pool.map("ivb_die", calls)) == [[float(i)] for i in range(1, 7)]
        assert (tmp_path / "died").exists()
        assert len({worker.pid for worker in pool.workers} & before) == 1

    def test_what_fails_is_reported_by_name_and_the_others_finish(self, pool: ivbridge.RPool) -> None:
        found = pool.map("ivb_die", [{"seed": i, "only": 2} for i in (1, 2, -1, 4)])
        assert values([found[0], found[3]]) == [[1.0], [4.0]]
        died, raised = found[1], found[2]
        assert isinstance(died, FailedTask)
        assert isinstance(raised, FailedTask)
        assert (died.task, type(died.error), died.attempts) == ("ivb_die() 2", RDiedError, 2)
        assert (raised.task, type(raised.error), raised.attempts) == ("ivb_die() 3", RError, 1)
        assert str(raised).startswith("ivb_die() 3: minus one")

    def test_a_call_that_takes_too_long_is_not_tried_again(self, pool: ivbridge.RPool, tmp_path: Path) -> None:
        calls = [{"seed": i, "seconds": 30 * (i == 1), "log": str(tmp_path / "log")} for i in (1, 2)]
        late, other = pool.map("ivb_mean", calls, timeout=1)
        assert isinstance(late, FailedTask)
        assert (type(late.error), late.attempts) == (RTimeoutError, 1)
        assert isinstance(other, RReply)
        assert sorted((tmp_path / "log").read_text().split()) == ["1", "2"]

    def test_limits_of_the_block_hold_in_the_pool(self) -> None:
        with ivbridge.RPool(1, scripts=[SCRIPT]) as one, r_limits(timeout=0.5):
            (late,) = one.map("ivb_mean", [{"seed": 1, "seconds": 30}])
        assert isinstance(late, FailedTask)
        assert isinstance(late.error, RTimeoutError)

    def test_an_argument_that_r_cannot_hold_fails_alone(self, pool: ivbridge.RPool) -> None:
        bad, good = pool.map("ivb_mean", [{"seed": 2**60 + 1}, {"seed": 1}])
        assert isinstance(bad, FailedTask)
        assert isinstance(bad.error, DataError)
        assert isinstance(good, RReply)

    def test_without_r_nothing_can_be_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("R_HOME", "/nowhere")
        with ivbridge.RPool(2, scripts=[SCRIPT]) as none, pytest.raises(RNotAvailableError):
            none.map("ivb_pid", [{}] * 10)

    def test_no_calls_and_no_workers(self, pool: ivbridge.RPool) -> None:
        assert pool.map("ivb_pid", []) == []
        with pytest.raises(UnsupportedError, match="workers=0"):
            ivbridge.RPool(0)
        assert len(ivbridge.RPool().workers) == len(os.sched_getaffinity(0))


class TestRPoolFile:
    def test_it_goes_on_after_an_interrupt(self, pool: ivbridge.RPool, tmp_path: Path) -> None:
        path, log = tmp_path / "calls.jsonl", tmp_path / "log"
        calls = [{"seed": i, "seconds": 30 * (i == 5), "log": str(log)} for i in range(1, 9)]

        def interrupted(done: int, _total: int, _what: str) -> None:
            if done == 4:
                raise KeyboardInterrupt

        pool.map("ivb_pid", [{}] * 2)
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            pool.map("ivb_mean", calls, path=path, progress=interrupted)
        assert time.monotonic() - start < 15  # the fifth call takes 30
        done = {json.loads(line)["task"] for line in path.read_text().splitlines()[1:]}
        assert {0, 1, 2} < done
        log.write_text("")
        first: list[tuple[int, int, str]] = []
        quick = [*calls[:4], *({**call, "seconds": 0} for call in calls[4:])]
        found = pool.map("ivb_mean", quick, path=path, progress=lambda *now: first.append(now))
        assert first[0] == (len(done), 8, f"{len(done)} answers were there")
        assert {int(seed) - 1 for seed in log.read_text().split()} == set(range(8)) - done
        assert values(found) == values(pool.map("ivb_mean", [{"seed": i} for i in range(1, 9)]))

    def test_replies_keep_every_bit(self, pool: ivbridge.RPool, tmp_path: Path) -> None:
        calls = [{"seed": i} for i in (1, 2)]
        fresh = pool.map("ivb_values", calls, path=tmp_path / "j")
        kept = pool.map("ivb_values", calls, path=tmp_path / "j")
        assert kept[0] is not fresh[0]
        for one, other in zip(fresh, kept, strict=True):
            assert isinstance(one, RReply)
            assert isinstance(other, RReply)
            assert digest(other) == digest(one)
            assert (other.warnings, other.messages, other.output) == (one.warnings, one.messages, one.output)
            doubles = other.value["doubles"]
            assert doubles.tobytes() == one.value["doubles"].tobytes()
            assert doubles[:1].view(np.uint64)[0] & 0xFFFFFFFF == 1954  # R's NA is no other NaN
            assert np.signbit(doubles[2])
            assert repr(other.value) == repr(one.value)
        assert other.value["text"] == ["é", None, "NaN", ""]
        assert other.warnings == ("warned",)
        assert other.output == "printed\n"

    def test_a_failure_is_not_kept(self, pool: ivbridge.RPool, tmp_path: Path) -> None:
        calls = [{"seed": i} for i in (1, -1)]
        pool.map("ivb_die", calls, path=tmp_path / "j")
        assert len((tmp_path / "j").read_text().splitlines()) == 2
        assert isinstance(pool.map("ivb_die", calls, path=tmp_path / "j")[1], FailedTask)

    def test_answers_to_something_else_are_refused(self, pool: ivbridge.RPool, tmp_path: Path) -> None:
        path = tmp_path / "j"
        pool.map("ivb_mean", [{"seed": 1}], path=path)
        with pytest.raises(DataError, match="other arguments for call 1"):
            pool.map("ivb_mean", [{"seed": 2}], path=path)
        with pytest.raises(DataError, match="another function"):
            pool.map("ivb_die", [{"seed": 1}], path=path)
        about, row = map(json.loads, path.read_text().splitlines())
        for damaged in ({"task": "0"}, {**row, "reply": {"value": 1}}, {**row, "reply": None}):
            path.write_text(f"{json.dumps(about)}\n{json.dumps(damaged)}\n")
            with pytest.raises(DataError, match=r"no answer of R|no packed RReply"):
                pool.map("ivb_mean", [{"seed": 1}], path=path)

    def test_ctrl_c_ends_every_process(self, tmp_path: Path) -> None:
        """A script that is interrupted for good: SIGINT to its process, as a terminal sends it."""
        script = tmp_path / "long.py"
        calls = '[{"seed": i, "seconds": 60 * (i > 2)} for i in range(1, 7)]'
        script.write_text(
            "import ivbridge\n"
            f"with ivbridge.RPool(2, scripts=[{str(SCRIPT)!r}]) as pool:\n"
            "    for worker in pool.workers: print(worker.call('ivb_pid').value.item(), flush=True)\n"
            f"    pool.map('ivb_mean', {calls}, path={str(tmp_path / 'j')!r})\n"
        )
        started = subprocess.Popen([sys.executable, str(script)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.PIPE)  # fmt: skip
        assert started.stdout is not None
        pids = [int(started.stdout.readline()) for _ in range(2)]
        path = tmp_path / "j"
        give_up = time.monotonic() + 30
        while not (path.exists() and path.read_bytes().count(b"\n") == 3) and time.monotonic() < give_up:
            time.sleep(0.02)
        start = time.monotonic()
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=30)
        assert time.monotonic() - start < 10  # the calls take 60
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert not any(map(running, pids))


@dataclass(frozen=True)
class Held:
    """Something that is packed."""

    name: str
    numbers: np.ndarray[Any, np.dtype[np.float64]]


class TestPacking:
    def test_an_array_is_written_once(self) -> None:
        numbers = np.arange(1000.0)
        packed = pack([Held("a", numbers), Held("b", numbers.copy()), Held("c", numbers[::2])])
        assert len(packed["arrays"]) == 2
        back = unpack(list[Held], json.loads(json.dumps(packed)))
        assert [one.name for one in back] == ["a", "b", "c"]
        assert back[1].numbers.tolist() == numbers.tolist()
        back[0].numbers[0] = 5.0
        assert back[2].numbers.tolist() == numbers[::2].tolist()

    def test_the_same_bytes_of_another_shape_or_type_are_another_array(self) -> None:
        arrays = [np.zeros(4), np.zeros((2, 2)), np.zeros(4, np.int64)]
        back = unpack(list[np.ndarray], json.loads(json.dumps(pack(arrays))))
        assert [(one.shape, one.dtype) for one in back] == [(one.shape, one.dtype) for one in arrays]

    def test_what_differs_in_a_bit_differs(self) -> None:
        assert digest([0.0]) != digest([-0.0])
        assert digest(np.zeros(2)) != digest(-np.zeros(2))
        assert digest(np.zeros(4)) != digest(np.zeros((2, 2)))
        assert digest(np.zeros(2, np.int64)) != digest(np.zeros(2))
        assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})

    def test_objects_are_refused(self) -> None:
        with pytest.raises(DataError, match="dtype object"):
            pack(np.array([{}]))


def limits(_task: int) -> tuple[float, int | None]:
    return timeout_now(), memory_now()


class Inline:
    """A member that does its work here; `dying` holds the tasks over which it dies, once for each mention."""

    def __init__(self, function: Callable[[Any], Any], dying: Sequence[Any] = ()) -> None:
        self.function, self.dying, self.asked = function, list(dying), []

    def start(self) -> None:
        """Nothing to do."""

    def kill(self) -> None:
        """Nothing to do."""

    def ask(self, task: Any) -> Any:
        """The function's answer."""
        self.asked.append(task)
        if task in self.dying:
            self.dying.remove(task)
            raise BrokenProcessPool
        return self.function(task)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are asked in this process."""

    @contextmanager
    def members(function: Callable[[Any], Any], number: int) -> Iterator[list[Inline]]:
        yield [Inline(function) for _ in range(number)]

    monkeypatch.setattr(many, "python_processes", members)


class TestAnswers:
    def test_what_dies_is_asked_once_more(self) -> None:
        member = Inline(lambda task: 10 * task, dying=[1, 2, 2])
        found = dict(answers([member], ["a", "b", "c", "d"], [0, 1, 2, 3]))
        assert member.asked == [0, 1, 1, 2, 2, 3]
        failed = found.pop(2)
        assert found == {0: 0, 1: 10, 3: 30}
        assert isinstance(failed, FailedTask)
        assert (failed.task, failed.attempts, type(failed.error)) == ("c", 2, EngineError)

    def test_a_fault_stops_the_others(self) -> None:
        member = Inline(lambda task: 1 / task)
        with pytest.raises(ZeroDivisionError):
            list(answers([member], list("abc"), [1, 0, *[5] * 1]))
        assert len(member.asked) <= 3

    def test_what_is_not_wanted_any_more_is_not_asked(self) -> None:
        member = Inline(lambda task: time.sleep(0.05))
        arriving = answers([member], ["a"] * 100, range(100))
        next(arriving)
        arriving.close()
        asked = len(member.asked)
        assert asked < 50
        time.sleep(0.2)
        assert len(member.asked) == asked


class TestPythonProcesses:
    def test_limits_of_the_block_hold_in_the_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IVBRIDGE_R_TIMEOUT", "77")
        with r_limits(memory_bytes=2e9), python_processes(limits, 1) as (process,):
            process.start()
            assert process.ask(0) == (77.0, 2_000_000_000)

    def test_a_function_that_cannot_be_sent_is_no_death(self) -> None:
        with PythonProcess(lambda task: task) as process, pytest.raises((pickle.PicklingError, AttributeError)):
            list(answers([process], ["a"], [1]))

    def test_a_script_without_its_guard_says_so(self, tmp_path: Path) -> None:
        script = tmp_path / "unguarded.py"
        script.write_text(
            "import ivbridge\n"
            "ask = ivbridge.Question('a', 'Q ~ P + D | D + F', 'kmenta', ('HC0',), engines=('native', 'native'))\n"
            "ivbridge.crosscheck_many([ask], workers=1)\n"
        )
        done = subprocess.run(
            [sys.executable, str(script)], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert 'put the call below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


FORMULA = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
QUESTIONS = (
    Question("cigarettes", FORMULA, "cigarettes_sw", ("HC1", "cluster(state)"), "population", inference="z"),
    Question("food", "Q ~ P + D | D + F + A", "kmenta", ("HC0",), method="liml"),
    Question("wrong", "Q ~ nothere | D", "kmenta", ("HC0",)),
    Question("nowhere", "y ~ x | z", "no_such.csv", ("HC0",)),
    Question("mine", "y ~ [x ~ z1 + z2] + f", "mine", ("classical",)),
)  # fmt: skip


def made(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    z, u = rng.standard_normal((n, 2)), rng.standard_normal(n)
    x = z.sum(axis=1) + u
    levels = pd.Categorical(rng.choice(["b", "a"], n), ["b", "a", "unused"])
    return pd.DataFrame({"y": x - u, "x": x, "z1": z[:, 0], "z2": z[:, 1], "f": levels, "note": [["unhashable"]] * n})


def told(agreement: Agreement) -> str:
    """Everything in it but the time."""
    return re.sub(r'"recorded_on": "[^"]*"', "", json.dumps(pack(agreement)))


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[many.Entry], Path, list[tuple[int, int, str]]]:
    path, seen = tmp_path_factory.mktemp("many") / "answers.jsonl", []
    entries = ivbridge.crosscheck_many(
        QUESTIONS, {"mine": made()}, workers=2, path=path, progress=lambda *now: seen.append(now)
    )
    return entries, path, seen


class TestManyQuestions:
    def test_answers_are_those_of_crosscheck_in_order(self, answered: Any) -> None:
        entries, _, seen = answered
        assert [entry.name for entry in entries] == [question.name for question in QUESTIONS]
        assert [entry.verdict for entry in entries[2:4]] == ["could not run"] * 2
        assert "nothere" in str(entries[2].outcome)
        assert "no_such.csv" in str(entries[3].outcome)
        sources = {**{name: ivbridge.read(name) for name in ("cigarettes_sw", "kmenta")}, "mine": made()}
        for i in (0, 1, 4):
            question = QUESTIONS[i]
            alone = ivbridge.crosscheck(
                question.formula, sources[question.data], question.vcovs, weights=question.weights,
                inference=question.inference, method=question.method,
            )  # fmt: skip
            assert told(entries[i].outcome) == told(alone)
            assert entries[i].outcome.to_json().replace(" ", "")[:200] == alone.to_json().replace(" ", "")[:200]
            assert entries[i].outcome.ok
        assert seen[0] == (1, 5, "1 answers were there")
        assert seen[-1][:2] == (5, 5)

    def test_estimates_come_without_their_matrices(self, answered: Any) -> None:
        estimate = answered[0][0].outcome.comparisons[0].candidate
        assert not estimate.seen.has_matrices
        assert len(estimate.resid) == estimate.n
        assert "Residuals:" in estimate.summary()

    def test_what_the_file_answers_is_not_asked_again(self, answered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        entries, path, _ = answered
        seen: list[tuple[int, int, str]] = []
        kept = [i for i in range(5) if i != 2]
        monkeypatch.setattr(PythonProcess, "start", lambda _: pytest.fail("a process was started"))
        again = ivbridge.crosscheck_many(
            [QUESTIONS[i] for i in kept], {"mine": made()}, path=path, progress=lambda *now: seen.append(now)
        )
        assert seen == [(4, 4, "4 answers were there")]
        for one, i in zip(again, kept, strict=True):
            if i != 3:
                assert pack(one.outcome) == pack(entries[i].outcome)

    @pytest.mark.usefixtures("inline")
    def test_a_changed_question_and_changed_data_are_asked_again(self, answered: Any, tmp_path: Path) -> None:
        path = tmp_path / "answers.jsonl"
        path.write_bytes(answered[1].read_bytes())
        engines = ("native", "native")
        frame = made()
        changed = Question("cigarettes", FORMULA, "cigarettes_sw", ("HC1",), engines=engines)
        mine = Question("mine", "y ~ [x ~ z1 + z2] + f", "mine", ("classical",), engines=engines)
        lines = path.read_text().count("\n")
        ivbridge.crosscheck_many([changed, mine], {"mine": frame}, workers=1, path=path)
        assert path.read_text().count("\n") == lines + 2
        for other in (
            frame.assign(y=frame["y"] + 1),
            frame.assign(f=frame["f"].cat.reorder_categories(["a", "b", "unused"])),
        ):
            before = path.read_text().count("\n")
            ivbridge.crosscheck_many([changed, mine], {"mine": other}, workers=1, path=path)
            assert path.read_text().count("\n") == before + 1

    def test_questions_need_names_of_their_own(self) -> None:
        with pytest.raises(DataError, match="the name 'food'"):
            ivbridge.crosscheck_many([QUESTIONS[1], QUESTIONS[1]])
        assert ivbridge.crosscheck_many([]) == []

    def test_a_file_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with (
            study.Journal.opened(tmp_path / "j", {"rows": "something else"}),
            pytest.raises(DataError, match="Another"),
        ):
            ivbridge.crosscheck_many(QUESTIONS[:1], path=tmp_path / "j")
        with pytest.raises(DataError, match="another rows"):
            ivbridge.crosscheck_many(QUESTIONS[:1], path=tmp_path / "j")

    @pytest.mark.usefixtures("inline")
    def test_the_command_says_the_same_with_workers(self, tmp_path: Path) -> None:
        file = tmp_path / "questions.toml"
        file.write_text(
            '[defaults]\ndata = "kmenta"\nvcov = "HC0"\nengines = ["native", "native"]\n'
            '[[question]]\nname = "one"\nformula = "Q ~ P + D | D + F"\n'
            '[[question]]\nname = "two"\nformula = "Q ~ nothere | D"\n'
        )
        resume = ["--resume", str(tmp_path / "j")]
        said = [
            CliRunner().invoke(app, ["check", str(file), *more])
            for more in ([], ["--workers", "2"], ["--workers", "1", *resume], resume)
        ]
        assert {run.exit_code for run in said} == {2}
        assert {run.stdout for run in said} == {said[0].stdout}
        assert {run.stderr for run in said} == {said[0].stderr}
        assert (tmp_path / "j").read_text().count("\n") == 2
        wrong = CliRunner().invoke(app, ["check", "Q ~ P | D", "--data", "kmenta", "--workers", "2"])
        assert wrong.exit_code == 2
        assert "for a file of questions" in wrong.stderr


@dataclass(frozen=True)
class Draw:
    frame: pd.DataFrame
    truth: float = 1.0


@dataclass(frozen=True)
class World:
    name: str = "made"

    def draw(self, n: int, seed: int) -> Draw:
        """The same for every seed but for a shift of z1."""
        return Draw(made(n).drop(columns="note").assign(z1=lambda frame: frame["z1"] + 0.1 * seed))


class TestStudiesWithR:
    def test_a_method_by_formula_is_fit(self) -> None:
        formula = "y ~ [x ~ z1 + z2] + f"
        methods = [study.by_formula(engine, formula, "x", "HC1", engine=engine) for engine in ("r", "native")]
        table = study.run(World(), methods, 3, n=60, workers=2).set_index(["method", "seed"])
        for seed in (1, 2, 3):
            alone = ivbridge.fit(formula, World().draw(60, seed).frame, "HC1", "r").tidy().set_index("term").loc["x"]
            columns = ["estimate", "std.error", "conf.low", "conf.high"]
            assert table.loc[("r", seed), columns].tolist() == alone[columns].tolist()
            # two implementations of one formula at condition number 3: twelve digits are left
            native = table.loc[("native", seed), "estimate"]
            assert native == pytest.approx(alone["estimate"], rel=1e-12)

    def test_a_term_that_is_not_there_stops_the_study(self) -> None:
        with pytest.raises(UnsupportedError, match="coefficient 'nothere'"):
            study.run(World(), [study.by_formula("a", "y ~ [x ~ z1 + z2]", "nothere", "HC1")], 2, n=60, workers=1)

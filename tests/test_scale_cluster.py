"""Pieces on a Dask cluster: the bits of one process, though workers die."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster

import ivbridge
from ivbridge import scale
from ivbridge.blocks.regression import Layout
from ivbridge.blocks.rows import Block, block_rows
from ivbridge.blocks.solve import Solved, solved
from ivbridge.blocks.sums import Cross
from ivbridge.errors import DataError, EngineError, UnsupportedError
from ivbridge.scale.cluster import Distributed
from ivbridge.scale.codes import distinct
from ivbridge.scale.opening import opened
from ivbridge.scale.pieces import Here, Pieces
from ivbridge.vcov import HC1, Clustered

HERE = Path(__file__).resolve().parent
#: Seconds in which a worker that died is replaced, even on a machine with other work.
PATIENCE = 60
N, PIECES, WORKERS, GROUPS = 40_000, 20, 3, 50
LAYOUT = Layout(True, ("(Intercept)", "w", "x"), ("(Intercept)", "w", "z1", "z2"), (0, 1, 4), (0, 1, 2, 3), 5)


@dataclass(frozen=True)
class Range:
    """Rows of a file of columns (w, z1, z2, x, y, group); `trouble` names files that say what goes wrong with it."""

    path: str
    start: int
    stop: int
    trouble: str = ""

    def blocks(self) -> Iterator[Block]:
        columns = np.load(self.path, mmap_mode="r")
        step = block_rows(5) // 8
        for place, at in enumerate(range(self.start, self.stop, step)):
            rows = slice(at, min(at + step, self.stop))
            if place == 1:
                meet(self.trouble)
            yield Block([np.array(column[rows]) for column in columns[:5]], codes=(columns[5, rows].astype(np.int64),))

    def __str__(self) -> str:
        return f"rows {self.start} to {self.stop}"


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Range, ...]:
    random = np.random.default_rng(7)
    w, z1, z2, v, e = random.standard_normal((5, N))
    x = w + z1 - z2 + v
    y = 1 + x - w + v + e
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, np.vstack([w, z1, z2, x, y, np.arange(N) % GROUPS]))
    edges = np.linspace(0, N, PIECES + 1).astype(int)
    return tuple(Range(str(path), int(a), int(b)) for a, b in pairwise(edges))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", memory_limit=0) as cluster,
        Client(cluster, set_as_default=False) as found,
    ):
        yield found


def meet(trouble: str) -> None:
    """Whatever the next of these files says happens, and it is gone; poison stays."""
    todo = sorted(Path(trouble).iterdir()) if trouble else []
    if not todo:
        return
    what = todo[0].read_text()
    if what != "poison":
        todo[0].unlink()
    if what == "raise":
        raise OSError("the file server is away")
    if what == "data":
        raise DataError("level 'north' was not seen before.")
    if what in {"kill", "poison"}:
        with Path(f"{trouble}.killed").open("a") as killed:
            killed.write(f"{os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def troubled(pieces: tuple[Range, ...], place: int, folder: Path, *what: str) -> tuple[Range, ...]:
    """The pieces, with these troubles one after the other whenever piece `place` is read."""
    folder.mkdir()
    for i, text in enumerate(what):
        (folder / str(i)).write_text(text)
    return (*pieces[:place], replace(pieces[place], trouble=str(folder)), *pieces[place + 1 :])


def answer(pieces: tuple[Range, ...], runner: Any) -> Solved:
    return solved(Pieces(pieces, 5, np.zeros(5), runner), LAYOUT, Clustered(("g",)), (GROUPS,))


def bits(found: Solved) -> tuple[bytes, ...]:
    return found.coef.tobytes(), found.cov.tobytes(), found.factor.r.tobytes(), np.float64(found.rss).tobytes()


def replaced(client: Client) -> None:
    """Wait until there are all workers again; Dask does not replace one that is killed while it is being registered."""
    try:
        client.wait_for_workers(WORKERS, timeout=PATIENCE)
    except TimeoutError:
        client.cluster.scale(2 * WORKERS)
        client.wait_for_workers(WORKERS, timeout=PATIENCE)


def processes(client: Client) -> set[int]:
    return set(client.run(os.getpid).values())


def test_the_bits_of_one_process(pieces: tuple[Range, ...], client: Client) -> None:
    here = answer(pieces, Here())
    assert bits(answer(pieces, Distributed(client))) == bits(here)
    assert bits(answer(pieces, Distributed(client, ahead=1))) == bits(here)
    assert bits(answer(pieces, Distributed(client.scheduler.address))) == bits(here)  # a client of its own


def test_joining_in_another_order_gives_other_bits(pieces: tuple[Range, ...]) -> None:
    """So that the test above means something."""
    assert bits(answer(pieces[::-1], Here())) != bits(answer(pieces, Here()))


@pytest.mark.parametrize(
    "trouble",
    [("kill",), ("none", "kill"), pytest.param(("raise", "kill", "raise", "none", "kill"), marks=pytest.mark.slow)],
)
def test_a_worker_killed_in_the_middle(
    trouble: tuple[str, ...], pieces: tuple[Range, ...], client: Client, tmp_path: Path
) -> None:
    """In the first pass, in the second, and in both besides a file server that comes and goes."""
    asked = troubled(pieces, 7, tmp_path / "todo", *trouble)
    assert bits(answer(asked, Distributed(client))) == bits(answer(pieces, Here()))
    assert not list((tmp_path / "todo").iterdir())
    replaced(client)
    killed = {int(line) for line in (tmp_path / "todo.killed").read_text().split()}
    assert len(killed) == trouble.count("kill")
    assert not killed & processes(client)


def test_sums_lost_with_their_worker_are_made_again(pieces: tuple[Range, ...], client: Client) -> None:
    """The worker dies after it has added up, before the sums are fetched."""
    part = Cross(np.zeros(5), 5)
    want = [one.gram.tobytes() for one in Here().sums(part, pieces)]
    sums = Distributed(client, ahead=PIECES).sums(part, pieces)
    found = [next(sums).gram.tobytes()]
    os.kill(min(processes(client)), signal.SIGKILL)  # not one that has just come
    assert found + [one.gram.tobytes() for one in sums] == want
    replaced(client)


def test_an_error_of_the_data_is_the_same_as_in_one_process(
    pieces: tuple[Range, ...], client: Client, tmp_path: Path
) -> None:
    asked = troubled(pieces, 3, tmp_path / "todo", *["data"] * 3)
    with pytest.raises(DataError, match="level 'north' was not seen before"):
        answer(asked, Distributed(client))


def test_a_piece_that_cannot_be_read_is_named(pieces: tuple[Range, ...], client: Client, tmp_path: Path) -> None:
    asked = troubled(pieces, 3, tmp_path / "todo", *["raise"] * 3)
    with pytest.raises(EngineError, match=r"rows 6000 to 8000 \(piece 4\).*OSError: the file server is away"):
        answer(asked, Distributed(client))


def test_another_version_on_the_workers(
    pieces: tuple[Range, ...], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ivbridge, "__version__", "99.0")
    with pytest.raises(EngineError, match=r"A worker has ivbridge .*, this process 99\.0"):
        answer(pieces, Distributed(client))


def test_nothing_stays_on_the_cluster(pieces: tuple[Range, ...], client: Client) -> None:
    sums = Distributed(client).sums(Cross(np.zeros(5), 5), pieces)
    next(sums)
    sums.close()
    assert not client.futures
    list(Distributed(client).sums(Cross(np.zeros(5), 5), pieces))
    assert not client.futures


@pytest.mark.slow
def test_a_piece_that_kills_every_worker_is_named(pieces: tuple[Range, ...], client: Client, tmp_path: Path) -> None:
    """Others that Dask blames, because they waited at the same worker, are not."""
    asked = troubled(pieces, 11, tmp_path / "todo", "poison")
    with pytest.raises(EngineError, match=r"rows 22000 to 24000 \(piece 12\) died, \d of them with no other piece"):
        answer(asked, Distributed(client))
    replaced(client)
    assert bits(answer(pieces, Distributed(client))) == bits(answer(pieces, Here()))


def test_where_there_is_no_scheduler() -> None:
    from dask import config

    with config.set({"distributed.comm.timeouts.connect": "200ms"}):
        runner = Distributed("tcp://127.0.0.1:9")
        with pytest.raises(EngineError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
            next(runner.sums(Cross(None, 1), ()))


def test_where_there_is_no_worker() -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", processes=False) as cluster,
        Client(cluster, set_as_default=False) as client,
        pytest.raises(EngineError, match="no worker for 1 seconds"),
    ):
        next(Distributed(client, patience=1).sums(Cross(None, 1), (Range("", 0, 1),)))


@pytest.mark.slow
def test_a_scheduler_that_dies(pieces: tuple[Range, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
    command += ["--scheduler-file", str(tmp_path / "scheduler.json")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}  # it reads what it passes on
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as scheduler:
        try:
            while not (tmp_path / "scheduler.json").exists():
                time.sleep(0.1)
            address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
            threading.Timer(2, scheduler.kill).start()
            with pytest.raises(EngineError, match="scheduler went away"):
                answer(pieces, Distributed(address))  # it has no worker: the first piece is waited for
        finally:
            scheduler.kill()


def test_what_is_no_cluster() -> None:
    with pytest.raises(UnsupportedError, match="got a int"):
        next(Distributed(3).sums(Cross(None, 1), ()))


@dataclass(frozen=True, eq=False)
class Coded:
    """A piece with a recipe that all of them share; counts how often it is unpacked."""

    number: int
    recipe: Any

    def blocks(self) -> Iterator[Block]:
        yield Block([np.array([self.number, self.recipe[self.number], _Unpacked.here], dtype=float)])


class _Unpacked:
    """A large recipe."""

    here = 0

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __getitem__(self, place: int) -> float:
        return float(self.values[place])

    def __setstate__(self, state: dict[str, np.ndarray]) -> None:
        self.__dict__.update(state)
        _Unpacked.here += 1


def test_what_pieces_share_travels_once(client: Client) -> None:
    """20 MB of it for each of 60 pieces would take a gigabyte, and more than a few seconds."""
    recipe = _Unpacked(np.arange(2_500_000.0))
    found = list(Distributed(client).sums(_Listing(), [Coded(j, recipe) for j in range(60)]))
    assert [(one.rows[0][0], one.rows[0][1]) for one in found] == [(j, j) for j in range(60)]
    assert max(one.rows[0][2] for one in found) <= 2  # by each worker, and perhaps once more by one that passes it on


@dataclass(frozen=True)
class _Listed:
    rows: tuple[tuple[float, ...], ...]


class _Listing:
    def __call__(self, blocks: Iterator[Block]) -> _Listed:
        return _Listed(tuple(tuple(block.columns[0].tolist()) for block in blocks))


def test_a_robust_covariance_too(pieces: tuple[Range, ...], client: Client) -> None:
    found = [solved(Pieces(pieces, 5, np.zeros(5), r), LAYOUT, HC1()) for r in (Here(), Distributed(client))]
    assert bits(found[0]) == bits(found[1])


@dataclass(frozen=True)
class Troubled:
    """A piece of a file, with trouble after its first table."""

    piece: Any
    trouble: str

    @property
    def start(self) -> int:
        return int(self.piece.start)

    @property
    def rows(self) -> int:
        return int(self.piece.rows)

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[Any]:
        for table in self.piece.frames(columns, limit):
            yield table
            if limit is None:
                meet(self.trouble)


@dataclass(frozen=True)
class Files:
    """A piece for each row group; `trouble` with the third one."""

    inner: Any
    trouble: str = ""

    @property
    def schema(self) -> Any:
        return self.inner.schema

    @property
    def rows(self) -> int:
        return int(self.inner.rows)

    @property
    def state(self) -> str:
        return str(self.inner.state)

    def pieces(self, columns: Sequence[str], room: int) -> tuple[Any, ...]:
        found = list(self.inner.pieces(columns, 100_000))
        found[2] = Troubled(found[2], self.trouble)
        return tuple(found)


@pytest.mark.parametrize("when", [2, *(pytest.param(j, marks=pytest.mark.slow) for j in (0, 1, 3))])
def test_files_on_a_cluster(when: int, client: Client, tmp_path: Path) -> None:
    """A factor, a function and clusters: in the look at all rows, both passes and that of the tests a worker dies."""
    random = np.random.default_rng(2)
    w, z1, z2, v, e = random.standard_normal((5, 12_000))
    x = w + z1 - z2 + v
    frame = pl.DataFrame({
        "y": x - w + v + e, "x": x, "w": np.exp(w), "z1": z1, "z2": z2, "firm": random.integers(0, 40, 12_000),
        "region": random.choice(["north", "south"], 12_000),
    })  # fmt: skip
    frame.write_parquet(tmp_path / "rows.parquet", row_group_size=1000)
    (tmp_path / "todo").mkdir()
    for i, what in enumerate(["none"] * when + ["kill"]):
        (tmp_path / "todo" / str(i)).write_text(what)
    formula, source = "y ~ x + log(w) + region | log(w) + region + z1 + z2", opened(str(tmp_path / "rows.parquet"))
    here = scale.fit(formula, Files(source), "cluster(firm)")
    there = scale.fit(formula, Files(source, str(tmp_path / "todo")), "cluster(firm)", runner=Distributed(client))
    for one in (here, there):
        assert one.tests["wu_hausman"]
    answers = [json.loads(one.to_json()) for one in (here, there)]
    for one in answers:
        one.pop("provenance")  # says when
    assert answers[0] == answers[1]
    assert there.cov.tobytes() == here.cov.tobytes()
    assert len((tmp_path / "todo.killed").read_text().split()) == 1


def test_a_runner_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Distributed("tcp://127.0.0.1:8786"))).cluster == "tcp://127.0.0.1:8786"


def test_clusters_that_were_found_travel_light() -> None:
    """8 bytes each, and not once more for every chunk that Arrow makes of them."""
    keys = pa.table({"firm": np.random.default_rng(0).integers(0, 300_000, 600_000)})
    found = distinct(keys)
    assert len(pickle.dumps(found)) < 1.1 * 8 * found.num_rows
    assert len(pickle.dumps(distinct(pa.concat_tables([found, found])))) < 1.1 * 8 * found.num_rows

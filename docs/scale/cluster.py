"""How long 1e11 rows of 8 columns would take on 100 machines: measured sizes and times, stated rates, one formula."""

from __future__ import annotations

import math
import os
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.blocks.rows import Block, block_rows
from ivbridge.blocks.scores import Scored, Scores
from ivbridge.blocks.sums import Cross
from ivbridge.scale.sources import most_rows

HERE = Path(__file__).resolve().parent

COLUMNS, REGRESSORS = 8, 5
ROWS, FILE_ROWS = 1e11, 4_000_000
#: Clusters of the three cases; 0 is a robust covariance.
CLUSTERS = (0, 10_000, 1_000_000)
ROUNDS, TASKS = 3, 2_000
RUN_ROWS, WORKERS = 20_000_000, 2


@dataclass(frozen=True)
class Cluster:
    """What is assumed, not measured.

    Attributes
    ----------
    machines, cores : int
    read : float
        Bytes a second that a machine gets from its disk or the network.
    wire : float
        Bytes a second of the network card of the process that joins the sums.
    """

    machines: int = 100
    cores: int = 16
    read: float = 1e9
    wire: float = 1.25e9


@dataclass(frozen=True)
class Pass:
    """What one pass over the rows takes: seconds, and what decides."""

    seconds: float
    decides: str


# measured


def measure() -> pd.DataFrame:
    """One row a number."""
    rows = [*_run(), *_sizes(), *_passes(), *_reading(), *_looking(), *_scheduling()]
    return pd.DataFrame(rows, columns=["name", "clusters", "value", "unit", "what"])


def _least(work: Callable[[], Any]) -> float:
    """Processor seconds, of all threads: the least of some rounds, which other work on the machine raises least."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def _parts(clusters: int) -> tuple[Cross, Scores]:
    """Both passes of 2SLS with 4 regressors and a constant, 5 instruments and a constant."""
    random, m = np.random.default_rng(1), COLUMNS + 1
    one = Scored(random.standard_normal((m, REGRESSORS)), random.standard_normal(m))
    shift = random.standard_normal(COLUMNS)
    return Cross(shift, COLUMNS), Scores(shift, COLUMNS, (one,), (clusters,) * bool(clusters), random.random((m, 1)))


def _blocks(rows: int, clusters: int) -> Iterator[Block]:
    """The same block over and over: reading is measured by itself."""
    random, step = np.random.default_rng(2), block_rows(COLUMNS)
    columns = list(random.standard_normal((COLUMNS, step)))
    codes = random.integers(0, max(clusters, 1), (rows // step, step))
    for j in range(rows // step):
        yield Block(columns, None, (codes[j],) if clusters else ())


def _run() -> Iterator[tuple[str, int, float, str, str]]:
    """One question about a file, in this process, on worker processes, and while one of them is killed."""
    import polars as pl
    from distributed import Client, LocalCluster

    from ivbridge import scale

    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    with tempfile.TemporaryDirectory() as folder:
        path, random = Path(folder) / "rows.parquet", np.random.default_rng(5)
        w, x, z, v = random.standard_normal((4, RUN_ROWS))
        more = {f"x{j}": random.standard_normal(RUN_ROWS) for j in range(COLUMNS - 4)}
        frame = pl.DataFrame({"y": x + v - w, "x": x + z + v, "w": w, "z": z, **more})
        frame.write_parquet(path, compression="uncompressed", row_group_size=500_000)
        del w, x, z, v, more, frame
        formula = "y ~ x + w + x0 + x1 | z + w + x0 + x1 + x2 + x3"

        def fitted(client: Any = None, progress: Any = None) -> tuple[float, bytes]:
            start = time.perf_counter()
            runner = None if client is None else scale.Distributed(client)
            found = scale.fit(formula, path, "HC1", runner=runner, progress=progress)
            return time.perf_counter() - start, found.params.to_numpy().tobytes() + found.cov.tobytes()

        here, bits = fitted()
        with LocalCluster(n_workers=WORKERS, **options) as cluster, Client(cluster, set_as_default=False) as client:
            fitted(client)  # workers load what they need
            there, same = fitted(client)
            killed: list[int] = []

            def progress(done: int, total: int, what: str) -> None:
                if what.startswith("pass 2") and done > total / 2 and not killed:
                    killed.append(next(iter(client.run(os.getpid).values())))
                    os.kill(killed[0], signal.SIGKILL)

            again, same_again = fitted(client, progress)
    assert killed
    yield "run here", 0, here, "s", f"{RUN_ROWS:,} rows in one process"
    yield "run workers", 0, there, "s", f"the same on {WORKERS} worker processes of one thread"
    yield "run killed", 0, again, "s", "the same while a worker is killed in the middle of the second pass"
    yield "run bits", 0, float(bits == same == same_again), "1 is yes", "whether all three answers have the same bits"


def _sizes() -> Iterator[tuple[str, int, float, str, str]]:
    for clusters in CLUSTERS:
        for part, name in zip(_parts(clusters), ("first", "second"), strict=True):
            if clusters and name == "first":
                continue
            sums = part(_blocks(10_000, clusters))
            yield f"{name} pass bytes", clusters, len(pickle.dumps(sums)), "bytes", "sums of one piece, pickled"
            joined = _least(lambda sums=sums: [sums + sums for _ in range(5)]) / 5
            yield f"{name} pass join", clusters, joined, "s", "joining two of them"
            yield f"{name} pass part", clusters, len(pickle.dumps(part)), "bytes", "what is to be done, pickled"


def _passes() -> Iterator[tuple[str, int, float, str, str]]:
    rows = 2_000_000
    for clusters in CLUSTERS:
        for part, name in zip(_parts(clusters), ("first", "second"), strict=True):
            if clusters and name == "first":
                continue
            made = list(_blocks(rows, clusters))
            yield f"{name} pass row", clusters, _least(lambda part=part, made=made: part(made)) / rows, "s", (
                "adding up a row in memory, one core"
            )


def _reading() -> Iterator[tuple[str, int, float, str, str]]:
    import polars as pl

    from ivbridge.scale.parquet import ParquetFiles

    with tempfile.TemporaryDirectory() as folder:
        path, names = Path(folder) / "rows.parquet", [f"x{j}" for j in range(COLUMNS)]
        random = np.random.default_rng(3)
        frame = pl.DataFrame({name: random.standard_normal(FILE_ROWS) for name in names})
        frame.write_parquet(path, compression="uncompressed", row_group_size=500_000)
        yield "file row", 0, path.stat().st_size / FILE_ROWS, "bytes", "a row of a parquet file, not compressed"
        pieces = ParquetFiles.opened([path]).pieces(names, 10**12)
        yield "piece bytes", 0, len(pickle.dumps(pieces[0])), "bytes", "a piece's description, pickled"
        seconds = _least(lambda: [table.num_rows for piece in pieces for table in piece.frames(names)]) / FILE_ROWS
        yield "read row", 0, seconds, "s", "unpacking a row of the file, which the system holds in memory, one core"


def _looking() -> Iterator[tuple[str, int, float, str, str]]:
    """The pass that finds the clusters."""
    import polars as pl

    from ivbridge.scale.parquet import ParquetFiles
    from ivbridge.scale.survey import RawTables, Surveyor
    from ivbridge.scale.terms import asked
    from ivbridge.spec import IVSpec
    from ivbridge.vcov_text import parse_vcov

    spec = IVSpec.from_formula("x0 ~ x1 + x2 + x3 + x4 | x2 + x3 + x4 + x5 + x6")
    random = np.random.default_rng(4)
    numbers = {f"x{j}": random.standard_normal(FILE_ROWS) for j in range(COLUMNS - 1)}
    for clusters in CLUSTERS[1:]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            frame = pl.DataFrame({**numbers, "g": random.integers(0, clusters, FILE_ROWS)})
            frame.write_parquet(path, compression="uncompressed", row_group_size=500_000)
            source = ParquetFiles.opened([path])
            question = asked(spec, parse_vcov("cluster(g)"), source.schema)
            pieces = [RawTables(piece, question.columns) for piece in source.pieces(question.columns, 10**12)]

            def look(pieces: Any = pieces, question: Any = question) -> Any:
                return Surveyor(question)(table for piece in pieces for table in piece.blocks())

            found = look()
            yield "look row", clusters, _least(look) / FILE_ROWS, "s", "reading a row and looking at its cluster, one core"
            yield "look bytes", clusters, len(pickle.dumps(found)), "bytes", "clusters of one piece, pickled"
            yield "look join", clusters, _least(lambda found=found: found + found), "s", "joining two of them"


@dataclass(frozen=True)
class _Nothing:
    """A piece of one row, as good as free."""

    place: int

    def blocks(self) -> Iterator[Block]:
        yield Block([np.ones(1)] * COLUMNS)


def _scheduling() -> Iterator[tuple[str, int, float, str, str]]:
    from distributed import Client, LocalCluster

    from ivbridge.scale.cluster import Distributed

    part, _ = _parts(0)
    options: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 4, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        def one_pass() -> None:
            for _ in Distributed(client, ahead=200).sums(part, [_Nothing(j) for j in range(TASKS)]):
                pass

        yield "task", 0, _least(one_pass) / TASKS, "s", "a task at scheduler, worker and client together, one core"


# estimated


def passes(found: dict[tuple[str, int], float], cluster: Cluster, clusters: int, piece_rows: float) -> list[Pass]:
    """Of each pass what the slowest of its parts takes, since they go on at the same time, and one piece more."""
    pieces, result = math.ceil(ROWS / piece_rows), []
    for name, case in ((("look", clusters),) if clusters else ()) + (("first", 0), ("second", clusters)):
        row = found["look row", case] if name == "look" else found["read row", 0] + found[f"{name} pass row", case]
        label = name if name == "look" else f"{name} pass"
        piece = piece_rows * row
        wave = max(piece, piece_rows * found["file row", 0] * cluster.cores / cluster.read)
        candidates = {
            "reading": ROWS * found["file row", 0] / (cluster.machines * cluster.read),
            "processors": math.ceil(pieces / (cluster.machines * cluster.cores)) * piece,
            "scheduler": pieces * found["task", 0],
            "joining": pieces * (found[f"{label} bytes", case] / cluster.wire + found[f"{label} join", case]),
        }
        decides = max(candidates, key=candidates.__getitem__)
        result.append(Pass(candidates[decides] + wave, decides))
    return result


PIECES = (4e6, 4e7)


def text(frame: pd.DataFrame) -> list[str]:
    """The lines of the page."""
    found = _found(frame)
    standard = Cluster()
    return [
        "## A cluster: worker processes of one machine, measured",
        "",
        f"A parquet file of {RUN_ROWS:,} rows and {COLUMNS} columns, 2SLS with HC1 standard errors, {WORKERS} workers of one thread on a machine of",
        "two cores, which the scheduler and the asking process share with them.",
        "",
        "| | seconds |", "|---|---:|",
        f"| in one process | {found['run here', 0]:.3g} |",
        f"| on {WORKERS} workers | {found['run workers', 0]:.3g} |",
        f"| on {WORKERS} workers, one of them killed in the middle of the second pass | {found['run killed', 0]:.3g} |",
        "",
        f"All three answers have {'**the same bits**' if found['run bits', 0] == 1 else '**different bits**'}.",
        "",
        "## A cluster: 100,000,000,000 rows on 100 machines, estimated",
        "",
        "No such cluster was at hand. What ivbridge does itself was measured on one machine; what a cluster adds is assumed, and",
        "the formula below puts the two together. The question is 2SLS with 5 coefficients and 6 instruments out of 8 columns of",
        "doubles, 1e11 rows, 6.4 TB.",
        "",
        "### Measured",
        "",
        "Processor time, all threads, the least of three rounds.",
        "",
        "| what | robust | 10,000 clusters | 1,000,000 clusters |", "|---|---:|---:|---:|",
        *_measured(found),
        "",
        "### Assumed",
        "",
        f"- {standard.machines} machines with {standard.cores} cores each, whose cores work side by side without loss",
        f"- each machine reads {standard.read / 1e9:g} GB a second from its disk or the network: data are spread evenly, or the file system is that fast",
        f"- the process that joins the sums receives {standard.wire / 1e9:g} GB a second (10 Gbit/s)",
        "- no machine is slower than the others, and none dies: a dead one costs the pieces that it had, at most a wave of them",
        "",
        "### Formula",
        "",
        "With N rows in P pieces on M machines of c cores, a pass takes",
        "",
        "> max( N·bytes / (M·rate), ⌈P/(M·c)⌉·piece, P·task, P·(sums/wire + join) ) + one piece",
        "",
        "since reading, computing, scheduling and joining go on at the same time. Coefficients and standard errors need two passes:",
        "cross-products, then scores. Clusters (and factors) need a look at all rows before, which finds them. Sorted or trending",
        "data need one pass more, so do nearly collinear columns, and so do the tests.",
        "",
        "### Result",
        "",
        "| covariance | rows of a piece | pieces | look | first pass | second pass | all | decided by |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
        *_results(found, standard),
        "",
        "![Time against the number of machines](scale/cluster.svg)",
        "",
        *_reading_of(found, standard),
    ]


def _found(frame: pd.DataFrame) -> dict[tuple[str, int], float]:
    return {(str(row.name_), int(row.clusters)): float(row.value) for row in frame.rename(columns={"name": "name_"}).itertuples()}


def _measured(found: dict[tuple[str, int], float]) -> list[str]:
    def line(what: str, cells: list[str]) -> str:
        return f"| {what} | " + " | ".join(cells + [""] * (3 - len(cells))) + " |"

    def several(name: str, shown: Callable[[float], str]) -> list[str]:
        return [shown(found[name, clusters]) for clusters in CLUSTERS]

    return [
        line("a row in an uncompressed parquet file", [_bytes(found["file row", 0])]),
        line("unpacking a row", [_time(found["read row", 0])]),
        line("looking for clusters, a row with its reading", ["", *(_time(found["look row", c]) for c in CLUSTERS[1:])]),
        line("first pass, a row", [_time(found["first pass row", 0])]),
        line("second pass, a row", several("second pass row", _time)),
        line("description of a piece", [_bytes(found["piece bytes", 0])]),
        line("clusters of a piece", ["", *(_bytes(found["look bytes", c]) for c in CLUSTERS[1:])]),
        line("joining two", ["", *(_time(found["look join", c]) for c in CLUSTERS[1:])]),
        line("sums of a piece, first pass", [_bytes(found["first pass bytes", 0])]),
        line("sums of a piece, second pass", several("second pass bytes", _bytes)),
        line("joining two, second pass", several("second pass join", _time)),
        line("a task: scheduler, worker and client together", [_time(found["task", 0])]),
    ]


def _results(found: dict[tuple[str, int], float], cluster: Cluster) -> list[str]:
    lines = []
    for clusters in CLUSTERS:
        for rows in PIECES:
            all_ = passes(found, cluster, clusters, rows)
            cells = [""] * (3 - len(all_)) + [_time(one.seconds) for one in all_]
            lines.append(
                f"| {_case(clusters)} | {rows:,.0f} | {math.ceil(ROWS / rows):,} | {' | '.join(cells)} "
                f"| **{_time(sum(one.seconds for one in all_))}** | {', '.join(dict.fromkeys(one.decides for one in all_))} |"
            )
    return lines


def _reading_of(found: dict[tuple[str, int], float], cluster: Cluster) -> list[str]:
    def total(machines: int, clusters: int, rows: float) -> float:
        return sum(one.seconds for one in passes(found, replace(cluster, machines=machines), clusters, rows))

    held = 4 * cluster.cores * found["second pass bytes", CLUSTERS[-1]]
    small, large = (_time(total(100, CLUSTERS[-1], rows)) for rows in PIECES)
    alone, ten, many = (_time(total(machines, 0, PIECES[0])) for machines in (1, 10, 1000))
    return [
        "Sums come back to one process and are joined there in the order of the pieces: this is what makes the bits those of one",
        "process, and it is what limits a job with very many clusters, whose sums are large. Larger pieces are the remedy, since the",
        f"sums of a piece do not grow with its rows: with a million clusters, pieces of {PIECES[1]:,.0f} rows take {large}, pieces of",
        f"{PIECES[0]:,.0f} rows {small}. Of so many rows a piece has {most_rows(int(ROWS)):,}, if the memory allows. Sums that wait to be",
        f"fetched, at most four for each core, take {_bytes(held)} on a machine.",
        "",
        f"With a robust covariance one such machine would take {alone}, ten {ten}, and a thousand {many}.",
    ]


def _case(clusters: int) -> str:
    return f"{clusters:,} clusters" if clusters else "robust"


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= (1.5 if unit in ("h", "min") else 1) * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.3g} bytes"


def draw(frame: pd.DataFrame) -> None:
    """Time against machines, docs/scale/cluster.svg."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    found, machines = _found(frame), np.unique(np.geomspace(1, 1000, 60).astype(int))
    style = {"svg.fonttype": "none", "svg.hashsalt": "ivbridge", "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.0, 3.8), layout="constrained")
        axes = figure.add_subplot()
        for clusters, colour in zip(CLUSTERS, ("#0072b2", "#e69f00", "#009e73"), strict=True):
            for rows, dashes in zip(PIECES, ("-", "--"), strict=True):
                minutes = [
                    sum(one.seconds for one in passes(found, Cluster(machines=int(m)), clusters, rows)) / 60 for m in machines
                ]
                axes.plot(machines, minutes, dashes, color=colour, label=f"{_case(clusters)}, pieces of {rows / 1e6:g} million rows")
        axes.set(xscale="log", yscale="log", xlabel="machines of 16 cores, 1 GB/s each", ylabel="minutes")
        axes.set_title("2SLS on 1e11 rows of 8 columns, estimated", loc="left", fontsize=11)
        axes.grid(which="major", color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8, frameon=False)
        figure.savefig(HERE / "cluster.svg", metadata={"Date": None})

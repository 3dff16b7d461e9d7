"""The tasks of the study and what they answer: rows of one tidy table.

A task is done for all replications together: :class:`Making` makes a row's instruments and keeps them in a file,
:class:`Fitting` learns curves from them with one method. Both depend on nothing but their fields.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ivbridge.errors import EngineError, IvbridgeError
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Coding, Generated, coded
from ivbridge.iv_ml.group_number import mmd
from ivbridge.iv_ml.matching import agreement
from ivbridge.iv_ml.method import IVRegression
from ivbridge.iv_ml.paper.oracle import oracle
from ivbridge.iv_ml.paper.parts import GROUPS, Instrument, World, draw, regression
from ivbridge.iv_ml.scenarios import rules
from ivbridge.iv_ml.scenarios.fusion import Fusion, FusionDraw, Sample
from ivbridge.place import replace_file
from ivbridge.records import FloatArray, IntArray

__all__ = ["COLUMNS", "Fitting", "Making", "answer"]

#: Columns of the table; see :func:`ivbridge.iv_ml.paper.running.run`.
COLUMNS = (
    "world", "reading", "instrument", "method", "groups", "replication", "quantity", "at", "value", "seconds", "note",
)  # fmt: skip

#: Points of a curve that is kept for a figure.
_POINTS = 40


@dataclass(frozen=True, slots=True)
class Making:
    """Make one row's instruments in one world.

    Attributes
    ----------
    world : Fusion or SemiSynthetic
    instrument : Instrument
    seeds : tuple of int
        The replications.
    folder : Path
        Where instruments are kept, one file for each world and row.
    """

    world: World
    instrument: Instrument
    seeds: tuple[int, ...]
    folder: Path

    def __str__(self) -> str:
        return f"{self.world.name}: {self.instrument.name}"

    @property
    def path(self) -> Path:
        """The file of the instruments."""
        words = re.findall(r"[\w*]+", f"{self.world.name} {self.world.reading} {self.instrument.name}")
        return self.folder / ("_".join(words).replace("*", "_true") + ".npz")


@dataclass(frozen=True, slots=True)
class Fitting:
    """Learn curves with one method (a key of :data:`ivbridge.iv_ml.METHODS`) from instruments that were made."""

    making: Making
    method: str

    def __str__(self) -> str:
        return f"{self.making}, {self.method}"


def answer(task: Making | Fitting) -> list[dict[str, Any]]:
    """Do a task; runs in a process of its own.

    Raises
    ------
    IvbridgeError
        If no replication can be answered.
    """
    try:
        return _made(task)[1] if isinstance(task, Making) else _fitted(task)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, IvbridgeError):
            raise
        raise EngineError(f"{type(error).__name__}: {error}") from error


def _made(task: Making) -> tuple[list[FloatArray], list[dict[str, Any]]]:
    """Instruments (n, q) of each replication, which are then in the task's file, and rows about them."""
    start = time.process_time()
    draws = [draw(task.world, seed) for seed in task.seeds]
    values, rows = _grouped(task, draws) if task.instrument.groups else _summaries(task, draws)
    seconds = round((time.process_time() - start) / len(draws), 4)
    content = BytesIO()
    np.savez_compressed(content, *values)
    replace_file(task.path, content.getvalue())
    return values, [row | {"seconds": seconds} for row in rows]


def _summaries(task: Making, draws: Sequence[FusionDraw]) -> tuple[list[FloatArray], list[dict[str, Any]]]:
    found = task.instrument.generator().generate_many([one.train.data for one in draws], task.seeds)
    rows = [
        _row(task, seed, "instruments", float(made.values.shape[1]))
        for seed, made in zip(task.seeds, found, strict=True)
    ]
    return [made.values for made in found], rows


def _grouped(task: Making, draws: Sequence[FusionDraw]) -> tuple[list[FloatArray], list[dict[str, Any]]]:
    """Groups of each replication, and how well each number of groups does."""
    if task.instrument.groups == "own":
        labels = _labels(task, draws, None)
        chosen = [int(found.max()) + 1 for found in labels]
        rows = [row for i, k in enumerate(chosen) for row in _judged(task, draws[i], i, labels[i], k)]
    else:
        tried = GROUPS if task.instrument.groups == "chosen" else (task.world.groups,)
        found = {k: _labels(task, draws, k) for k in tried}
        rows = [row for k in tried for i, one in enumerate(draws) for row in _judged(task, one, i, found[k][i], k)]
        best = min(tried, key=lambda k: np.mean([row["value"] for row in rows if _is(row, "mmd", k)]))
        labels, chosen = found[best], [best] * len(draws)
    rows += [_row(task, seed, "groups", float(k), k) for seed, k in zip(task.seeds, chosen, strict=True)]
    coding: Coding = "onehot" if task.instrument.onehot else "label"
    return [coded(one, k, coding) for one, k in zip(labels, chosen, strict=True)], rows


def _judged(task: Making, one: FusionDraw, place: int, labels: IntArray, groups: int) -> list[dict[str, Any]]:
    seed, sample = task.seeds[place], one.train
    return [
        _row(task, seed, "accuracy", 100 * agreement(labels, sample.labels), groups),
        _row(task, seed, "mmd", mmd(sample.data.exog, labels, groups), groups),
    ]


def _is(row: dict[str, Any], quantity: str, groups: int) -> bool:
    return bool(row["quantity"] == quantity and row["groups"] == groups)


def _labels(task: Making, draws: Sequence[FusionDraw], groups: int | None) -> list[IntArray]:
    if not task.instrument.maker:
        return [one.train.labels for one in draws]
    if task.instrument.maker == "oracle":
        return [oracle(one, task.world) for one in draws]
    seen = [_seen(task, one.train) for one in draws]
    found = task.instrument.generator(groups).generate_many(seen, task.seeds)
    return [_of(made) for made in found]


def _of(made: Generated) -> IntArray:
    assert made.labels is not None
    return made.labels


def _seen(task: Making, sample: Sample) -> IVData:
    if not task.instrument.known:
        return sample.data
    y, t, x, z = sample.data.arrays
    shape = task.world.shape if isinstance(task.world, Fusion) else "linear"
    return IVData(y, t, rules.moved(x, shape, task.world.reading), z)


def _fitted(task: Fitting) -> list[dict[str, Any]]:
    draws = [draw(task.making.world, seed) for seed in task.making.seeds]
    data = [one.train.data.with_instruments(z) for one, z in zip(draws, _kept(task.making), strict=True)]
    start = time.process_time()
    curves = _curves(task, data)
    seconds = round((time.process_time() - start) / len(draws), 4)
    rows = _points(task, draws[0].test, curves[0]) if isinstance(curves[0], Curve) else []
    for one, seed, curve in zip(draws, task.making.seeds, curves, strict=True):
        error, note = (_error(curve, one.test), "") if isinstance(curve, Curve) else (math.nan, curve)
        rows.append(_row(task.making, seed, "mse", error, method=task.method, note=note) | {"seconds": seconds})
    return rows


def _kept(task: Making) -> list[FloatArray]:
    """The instruments in the file; made anew where it is gone."""
    try:
        with np.load(BytesIO(task.path.read_bytes())) as file:
            return [file[f"arr_{i}"] for i in range(len(task.seeds))]
    except (OSError, KeyError, ValueError, BadZipFile):
        return _made(task)[0]


def _curves(task: Fitting, data: Sequence[IVData]) -> Sequence[Curve | str]:
    """Curves; where one diverges among those that are learnt together, each is learnt alone, or says why not."""
    method, seeds = regression(task.method, task.making.world.groups), task.making.seeds
    try:
        return method.fit_many(data, seeds)
    except EngineError:
        return [_alone(method, one, seed) for one, seed in zip(data, seeds, strict=True)]


def _alone(method: IVRegression, data: IVData, seed: int) -> Curve | str:
    try:
        return method.fit(data, seed)
    except EngineError as error:
        return str(error)


def _error(curve: Curve, test: Sample) -> float:
    """Mean squared error at the observed treatments, the number that the paper's tables hold."""
    predicted = curve.predict(test.data.endog, test.data.exog)
    return float(np.mean((predicted - test.truth) ** 2))


def _points(task: Fitting, test: Sample, curve: Curve) -> list[dict[str, Any]]:
    """Prediction against truth in the first replication: means of neighbours in the order of the truth."""
    predicted = curve.predict(test.data.endog, test.data.exog)
    parts = np.array_split(np.argsort(test.truth, kind="stable"), min(_POINTS, len(predicted)))
    return [
        _row(task.making, task.making.seeds[0], "curve", float(predicted[part].mean()), method=task.method)
        | {"at": float(test.truth[part].mean())}
        for part in parts
    ]


def _row(
    task: Making, seed: int, quantity: str, value: float, groups: int | None = None, *, method: str = "", note: str = ""
) -> dict[str, Any]:
    values = (
        task.world.name, task.world.reading, task.instrument.name, method, groups, seed, quantity, math.nan, value,
        math.nan, note,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))

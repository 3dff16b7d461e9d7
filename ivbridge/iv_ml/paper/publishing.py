"""What ``ivbridge study metaem`` leaves in its folder: the table of everything, tables beside the paper's, figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ivbridge.errors import MissingExtraError
from ivbridge.iv_ml.paper import figures as drawing
from ivbridge.iv_ml.paper import tables as writing
from ivbridge.iv_ml.paper.plans import TABLES, figure_parts, quick_parts, table_parts
from ivbridge.iv_ml.paper.running import Part, kept, run
from ivbridge.iv_ml.paper.verdicts import goals, judged
from ivbridge.place import replace_file, write_text
from ivbridge.progress import Progress

__all__ = ["Asked", "Published", "publish"]

#: Figure 3 shows one replication.
_ALONE = "figure-3"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be computed.

    Attributes
    ----------
    tables, figures : tuple of str
        "1" to "5", and "3" to "5".
    methods : tuple of str
        Only these columns; none given means all.
    quick : bool
        Closed forms everywhere, networks with the true label only, no AutoIV.
    data : str, optional
        Folder of the covariates of Tables 3 and 5.
    """

    tables: tuple[str, ...] = ("1",)
    figures: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    quick: bool = False
    data: str | None = None

    def parts(self) -> list[Part]:
        """Everything but Figure 3."""
        found = [part for table in self.tables for part in table_parts(table, self.data)]
        found += [part for figure in self.figures if figure != "3" for part in figure_parts(figure)]
        return self._limited(found)

    def alone(self) -> list[Part]:
        """Figure 3."""
        return self._limited(figure_parts("3") if "3" in self.figures else [])

    def _limited(self, parts: list[Part]) -> list[Part]:
        some = quick_parts(parts) if self.quick else parts
        if not self.methods:
            return some
        return [Part(p.world, p.instruments, tuple(m for m in p.methods if m in self.methods)) for p in some]


@dataclass(frozen=True, slots=True)
class Published:
    """What was found and where it is.

    Attributes
    ----------
    text : str
        The tables that were asked.
    cells, goals : DataFrame
        From :func:`ivbridge.iv_ml.paper.verdicts.judged` for all tables of which the folder has cells, and from
        :func:`ivbridge.iv_ml.paper.verdicts.goals`.
    failed : DataFrame
        Rows without a value, with the reason in ``note``.
    files : tuple of Path
    """

    text: str
    cells: pd.DataFrame
    goals: pd.DataFrame
    failed: pd.DataFrame
    files: tuple[Path, ...]

    def summary(self) -> str:
        """The tables, whether the goals are met, and what has no value."""
        shown = self.goals.to_string(index=False, float_format="{:.2f}".format)
        parts = [self.text, f"{int(self.goals['met'].sum())} of {len(self.goals)} goals met\n{shown}"]
        if len(self.failed):
            parts.append(
                self.failed[["world", "instrument", "method", "note"]].drop_duplicates().to_string(index=False)
            )
        return "\n\n".join(part for part in parts if part)

    def to_json(self) -> str:
        """One JSON object: cells, goals, failed, files; null where there is no number."""
        frames = {"cells": self.cells, "goals": self.goals, "failed": self.failed}
        parts = {name: json.loads(frame.to_json(orient="records")) for name, frame in frames.items()}
        return json.dumps(parts | {"files": [str(path) for path in self.files]}, ensure_ascii=False)


def publish(
    asked: Asked, out: Path, replications: int = 10, jobs: int | None = None, progress: Progress | None = None
) -> Published:
    """Run what is asked and write ``study.parquet``, ``cells.csv``, ``goals.csv``, ``table-N.md`` and the figures.

    The files hold everything that the folder has, from earlier runs too.

    Parameters
    ----------
    asked : Asked
    out : Path
        The folder of :func:`ivbridge.iv_ml.paper.running.run`; Figure 3, which shows one replication, has a study of
        its own in it.
    replications : int, default 10
    jobs : int, optional
    progress : callable, optional

    Raises
    ------
    IvbridgeError
        As for :func:`ivbridge.iv_ml.paper.running.run`.
    """
    answered = []
    if parts := asked.parts():
        answered.append(run(parts, out, replications, jobs, progress))
    if alone := asked.alone():
        answered.append(run(alone, out / _ALONE, 1, jobs, progress))
    everything = pd.concat([kept(folder) for folder in (out, out / _ALONE) if (folder / "study.jsonl").is_file()])
    found = pd.concat([judged(everything, table) for table in TABLES])
    reached = goals(everything)
    files = [*_written(everything, found, reached, out), *_rendered(everything, asked, out)]
    here = pd.concat(answered)
    failed = here[here["quantity"].eq("failed") | (here["quantity"].eq("mse") & here["value"].isna())]
    text = "\n\n".join(writing.text(everything, table) for table in asked.tables)
    return Published(text, found, reached, failed, tuple(files))


def _written(everything: pd.DataFrame, cells: pd.DataFrame, reached: pd.DataFrame, out: Path) -> list[Path]:
    parquet = out / "study.parquet"
    try:
        replace_file(parquet, everything.to_parquet(index=False))
    except ImportError as error:
        raise MissingExtraError(f"Parquet cannot be written: {error}.", do='pip install "ivbridge[files]"') from error
    files = [parquet]
    for name, frame in (("cells", cells), ("goals", reached)):
        files.append(out / f"{name}.csv")
        write_text(files[-1], frame.to_csv(index=False))
    return files


def _rendered(everything: pd.DataFrame, asked: Asked, out: Path) -> list[Path]:
    files = []
    for table in asked.tables:
        files.append(out / f"table-{table}.md")
        write_text(files[-1], writing.markdown(everything, table))
    for figure, parts in (("3", asked.alone()), *((f, figure_parts(f)) for f in asked.figures if f != "3")):
        if parts:
            files += drawing.draw_figure(_of(everything, parts), figure, out)
    return files


def _of(everything: pd.DataFrame, parts: Sequence[Part]) -> pd.DataFrame:
    """The rows of some parts, in their order."""
    wanted = [(part.world.name, name) for part in parts for name in part.instruments]
    here = pd.MultiIndex.from_frame(everything[["world", "instrument"]])
    place = here.map({pair: i for i, pair in enumerate(wanted)})
    kept_rows = everything.assign(place=place)[place.notna() & everything["reading"].eq("code").to_numpy()]
    return kept_rows.sort_values("place", kind="stable").drop(columns="place")

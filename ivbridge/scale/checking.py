"""The check at scale: R sees a sample and some blocks of the rows, another reader counts and sums all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from ivbridge.agreement import Agreement, Comparison
from ivbridge.asked import asked_vcov
from ivbridge.canonical import columns_of
from ivbridge.compare import crosscheck, judged
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.expr import Name, parse
from ivbridge.frame import counted
from ivbridge.handshake import Check, handshake
from ivbridge.progress import Progress
from ivbridge.records import IntArray
from ivbridge.results import Estimate
from ivbridge.rounding import allowed_gaps
from ivbridge.scale.fitting import fit, plan
from ivbridge.scale.frames import is_number
from ivbridge.scale.opening import opened
from ivbridge.scale.pieces import Runner
from ivbridge.scale.plan import Plan
from ivbridge.scale.sampling import Picked, consecutive, sampled
from ivbridge.scale.sources import Source
from ivbridge.scale.survey import RawTables, Survey, Surveyor
from ivbridge.scale.totals import Relation, Total, compared_totals, usable
from ivbridge.spec import IVSpec
from ivbridge.vcov import Vcov
from ivbridge.vcov_text import parse_vcov
from ivbridge.verdicts import Verdicts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Options", "Part", "ScaleCheck", "check"]

#: Checks of the handshake that ask for what a streamed answer does not keep.
NOT_KEPT = ("data", "rows", "columns")


class Options(TypedDict, total=False):
    """What :func:`check` may be asked besides."""

    engines: Sequence[str]
    memory: int | str | None
    runner: Runner | None
    progress: Progress | None


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of the rows, which all engines answered from.

    Attributes
    ----------
    name : str
        ``"sample"``, ``"rows 1,000,001 to 1,100,000"``, ``"all rows"``.
    rows : int
    agreement : Agreement or None
        The engines' answers in memory, compared; None where the question cannot be asked of these rows.
    streamed : Comparison or None
        The answer from the same rows, read and added up as all rows are, beside the one in memory.
    reason : str
        Why there is no agreement; empty where there is one.
    """

    name: str
    rows: int
    agreement: Agreement | None
    streamed: Comparison | None
    reason: str = ""

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Everything that was compared."""
        inside = () if self.agreement is None else self.agreement.comparisons
        return inside if self.streamed is None else (*inside, self.streamed)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScaleCheck(Verdicts):
    """What was compared of a question about more rows than any reference program sees.

    Attributes
    ----------
    spec : IVSpec
    rows : int
        All rows of the source.
    seed : int
    parts : tuple of Part
        The sample first.
    totals : tuple of Total
        Counts and sums over all rows, by two readers.
    not_summed : mapping of str to str
        Columns of the model that only one of them can sum up, and why.
    """

    spec: IVSpec
    rows: int
    seed: int
    parts: tuple[Part, ...]
    totals: tuple[Total, ...]
    not_summed: Mapping[str, str] = field(default_factory=dict)

    def _compared(self) -> tuple[Comparison, ...]:
        return tuple(comparison for part in self.parts for comparison in part.comparisons)

    @property
    def wrong_totals(self) -> tuple[Total, ...]:
        """Counts and sums that differ by more than rounding."""
        return tuple(total for total in self.totals if not total.ok)

    @property
    def verdict(self) -> str:
        """The worst of all comparisons; ``substantive`` at best where a count or a sum of all rows is wrong."""
        if not self.parts or self.parts[0].agreement is None:
            return "not comparable"
        found = Verdicts.verdict.__get__(self)
        return "substantive" if self.wrong_totals and found != "not comparable" else str(found)

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        if self.parts and self.parts[0].agreement is None:
            return f"the question cannot be asked of the sample: {self.parts[0].reason}"
        if self.wrong_totals:
            worst = self.wrong_totals[0]
            return (
                f"not every row was read once: {worst.what} {worst.read:.17g} in the pieces, "
                f"{worst.independent:.17g} by another reader"
            )
        return str(Verdicts.reason.__get__(self))

    @property
    def seen(self) -> str:
        """What R, or whichever engine is the reference, has seen, in one sentence."""
        answered = [part for part in self.parts if part.agreement is not None]
        who = answered[0].agreement.engines[0] if answered and answered[0].agreement else "no engine"
        who = "R" if who == "r" else who
        first = next((part for part in answered if part.name in ("sample", "all rows")), None)
        blocks = [part.rows for part in answered if part is not first]
        if first is None:
            return f"{who} saw none of the {self.rows:,} rows"
        text = f"{who} saw {first.rows:,} of {self.rows:,} rows"
        text += f", drawn at random with seed {self.seed}" if first.name == "sample" else ""
        if not blocks:
            return text
        sizes = f"{min(blocks):,}" if min(blocks) == max(blocks) else f"{min(blocks):,} to {max(blocks):,}"
        return f"{text}, and {counted(len(blocks), 'block')} of {sizes} consecutive rows"

    @property
    def skipped(self) -> Mapping[str, str]:
        """What has a value and was not compared: parts that could not be asked, and what engines do not report."""
        found = {part.name: part.reason for part in self.parts if part.agreement is None}
        for part in self.parts:
            if part.agreement is not None:
                found |= {f"{what} ({part.name})": why for what, why in part.agreement.skipped.items()}
        return found

    def to_frame(self) -> pd.DataFrame:
        """One row a compared number: what :meth:`ivbridge.Agreement.to_frame` has, and ``part``."""
        rows = [
            {"part": part.name, "vcov": c.vcov, "candidate_engine": c.candidate.engine, **dataclasses.asdict(gap)}
            for part in self.parts
            for c in part.comparisons
            for gap in c.gaps
        ]
        return pd.DataFrame(rows)

    def totals_frame(self) -> pd.DataFrame:
        """One row a count or sum over all rows: ``what read independent bound ok``."""
        names = ["what", "read", "independent", "bound"]
        return pd.DataFrame([{**dataclasses.asdict(t), "ok": t.ok} for t in self.totals], columns=[*names, "ok"])

    def summary(self, *, most: int = 8) -> str:
        """Text: the verdict, what was compared and what was not."""
        labels = [part.name for part in self.parts for _ in part.comparisons]
        lines = self._lines(self.spec.title, labels, most)
        streamed = "; streamed, the same rows give the answer in memory" if self._streamed else ""
        lines.insert(2, f"  {self.seen}{streamed}")
        if self.totals:
            sums = counted(len(self.totals) - 1, "sum")
            lines.append(f"  all {self.rows:,} rows: the number of rows used and {sums} of columns, by two readers")
        lines += [f"  all rows: {t.what}: {t.read:.17g} in the pieces, {t.independent:.17g}" for t in self.wrong_totals]
        lines += [f"  {part.name}: not asked: {part.reason}" for part in self.parts if part.agreement is None]
        lines += [f"  not summed: {name}: {why}" for name, why in self.not_summed.items()]
        lines.append(
            "  not compared: coefficients and standard errors from all rows, which only one engine can compute"
        )
        return "\n".join(lines)

    @property
    def _streamed(self) -> bool:
        found = [part.streamed for part in self.parts if part.agreement is not None]
        return all(one is not None and one.verdict in ("identical", "rounding") for one in found)


def check(
    spec_or_formula: IVSpec | str,
    source: Any,
    vcov: str | Vcov | None = None,
    *,
    rows: int = 100_000,
    blocks: int = 3,
    seed: int = 1,
    **options: Unpack[Options],
) -> ScaleCheck:
    """Check an answer from more rows than R can hold, as far as that is possible, and say how far it was.

    A random sample of the rows, and some blocks of consecutive rows, are cross-checked as any data are; from exactly
    these rows the streamed answer is made, too. Of all rows, the number of those used and the sums, squares and
    products of columns, as the passes read them, are compared with what DuckDB makes of the source in one query.

    Parameters
    ----------
    spec_or_formula, source, vcov
        As for :func:`ivbridge.scale.fit`.
    rows : int, default 100,000
        Of the sample, and of each block.
    blocks : int, default 3
        One in each equal part of the source, at a random place.
    seed : int, default 1
        The rows depend on it and on how many rows there are, not on files, pieces or who reads them.
    engines : sequence of str, default ("r", "native", "fast")
        As for :func:`ivbridge.crosscheck`.
    memory, runner, progress : optional
        As for :func:`ivbridge.scale.fit`.

    Returns
    -------
    ScaleCheck

    Raises
    ------
    FormulaError, DataError, DesignError, UnsupportedError, MissingExtraError
        If the question cannot be asked of these data.
    RNotAvailableError
        If an engine is R and R cannot be used here.
    """
    data = opened(source)
    spec = spec_or_formula if isinstance(spec_or_formula, IVSpec) else IVSpec.from_formula(spec_or_formula)
    spec = spec if vcov is None else spec.with_vcov(parse_vcov(vcov))
    found = plan(spec, data, memory=options.get("memory"))
    totals, not_summed = _totals(found, data, options.get("runner"))
    parts = tuple(_part(name, spec, Picked(data, numbers), found, options)
                  for name, numbers in _chosen(data.rows, rows, blocks, seed))  # fmt: skip
    return ScaleCheck(spec, data.rows, seed, parts, totals, not_summed)


def _chosen(total: int, rows: int, blocks: int, seed: int) -> Iterator[tuple[str, IntArray]]:
    if rows < 1 or blocks < 0 or seed < 0:
        raise DataError(f"check() got rows={rows}, blocks={blocks}, seed={seed}.", do="ask for at least one row.")
    if total <= rows:
        yield "all rows", np.arange(total)
        return
    yield "sample", sampled(total, rows, seed)
    for first, last in consecutive(total, rows, blocks, seed):
        yield f"rows {first + 1:,} to {last:,}", np.arange(first, last)


def _part(name: str, spec: IVSpec, picked: Picked, found: Plan, options: Options) -> Part:
    frame = _tables(picked, found.question.columns).to_pandas()
    engines = options.get("engines", ("r", "native", "fast"))
    try:
        agreement = crosscheck(spec, frame, [asked_vcov(spec)], engines, progress=options.get("progress"))
    except (DataError, DesignError) as error:
        return Part(name, picked.rows, None, None, error.message)
    streamed = fit(spec, picked, memory=options.get("memory"), runner=options.get("runner"))
    return Part(name, picked.rows, agreement, _beside(agreement, streamed))


def _tables(source: Source, columns: Sequence[str]) -> pa.Table:
    """All rows of a source in one table."""
    import pyarrow as pa

    tables = [table for piece in source.pieces(columns, 1 << 60) for table in piece.frames(columns)]
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()


def _beside(agreement: Agreement, streamed: Estimate) -> Comparison:
    """The streamed answer beside one in memory that keeps its matrices."""
    answers = [*(c.candidate for c in reversed(agreement.comparisons)), agreement.comparisons[0].reference]
    memory = next((one for one in answers if one.seen.has_matrices and one.engine in ("fast", "native")), answers[-1])
    streamed = dataclasses.replace(streamed, engine="streamed")
    checks = [Check("rows", str(memory.n), str(streamed.n), memory.n == streamed.n)]
    checks += [one for one in handshake(memory, streamed) if one.name not in NOT_KEPT]
    spec = memory.spec
    allowed = allowed_gaps(memory.seen, memory.seen, [asked_vcov(spec)], spec.inference, spec.method)[0]
    return judged(memory, streamed, tuple(checks), allowed, None)


def _totals(found: Plan, source: Source, runner: Runner | None) -> tuple[tuple[Total, ...], dict[str, str]]:
    """Counts and sums of all rows, and the columns that are not summed."""
    question = found.question
    kinds = {one.name: one.type for one in source.schema}
    plain = {j: column for j, name in enumerate(found.names) if (column := _plain(name, kinds)) is not None}
    not_summed = {name: "made of other columns" for j, name in enumerate(found.names) if j not in plain}
    numbers = [name for name in question.model_columns if is_number(kinds[name])]
    others = [name for name in question.model_columns if not is_number(kinds[name])]
    try:
        with Relation.of(source) as relation:
            where = usable(numbers, others, question.spec.weights)
            totals = compared_totals(found.rows(runner), relation, tuple(plain.values()), tuple(plain), where)
    except UnsupportedError as error:
        return (), dict.fromkeys(found.names, error.message)
    if totals[0].ok or question.plain:
        return totals, not_summed
    tally = _survey(found).tally  # rows where a function has no value, which only the passes know
    if not tally.broken:
        return totals, not_summed
    rows = dataclasses.replace(totals[0], read=totals[0].read + tally.broken)
    why = f"a term is undefined in {counted(tally.broken, 'row')}, which the other reader does not know"
    return (rows,), dict.fromkeys(found.names, why)


def _survey(found: Plan) -> Survey:
    """The survey of a plan's rows."""
    pieces = [RawTables(piece.raw, found.question.columns) for piece in found.pieces]
    return Surveyor(found.question)(table for piece in pieces for table in piece.blocks())


def _plain(name: str, kinds: Mapping[str, Any]) -> str | None:
    """The column of numbers that a column of the model is as it is."""
    try:
        node = parse(name)
    except ValueError:
        return None
    column = columns_of(name)[0] if isinstance(node, Name) else ""
    return column if column in kinds and is_number(kinds[column]) else None

"""The verb: one question about rows that no memory holds, one answer."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivbridge.asked import asked_vcov, options_text
from ivbridge.blocks.answer import Answer
from ivbridge.blocks.factor import Factor, factored
from ivbridge.blocks.regression import Layout
from ivbridge.blocks.solve import check_rows, solved
from ivbridge.blocks.sums import Cross
from ivbridge.engines.fast import FastEngine
from ivbridge.errors import DataError, DesignError
from ivbridge.kept import Kept, kept_of
from ivbridge.later import later
from ivbridge.magnitude import LARGEST, SMALLEST
from ivbridge.progress import Progress
from ivbridge.rank import decided
from ivbridge.records import Digits, Provenance, Seen
from ivbridge.results import Estimate
from ivbridge.scale.memory import allowed, shown
from ivbridge.scale.opening import opened
from ivbridge.scale.packed import digest
from ivbridge.scale.passes import Passes, Watch
from ivbridge.scale.pieces import Here, Piece, Runner
from ivbridge.scale.plan import Plan, needs_survey, planned
from ivbridge.scale.resume import SumsFile
from ivbridge.scale.sources import RawPiece, Source
from ivbridge.scale.survey import RawTables, Survey, Surveyor
from ivbridge.scale.terms import Question, asked
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread
from ivbridge.vcov import Vcov
from ivbridge.vcov_text import parse_vcov

__all__ = ["Job", "fit", "plan"]

#: Part of the memory that the columns of one piece may take: a reader holds some row groups at a time.
PIECE = 0.2

#: Bytes that finding the code of a cluster takes, for each of them.
CODES = 50

_IN_PIECES = "the rows were read in pieces and not kept"
LACKS = {"resid": _IN_PIECES, "fitted": _IN_PIECES, "columns": _IN_PIECES}


class _Unfinished(Exception):  # noqa: N818
    """The sums are not finite: some value is missing or infinite."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A question about a source, and what its passes share.

    Attributes
    ----------
    question : Question
    source : Source
    raw : tuple of RawPiece
    memory : int
    runner : Runner
    kept : SumsFile
    watch : Watch
    """

    question: Question
    source: Source
    raw: tuple[RawPiece, ...]
    memory: int
    runner: Runner
    kept: SumsFile
    watch: Watch

    def survey(self) -> Survey:
        """Look at all rows.

        Raises
        ------
        DataError
            If a value cannot be used, or the clusters do not fit into the memory.
        """
        columns = self.question.columns
        pieces = tuple(RawTables(piece, columns) for piece in self.raw)

        def check(part: object, total: Survey, complete: bool) -> None:
            self._intact(complete=complete)
            if (size := sum(table.nbytes for table in total.clusters)) > self.memory / 4:
                raise _too_many_clusters(self.question.vcov, size, self.memory)

        return self._passes(pieces, 0, np.zeros(0), check).reduce(Surveyor(self.question))

    def plan(self, *, careful: bool = False) -> Plan:
        """What a block's columns are; errors as for :func:`fit`."""
        survey = self.survey() if needs_survey(self.question) else None
        found = planned(self.question, self.raw, survey, careful=careful)
        for members, count in zip(self.question.groups, found.groups, strict=True):
            if count < 2 and len(members) == 1:
                raise DataError(
                    f"{self.question.vcov}: the column {members[0]!r} holds a single cluster in the rows used; at "
                    "least two are needed.",
                    do="cluster by another column, or use HC1.",
                )
        sums = (8.0 * len(found.layout.x) + CODES) * sum(found.groups)
        if 3 * sums > self.memory:
            raise _too_many_clusters(self.question.vcov, 3 * sums, self.memory)
        if (square := 8.0 * (found.width + 1) ** 2) * 6 > self.memory:
            raise DesignError(
                f"The question has {found.width} columns, whose cross-products take {shown(square)}.",
                do="allow more memory, or use factors with fewer levels.",
            )
        return found

    def rows(self, plan: Plan) -> Passes:
        """The rows of a plan, watched and kept."""

        def check(part: Any, total: Any, complete: bool) -> None:
            self._intact(complete=complete)
            if (gram := getattr(total, "gram", None)) is None:
                return
            if not np.isfinite(gram).all():
                if not plan.careful:
                    raise _Unfinished
                raise DataError("A product of columns is too large for a number.", do="rescale the columns.")
            if complete and isinstance(part, Cross):
                self._look(plan, total.n, gram, part.shift)

        recipe = plan.pieces[0].recipe
        key = digest(recipe.careful, recipe.coding, recipe.books, recipe.factors, recipe.kept)
        return self._passes(plan.pieces, plan.width, plan.start, check, key)

    def _intact(self, *, complete: bool) -> None:
        """Refuse sums over files that changed meanwhile."""
        if complete and (intact := getattr(self.source, "intact", None)) is not None:
            intact()

    def _passes(
        self, pieces: tuple[Piece, ...], width: int, start: np.ndarray, check: Callable[[Any, Any, bool], None],
        key: str = "",
    ) -> Passes:  # fmt: skip
        whole = digest(key, self.question, [piece.rows for piece in self.raw])
        return Passes(pieces, width, start, self.runner, self.kept, self.watch, whole, check)

    def _look(self, plan: Plan, n: int, gram: np.ndarray, shift: np.ndarray | None) -> None:
        """Refuse what no rows, a dependent variable without variation, or the size of numbers make meaningless."""
        if not n:
            self.survey().tally.check()
        lengths = np.sqrt(np.diag(gram)[-plan.width :] / n)
        sizes = lengths if shift is None else np.maximum(lengths, np.abs(shift))
        weights, root = plan.question.spec.weights, float(np.sqrt(gram[0, 0] / n)) if shift is not None else 1.0
        for name, size in zip(plan.names, sizes.tolist(), strict=True):
            _check_size(name, name, size)
            if weights is not None:
                _check_size(f"{name} times the square root of {weights}", weights, size * root)
        if lengths[-1] == 0:
            value = 0.0 if shift is None else shift[-1]
            raise DesignError(
                f"The dependent variable {plan.names[-1]} is {value:g} in every row used: there is nothing to explain.",
                do="choose a column that varies.",
            )


def _check_size(what: str, name: str, size: float) -> None:
    if size > LARGEST or 0 < size < SMALLEST:
        raise DataError(
            f"The values of {what} are about {size:.3g}, and products of such numbers leave the range of doubles.",
            available=f"columns whose largest value lies between {SMALLEST:g} and {LARGEST:g}",
            do=f"change the unit of {name}.",
        )


def _too_many_clusters(vcov: Vcov, size: float, memory: int) -> DataError:
    return DataError(
        f"{vcov}: the clusters take {shown(size)}, more than fits into memory={shown(memory)}.",
        do="allow more memory, or cluster by a column with fewer values.",
    )


def _job(
    spec_or_formula: IVSpec | str, source: Any, vcov: str | Vcov | None, memory: int | str | None,
    resume: Path | str | None = None, progress: Progress | None = None, runner: Runner | None = None,
) -> Job:  # fmt: skip
    spec = spec_or_formula if isinstance(spec_or_formula, IVSpec) else IVSpec.from_formula(spec_or_formula)
    if vcov is not None:
        spec = spec.with_vcov(parse_vcov(vcov))
    chosen = asked_vcov(spec)
    limit = allowed(memory)
    data = opened(source)
    question = asked(spec, chosen, data.schema)
    raw = data.pieces(question.columns, int(PIECE * limit))
    if not raw:
        raise DesignError("No row can be used: the data has no rows.", do="check the names of the files.")
    kept = SumsFile(resume, data.state + (getattr(data, "fingerprint", str)() if resume is not None else ""))
    return Job(question, data, raw, limit, runner or Here(), kept, Watch(progress, data.rows))


def plan(
    spec_or_formula: IVSpec | str, source: Any, vcov: str | Vcov | None = None, *, memory: int | str | None = None
) -> Plan:
    """What :func:`fit` would read: pieces, the columns of their blocks, the layout of the model.

    Parameters and errors are those of :func:`fit`. Rows are looked at one by one, whatever the question.
    """
    return _job(spec_or_formula, source, vcov, memory).plan(careful=True)


@one_thread()
def fit(
    spec_or_formula: IVSpec | str,
    source: Any,
    vcov: str | Vcov | None = None,
    *,
    memory: int | str | None = None,
    resume: Path | str | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Estimate:
    """Answer one instrumental-variable question about data that need not fit into memory.

    Parameters
    ----------
    spec_or_formula : IVSpec or str
        As for :func:`ivbridge.fit`; terms must be computable row by row. Weights, inference and method are the spec's.
    source : str, Path, list of them, table or DuckDB relation
        What :func:`ivbridge.scale.opening.opened` takes: ``"data/*.parquet"``, ``"duckdb:file.db?table=t"``, …
    vcov : str or Vcov
        Required unless the spec names one: ``"classical"``, ``"HC0"`` … ``"HC5"``, ``"cluster(g)"``, …
    memory : int or str, optional
        What the job may take beside the program itself, as ``"1GB"``; default: a quarter of the machine's.
    resume : path, optional
        A file that keeps the sums so far, from which the same job goes on after it was stopped, to the same bits.
    progress : callable (done, total, what), optional
        Called after each piece; :func:`ivbridge.progress_bar` makes one.
    runner : Runner, optional
        Who reads the pieces; default: this process.

    Returns
    -------
    Estimate
        Of engine ``"fast"``. Residuals and fitted values are not kept; tests and first stages take one more pass over
        the data when they are first looked at.

    Raises
    ------
    FormulaError, DataError, DesignError, UnsupportedError, MissingExtraError
        If the question cannot be asked of these data, or not in pieces, or ``pip install "ivbridge[scale]"`` is needed.
    """
    return _answered(_job(spec_or_formula, source, vcov, memory, resume, progress, runner))


def _answered(job: Job) -> Estimate:
    found = job.plan()
    rows = job.rows(found)
    try:
        factor = factored(rows, constant=found.layout.constant)
    except _Unfinished:
        found = job.plan(careful=True)
        rows = job.rows(found)
        factor = factored(rows, constant=found.layout.constant)
    tally = found.tally
    if tally is None and factor.n != job.source.rows:
        tally = job.survey().tally
    layout, names, exact = _ranked(found, factor)
    question = job.question
    if (less := found.of(layout)) is not found:
        found, layout, rows = less, less.layout, job.rows(less)
        factor = factored(rows, constant=layout.constant)
    answer = solved(rows, layout, question.vcov, found.groups, method=question.spec.method, factor=factor)
    check_rows(answer.factor, answer.model.left, answer.rss, same=layout.weighted or answer.weight == answer.n)
    notes = (*(() if tally is None else tally.notes), *names.notes)
    return _estimate(job, found, names, Answer(rows, answer, question.spec.inference, exact), notes)


def _ranked(plan: Plan, factor: Factor) -> tuple[Layout, Kept, bool]:
    """The layout without the columns that depend on earlier ones, their names, and whether the fit is exact."""
    layout, spec = plan.layout, plan.question.spec
    own = [place for place in layout.x if place not in layout.z]
    small = factor.raw[:, [*layout.z, *own, layout.y]].astype(float)
    rank = decided(small, layout.x_names, layout.z_names, factor.n)
    label = spec.dependent if spec.offset is None else f"{spec.dependent} - ({spec.offset})"
    kept = kept_of(spec.method, label, (layout.x_names, layout.z_names), rank)
    x, z = tuple(layout.x[j] for j in rank.x), tuple(layout.z[j] for j in rank.z)
    return dataclasses.replace(layout, x=x, x_names=kept.x, z=z, z_names=kept.z), kept, rank.exact


def _estimate(job: Job, plan: Plan, names: Kept, answer: Answer, notes: tuple[str, ...]) -> Estimate:
    found, layout = answer.solved, answer.solved.layout
    seen = Seen(
        rows=np.empty(0, dtype=np.int64), x_names=layout.x_names, z_names=layout.z_names, aliased=names.aliased,
        aliased_instruments=names.aliased_instruments, levels=plan.levels, exact=bool(answer.exact),
    )  # fmt: skip
    return Estimate(
        spec=job.question.spec, engine=FastEngine.name, coefs=answer.coefs, cov=found.cov, residuals=np.empty(0),
        fitted=np.empty(0), n=found.n, df_resid=found.df_resid, sigma=found.sigma, r2=found.r2, r2_adj=found.r2_adj,
        tests=later(lambda: answer.tests), first_stages=later(lambda: answer.first_stages), seen=seen,
        data_sha256=hashlib.sha256(job.source.state.encode()).hexdigest(), provenance=_provenance(job),
        notes=notes, kappa=found.kappa, lacks=LACKS,
        digits=later(lambda: Digits(found.digits.coef, found.digits.std_error)),
    )  # fmt: skip


def _provenance(job: Job) -> Provenance:
    spec = job.question.spec
    asked_again = f"spec = ivbridge.IVSpec.from_formula({spec.to_r()!r}, vcov={str(spec.vcov)!r}{options_text(spec)})"
    calls = ("import ivbridge, ivbridge.scale", asked_again, "ivbridge.scale.fit(spec, data)")
    return dataclasses.replace(FastEngine().provenance(spec), calls=calls)

"""A question and a source become rows in pieces that can be estimated from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from ivbridge.blocks.regression import Layout
from ivbridge.blocks.rows import PILOT
from ivbridge.design import coded, levels_of
from ivbridge.errors import DataError, DesignError
from ivbridge.formula import Term
from ivbridge.modelmatrix import model_matrix
from ivbridge.records import FloatArray
from ivbridge.rows import Tally
from ivbridge.scale.codes import Codebook
from ivbridge.scale.pieces import Here, Pieces, Runner
from ivbridge.scale.recipe import FilePiece, Recipe
from ivbridge.scale.rowwise import on_levels
from ivbridge.scale.sources import RawPiece
from ivbridge.scale.survey import Survey
from ivbridge.scale.terms import Question
from ivbridge.variables import Factor

__all__ = ["Plan", "needs_survey", "planned"]

#: The pilot means are taken from the beginnings of so many pieces, or from all rows where there are fewer pieces.
HEADS = 8

#: Rows that are evaluated to learn the names of columns.
HEAD_ROWS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Rows in pieces, and what each column of theirs is.

    Attributes
    ----------
    question : Question
    pieces : tuple of FilePiece
    layout : Layout
    names : tuple of str
        Of the columns of a block.
    groups : tuple of int
        Number of clusters in each array of codes.
    start : (width,) array
        A number near the mean of each column.
    levels : mapping of str to tuple of str
        Of every factor.
    tally : Tally or None
        Rows left out, where that is known already.
    """

    question: Question
    pieces: tuple[FilePiece, ...]
    layout: Layout
    names: tuple[str, ...]
    groups: tuple[int, ...]
    start: FloatArray
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tally: Tally | None = None

    @property
    def width(self) -> int:
        """Columns of a block."""
        return len(self.names)

    @property
    def careful(self) -> bool:
        """Whether rows are looked at before they are used."""
        return self.pieces[0].recipe.careful

    def of(self, layout: Layout) -> Plan:
        """The plan with the columns of this layout only, whose places are those of the whole one."""
        constant = self.question.spec.intercept
        kept = sorted({*layout.x, *layout.z, layout.y} - ({0} if constant else set()))
        if len(kept) == self.width:
            return self
        place = {old: new + constant for new, old in enumerate(kept)} | ({0: 0} if constant else {})
        chosen = [old - constant for old in kept]
        recipe = replace(self.pieces[0].recipe, kept=tuple(chosen))
        moved = replace(
            layout, x=tuple(place[j] for j in layout.x), z=tuple(place[j] for j in layout.z), y=place[layout.y]
        )
        return replace(
            self, pieces=tuple(FilePiece(piece.raw, recipe) for piece in self.pieces), layout=moved,
            names=tuple(self.names[j] for j in chosen), start=self.start[chosen],
        )  # fmt: skip

    def rows(self, runner: Runner | None = None) -> Pieces:
        """What can be estimated from."""
        return Pieces(self.pieces, self.width, self.start, runner or Here())


def needs_survey(question: Question) -> bool:
    """Whether all rows must be looked at first: for the levels of factors and the codes of clusters."""
    return bool(question.factors or question.groups)


def planned(question: Question, raw: tuple[RawPiece, ...], survey: Survey | None, *, careful: bool = False) -> Plan:
    """Decide on the columns of a block.

    Parameters
    ----------
    question : Question
    raw : tuple of RawPiece
    survey : Survey or None
        None where no survey is needed.
    careful : bool, default False
        Look at every row even where missing values would show in the sums.

    Raises
    ------
    DesignError
        If there are no rows.
    DataError, FormulaError
        If the columns cannot be used.
    """
    if survey is not None:
        survey.tally.check()
    careful = careful or not question.plain or question.spec.weights is not None or bool(question.groups)
    books = () if survey is None else tuple(map(Codebook.of, survey.clusters))
    recipe = Recipe(question, careful, books=books)
    levels: dict[str, tuple[str, ...]] = {}
    names: dict[Term, tuple[str, ...]] = {t: t for t in (*question.exog, *question.instruments, *question.endog)}
    if not question.plain:
        recipe, names, levels = _coded(question, raw, survey or Survey(), recipe)
    places: dict[Term, range] = {}
    columns: list[str] = []
    for term in (*question.exog, *question.instruments, *question.endog):
        places[term] = range(len(columns), len(columns) + len(names[term]))
        columns.extend(names[term])
    if twice := sorted(name for name, count in Counter(columns).items() if count > 1):
        raise DataError(f"Two columns of the model are called {twice[0]!r}.", do="rename a column of the data.")
    layout = _layout(question, places, names)
    pieces = tuple(FilePiece(piece, recipe) for piece in raw)
    start = _start(pieces, len(columns) + 1)
    counts = tuple(book.count for book in books)
    tally = None if survey is None else survey.tally
    return Plan(question, pieces, layout, (*columns, question.spec.dependent), counts, start, levels, tally)


def _coded(
    question: Question, raw: tuple[RawPiece, ...], survey: Survey, recipe: Recipe
) -> tuple[Recipe, dict[Term, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """The recipe with the levels and codings of factors, the names of each term's columns, the levels."""
    table = next((t for piece in raw for t in piece.frames(question.columns, HEAD_ROWS) if t.num_rows), None)
    if table is None:
        raise DesignError("No row can be used: the data has no rows.", do="check the names of the files.")
    every = survey.all_levels(table.select(list(question.model_columns)))
    found = on_levels(question, every)
    factors = {name: survey.used_levels(name, v) for name, v in found.items() if isinstance(v, Factor)}
    recipe = replace(recipe, levels=every, factors=tuple(factors.items()))
    used = recipe.used(found)
    parts = question.parts
    both = coded(parts, used, intercept=question.spec.intercept)
    codings = [dict(zip(part, code, strict=True)) for part, code in zip(parts, both, strict=True)]
    names: dict[Term, tuple[str, ...]] = {}
    coding = []
    for terms, known in ((question.exog, codings[0]), (question.instruments, codings[1]), (question.endog, codings[0])):
        chosen = tuple(known[term] for term in terms)
        coding.append(chosen)
        made = model_matrix(terms, used, intercept=False, rows=every.table.num_rows, coding=chosen)
        for j, term in enumerate(terms):
            names[term] = tuple(name for name, owner in zip(made.names, made.terms, strict=True) if owner == j)
    return replace(recipe, coding=(coding[0], coding[1], coding[2])), names, levels_of(used)


def _layout(question: Question, places: Mapping[Term, range], names: Mapping[Term, tuple[str, ...]]) -> Layout:
    """Places in W, where the constant comes first."""
    constant = question.spec.intercept
    x, z = question.parts
    first = ((0,), ("(Intercept)",)) if constant else ((), ())
    (xp, xn), (zp, zn) = (
        (
            (*first[0], *(constant + place for term in terms for place in places[term])),
            (*first[1], *(name for term in terms for name in names[term])),
        )
        for terms in (x, z)
    )
    y = constant + sum(map(len, names.values()))
    weighted = {"weighted": True} if question.spec.weights is not None else {}
    return Layout(constant, xn, zn, xp, zp, y, **weighted)


def _start(pieces: tuple[FilePiece, ...], width: int) -> FloatArray:
    """Means of some rows; the value itself where a column is the same in all of them."""
    found: list[FloatArray] = []
    if len(pieces) >= HEADS:
        chosen = [pieces[j] for j in np.linspace(0, len(pieces) - 1, HEADS).astype(int)]
        heads = (piece.blocks(PILOT // HEADS) for piece in chosen)
        found = [np.stack(block.columns, axis=1) for head in heads for block in islice(head, 1)]
    else:
        for piece in pieces:
            found.extend(np.array([[column[0] for column in block.columns]]) for block in piece.blocks())
    if not found:
        return np.zeros(width)
    rows = np.concatenate(found)
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(rows), rows, np.nan)
        count = np.isfinite(finite).sum(axis=0)
        mean = np.where(count > 0, np.nansum(finite, axis=0) / np.maximum(count, 1), 0.0)
    first = np.where(np.isfinite(rows[0]), rows[0], 0.0)
    return np.where((finite == first).all(axis=0), first, mean)

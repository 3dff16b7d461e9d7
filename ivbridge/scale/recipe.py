"""From tables of rows to blocks of the model's columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivbridge.blocks.rows import Block, block_rows
from ivbridge.canonical import columns_of
from ivbridge.coding import Coding
from ivbridge.modelmatrix import model_matrix
from ivbridge.records import FloatArray, IntArray
from ivbridge.scale.codes import Codebook, keys_of
from ivbridge.scale.frames import BATCH, numbers, regrouped
from ivbridge.scale.rowwise import Levels, Look, look
from ivbridge.scale.sources import RawPiece
from ivbridge.scale.survey import named
from ivbridge.scale.terms import Question
from ivbridge.variables import Factor, Variable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FilePiece", "Recipe"]

#: Numbers of a table of dummies.
NUMBERS = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How rows of a source become blocks.

    Attributes
    ----------
    question : Question
    careful : bool
        Whether rows are looked at before they are used. Otherwise, for a plain question without weights, a missing or
        infinite value makes the sums NaN.
    levels : Levels or None
        All levels of the factors.
    factors : tuple of (str, Factor)
        Each factor with the levels that are used; its codes say which level of all has which place, −1 for none.
    coding : tuple of Coding
        Of the terms of exog, instruments, endog.
    books : tuple of Codebook
    kept : tuple of int or None
        Places of the columns that go into a block, the dependent variable's last; None for all.
    """

    question: Question
    careful: bool = False
    levels: Levels | None = None
    factors: tuple[tuple[str, Factor], ...] = ()
    coding: tuple[Coding, Coding, Coding] = ((), (), ())
    books: tuple[Codebook, ...] = ()
    kept: tuple[int, ...] | None = None

    def blocks(self, tables: Iterator[pa.Table]) -> Iterator[Block]:
        """Blocks of all rows that can be used.

        Raises
        ------
        DataError
            If a value cannot be used.
        """
        for table in regrouped(tables, self.batch):
            columns, weights, codes = self._columns(table)
            columns = columns if self.kept is None else [columns[place] for place in self.kept]
            count, step = len(columns[-1]), block_rows(len(columns))
            for start in range(0, count, step):
                rows = slice(start, start + step)
                yield Block(
                    [column[rows] for column in columns], None if weights is None else weights[rows],
                    tuple(one[rows] for one in codes),
                )  # fmt: skip

    def _columns(self, table: pa.Table) -> tuple[list[FloatArray], FloatArray | None, tuple[IntArray, ...]]:
        question = self.question
        if not self.careful:
            return [numbers(name, table[name]) for name in self.order], None, ()
        found = look(question, table, self.levels)
        columns = [found.numbers[name] for name in self.order] if question.plain else self._model(found)
        codes: tuple[IntArray, ...] = ()
        if self.books:
            keys = keys_of(table, question.vcov.columns)
            keys = keys if isinstance(found.rows, slice) else keys.take(found.rows)
            codes = tuple(book.codes(keys) for book in self.books)
        return columns, found.weights, codes

    @property
    def batch(self) -> int:
        """Rows that are evaluated together: fewer where there are many dummies."""
        levels = sum(len(factor.levels) for _, factor in self.factors)
        return max(512, min(BATCH, NUMBERS // (1 + levels)))

    @property
    def order(self) -> tuple[str, ...]:
        """Columns of the data in a block of a plain question."""
        question = self.question
        texts = [term[0] for term in (*question.exog, *question.instruments, *question.endog)]
        return tuple(columns_of(text)[0] for text in (*texts, question.spec.dependent))

    def _model(self, found: Look) -> list[FloatArray]:
        """Columns of the terms, then the dependent variable."""
        question, variables = self.question, self.used(found.variables)
        columns: list[FloatArray] = []
        for terms, coding in zip((question.exog, question.instruments, question.endog), self.coding, strict=True):
            made = model_matrix(terms, variables, intercept=False, rows=len(found.y), coding=coding)
            columns.extend(made.columns)
        return [*columns, found.y]

    def used(self, variables: Mapping[str, Variable]) -> dict[str, Variable]:
        """Variables with the codes of the levels that are used."""
        known = dict(self.factors)
        return {
            name: variable if not isinstance(variable, Factor) else _recoded(known[name], variable)
            for name, variable in variables.items()
        }


def _recoded(used: Factor, found: Factor) -> Factor:
    place = {level: j for j, level in enumerate(used.levels)}
    table = np.array([place.get(level, -1) for level in found.levels], dtype=np.int64)
    return Factor(table[found.codes], used.levels, used.coding, used.reference, used.logical)


@dataclass(frozen=True, slots=True, eq=False)
class FilePiece:
    """A raw piece with a recipe; a :class:`~ivbridge.scale.pieces.Piece`.

    Attributes
    ----------
    raw : RawPiece
    recipe : Recipe
    """

    raw: RawPiece
    recipe: Recipe

    def __str__(self) -> str:
        return str(self.raw)

    def blocks(self, limit: int | None = None) -> Iterator[Block]:
        """Read the rows, or the first `limit` of them.

        Raises
        ------
        DataError
            If they cannot be read or used; the message begins with the piece's name.
        """
        columns = self.recipe.question.columns if self.recipe.careful else tuple(dict.fromkeys(self.recipe.order))
        with named(str(self.raw)):
            yield from self.recipe.blocks(self.raw.frames(columns, limit))

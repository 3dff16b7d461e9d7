"""What data out of core are: pieces that can be read by themselves, with one kind of table inside, Arrow's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ivbridge.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RawPiece", "Source", "extra", "most_rows", "rows_of"]

#: Rows of a piece at most (what is lost when a job is stopped, and what a machine of a cluster gets at a time), unless
#: there would be more pieces than this.
MOST_ROWS, MOST_PIECES = 4_000_000, 2500
#: Pieces that there are at least, where they do not get smaller than so many rows.
FEWEST_PIECES, LEAST_ROWS = 16, 250_000


class RawPiece(Protocol):
    """Some consecutive rows, described; can be pickled. ``str()`` names them in messages.

    Attributes
    ----------
    start : int
        Number of its first row in the whole source, from 0.
    rows : int
        How many rows it has; −1 where that is known only after reading.
    """

    @property
    def start(self) -> int: ...
    @property
    def rows(self) -> int: ...

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """Read these columns: tables of any sizes, in order, together exactly the rows (or the first `limit`).

        Raises
        ------
        DataError
            If the rows cannot be read, or are not those that were described.
        """
        ...


class Source(Protocol):
    """Data that can be read more than once, always in the same order.

    Two more methods are called where a source has them: ``intact()`` after each pass, which raises a DataError if the
    data are no longer those that were opened, and ``fingerprint()``, a text about all values, before sums are kept in a
    file, where `state` cannot know whether values have changed.
    """

    @property
    def schema(self) -> pa.Schema:
        """Names and types of all columns."""
        ...

    @property
    def rows(self) -> int:
        """All rows; −1 where that is known only after reading."""
        ...

    @property
    def state(self) -> str:
        """Text that changes when the data do: names, sizes, times of change, types."""
        ...

    def pieces(self, columns: Sequence[str], room: int) -> tuple[RawPiece, ...]:
        """The rows in pieces, in order.

        Parameters
        ----------
        columns : sequence of str
            What will be read.
        room : int
            Bytes that the columns of one piece may take, as a rule.
        """
        ...


def most_rows(total: int) -> int:
    """Rows of a piece at most.

    Small data make several pieces, too, whose beginnings tell where the columns lie; very large data do not make more
    than a few thousand, whose sums are joined one by one.
    """
    return max(1, min(max(MOST_ROWS, total // MOST_PIECES), max(total // FEWEST_PIECES, LEAST_ROWS)))


def rows_of(width: float, room: int, total: int) -> int:
    """Rows of `width` bytes that fit into the room: at least a thousand, at most :func:`most_rows`."""
    return int(max(1000, min(most_rows(total), room // max(width, 1.0))))


def extra(package: str, what: str) -> Any:
    """Import a package of the extra `scale`.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs the package {package.partition('.')[0]}, which is not installed.",
            do='pip install "ivbridge[scale]"',
        ) from error

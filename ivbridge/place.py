"""Where a report goes: checked before any work is done, written as UTF-8."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Collection
from pathlib import Path

from ivbridge.errors import DataError, UnsupportedError

__all__ = ["check_folder", "check_report", "make_folder", "replace_file", "write_text"]


def check_folder(path: str | Path) -> None:
    """Refuse a path at which no file can be written.

    Raises
    ------
    DataError
        The name is one that no file can have, its folder does not exist, or it is a folder itself.
    """
    path = Path(path)
    try:
        if "\0" in str(path):
            raise DataError(f"{str(path)!r} is no name of a file: it holds NUL.")
        if not path.parent.is_dir():
            do = f"mkdir -p {shlex.quote(str(path.parent))}"
            raise DataError(f"There is no folder {path.parent} for the report.", do=do)
        if path.is_dir():
            raise DataError(f"{path} cannot be written: it is a folder.", do="give the path of a file in it.")
    except OSError as error:
        raise _unwritable(path, error) from error


def check_report(path: Path, endings: Collection[str]) -> None:
    """Refuse a report that could not be written, before any work is done.

    Raises
    ------
    UnsupportedError
        If no report has such an ending.
    DataError
        As :func:`check_folder`.
    """
    if path.suffix.lower() not in endings:
        raise UnsupportedError(f"A report cannot be {path.name}.", available="names ending in " + " ".join(endings))
    check_folder(path)


def make_folder(folder: str | Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises
    ------
    DataError
        It cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be made: {error.strerror}.") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a report; a lone surrogate, which UTF-8 does not have, becomes a question mark.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    check_folder(path)
    try:
        Path(path).write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise _unwritable(Path(path), error) from error


def replace_file(path: str | Path, content: bytes) -> None:
    """Put the content at the path in one step, so that a reader sees the old file or the new one; makes the folder.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    path, temporary = Path(path), ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.", delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError | ValueError) -> DataError:
    shown = str(path) if len(str(path)) <= 200 else str(path)[:197] + "…"
    return DataError(f"{shown} cannot be written: {error.strerror if isinstance(error, OSError) else error}.")

"""Where recorded references are, and which of them answers a question."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from ivbridge.design import Design
from ivbridge.errors import IvbridgeError, ReferenceNotFoundError
from ivbridge.references_data import same_data
from ivbridge.references_file import Reference, question_of, read_tree, record_command
from ivbridge.references_replay import changes, stale_error
from ivbridge.spec import IVSpec

__all__ = ["BUNDLED", "find_reference", "folders", "load_reference", "reference_files", "references_from"]

#: R's answers to the questions of the gallery.
BUNDLED = Path(__file__).parent / "recorded"

_asked: ContextVar[tuple[Path, ...]] = ContextVar("references_from", default=())


def load_reference(path: str | Path) -> Reference:
    """Read a reference, and make sure that nobody changed it.

    Raises
    ------
    DataError
        If there is no such file, or it is no reference.
    EditedReferenceError
        If its content is not what was written, or its numbers contradict each other.
    """
    return Reference.read(path)


@contextlib.contextmanager
def references_from(*places: str | Path) -> Iterator[None]:
    """Let the engine ``recorded`` look at these folders or files first.

    Parameters
    ----------
    *places : path
        A folder is searched for ``*.json`` in it, not below.
    """
    token = _asked.set((*map(Path, places), *_asked.get()))
    try:
        yield
    finally:
        _asked.reset(token)


def folders() -> tuple[Path, ...]:
    """Where references are looked for: `references_from`, ``IVBRIDGE_REFERENCES``, then those of the package."""
    named = [Path(text) for text in os.environ.get("IVBRIDGE_REFERENCES", "").split(os.pathsep) if text]
    return (*_asked.get(), *named, BUNDLED)


def reference_files(places: Sequence[Path] | None = None) -> Iterator[Path]:
    """Every file of these places, in order; default: those of :func:`folders`. A place that is no folder is a file."""
    for place in folders() if places is None else places:
        if place.is_dir():
            yield from sorted(place.glob("*.json"))
        elif place.is_file() or places is not None:
            yield place


@lru_cache(maxsize=4096)
def _head(path: Path, _changed: tuple[int, int]) -> tuple[IVSpec, tuple[str, ...]] | None:
    """Question and vcovs of a file; None where it is no reference."""
    try:
        tree = read_tree(path)
        return question_of(tree), tuple(tree["question"]["vcovs"])
    except (IvbridgeError, ValueError, LookupError, TypeError, AttributeError):
        return None


@lru_cache(maxsize=64)
def _loaded(path: Path, _changed: tuple[int, int]) -> Reference:
    return Reference.read(path)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_mtime_ns, state.st_size


def find_reference(design: Design) -> Reference:
    """The reference that answers a question about these data under its vcov.

    Parameters
    ----------
    design : Design
        Its spec names the vcov.

    Raises
    ------
    ReferenceNotFoundError
        If there is none; the message holds the command that records it.
    StaleReferenceError
        If the question was recorded with other data or R scripts, and not with these.
    EditedReferenceError
        If the file was changed by hand.
    """
    question, vcov = dataclasses.replace(design.spec, vcov=None), str(design.spec.vcov)
    unreadable, stale, near = [], None, []
    for path in reference_files():
        head = _head(path, _stamp(path))
        if head is None:
            unreadable.append(path)
        elif head[0] == question and vcov in head[1]:
            reference = _loaded(path, _stamp(path))
            if not changes(reference, design):
                return reference
            stale = stale or reference
        elif head[0].dependent == question.dependent and path.parent != BUNDLED:
            near.append(path)
    if stale:
        raise stale_error(stale, design)
    raise _not_found(design, unreadable, near)


def _not_found(design: Design, unreadable: Sequence[Path], near: Sequence[Path]) -> ReferenceNotFoundError:
    looked = ", ".join(f"{place}{'' if place.exists() else ' (does not exist)'}" for place in folders())
    broken = f" These files could not be read: {', '.join(map(str, unreadable))}." if unreadable else ""
    question, vcov = dataclasses.replace(design.spec, vcov=None), str(design.spec.vcov)
    do = f"record it where R is: {record_command(question, (vcov,), 'DATA', 'FILE.json')}"
    for path in near:
        with contextlib.suppress(IvbridgeError):
            other = _loaded(path, _stamp(path))
            if same_data(other.data, design):
                same = other.spec == question
                vcovs = tuple(dict.fromkeys([*other.vcovs, vcov]))
                command = record_command(question, vcovs, other.data.source, str(path))
                why = f"{path} lacks this vcov" if same else f"the question of {path}, {other.spec.title}, changed"
                do = f"if {why}, record it again where R is: {command}"
                break
    return ReferenceNotFoundError(
        f"There is no recorded answer to {design.spec.title} under {design.spec.vcov}; looked in {looked}.{broken}",
        do=do,
    )

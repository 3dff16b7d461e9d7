"""Recorded references: R's answers in a file, so that a check needs no R. Record, find, replay.

The calls, in the order in which they are needed::

    record(spec_or_formula, data, vcovs=None, path=None, *, weights=…, inference=…, method=…) -> Reference
    load_reference(path) -> Reference             # DataError, EditedReferenceError
    references_from(*folders_or_files)            # context manager: where the engine "recorded" looks first
    find_reference(design) -> Reference           # ReferenceNotFoundError, StaleReferenceError, EditedReferenceError
    changes(reference, design) -> list[str]       # what makes it stale; empty where it is fresh
    replay(reference, design) -> Estimate         # StaleReferenceError
    ivbridge.fit(…, engine="recorded"), ivbridge.crosscheck(…, engines=("recorded", "native"))

`Reference` (:mod:`ivbridge.references_file`) has ``spec data vcovs answers command label path`` and ``write(path)``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

import ivbridge
from ivbridge import diagnostics
from ivbridge.api import design_for
from ivbridge.compare import Changes, default_vcovs
from ivbridge.data import Dataset
from ivbridge.design import Design
from ivbridge.engines import engine
from ivbridge.engines.native import asked_vcov, seen_of
from ivbridge.engines.process import default_worker
from ivbridge.engines.r import inference_call
from ivbridge.errors import IvbridgeError, ReferenceNotFoundError, StaleReferenceError, UnsupportedError
from ivbridge.method import TwoStage
from ivbridge.references_data import changed_columns, column_sums, data_facts, other_columns, same_sums, sums
from ivbridge.references_digits import digits_left
from ivbridge.references_file import Reference, question_of, read_tree, record_command
from ivbridge.resources import scripts_dir
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread
from ivbridge.vcov import Vcov
from ivbridge.vcov_text import parse_vcov

__all__ = [
    "BUNDLED",
    "Reference",
    "changes",
    "find_reference",
    "folders",
    "load_reference",
    "record",
    "reference_files",
    "references_from",
    "replay",
    "script_hashes",
]

#: R's answers to the questions of the gallery.
BUNDLED = Path(__file__).parent / "recorded"
#: Rows up to which residuals and fitted values are kept.
MOST_ROWS = 5000

#: A note of every replayed answer.
SAME_COLUMNS = "a reference keeps sums of R's columns instead of the columns; here they are the same sums"

_asked: ContextVar[tuple[Path, ...]] = ContextVar("references_from", default=())


@one_thread()
def record(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
    vcovs: Sequence[str | Vcov] | None = None,
    path: str | Path | None = None,
    **changed: Unpack[Changes],
) -> Reference:
    """Ask R, and keep everything that it answers.

    Parameters
    ----------
    spec_or_formula : IVSpec or str
        As for :func:`ivbridge.fit`.
    data : DataFrame or Dataset, n rows
        A :class:`Dataset` (:func:`ivbridge.read`, :func:`ivbridge.load`) also keeps its name and the hash of its file.
    vcovs : sequence of str or Vcov, optional
        Default: classical and HC0 to HC4; for LIML and Fuller classical, HC0 and HC1.
    path : path, optional
        Where the file goes; its folder is made. Without one nothing is written.
    weights, inference, method : optional
        As for :func:`ivbridge.fit`.

    Returns
    -------
    Reference

    Raises
    ------
    UnsupportedError
        If no vcov, or an unknown one, is named.
    DataError
        If the file cannot be written.
    RNotAvailableError
        If R cannot be used here.
    """
    chosen: Any = vcovs
    if vcovs is None:
        chosen = default_vcovs(design_for(spec_or_formula, data, **changed).spec.method)
    parsed = list(dict.fromkeys(parse_vcov(vcov) for vcov in chosen))
    if not parsed:
        raise UnsupportedError("record() got no vcov.", do="name one at least, or leave them out.")
    found = _answered(design_for(spec_or_formula, data, parsed, **changed), parsed, data)
    return found if path is None else found.write(path)


def _answered(design: Design, vcovs: Sequence[Vcov], data: pd.DataFrame | Dataset) -> Reference:
    spec = dataclasses.replace(design.spec, vcov=None)
    questions = [dataclasses.replace(design, spec=dataclasses.replace(spec, vcov=vcov)) for vcov in vcovs]
    answers = {str(question.spec.vcov): engine("r").fit(question) for question in questions}
    columns = [name for question in questions for name in question.spec.columns]
    return Reference(
        spec=spec,
        data=data_facts(data, design, dict.fromkeys(columns)),
        answers={vcov: _kept(answer) for vcov, answer in answers.items()},
        sums=_sums_of(next(iter(answers.values()))),
        digits=digits_left(questions, answers),
        asked={str(question.spec.vcov): _arguments(question) for question in questions},
        environment=_environment(),
        scripts=script_hashes(spec),
    )


def _arguments(question: Design) -> dict[str, Any]:
    vcov = asked_vcov(question.spec)
    inapplicable = diagnostics.inapplicable(seen_of(question), question.spec.method, vcov)
    function, arguments = inference_call(question.spec, inapplicable)
    return {"function": function, **arguments}


def _sums_of(answer: Estimate) -> dict[str, dict[str, list[float]]]:
    return {**column_sums(answer.seen), "fit": {"residuals": sums(answer.residuals), "fitted": sums(answer.fitted)}}


def _kept(answer: Estimate) -> Estimate:
    """Without long vectors."""
    if answer.n <= MOST_ROWS:
        return answer
    why = f"a reference keeps residuals and fitted values of up to {MOST_ROWS} rows, and here are {answer.n}"
    none = np.empty(0)
    return dataclasses.replace(answer, residuals=none, fitted=none, lacks={"resid": why, "fitted": why})


def _environment() -> dict[str, str]:
    value = default_worker().call("ivb_provenance").value
    return {
        "ivbridge": ivbridge.__version__,
        "rng": value["rng"][0],
        "locale": value["locale"][0],
        "lapack": f"{value['lapack_version'][0]} ({value['lapack'][0]})",
    }


def script_hashes(spec: IVSpec) -> dict[str, str]:
    """SHA-256 of each R script that computes the answer to a question, as it is now."""
    names = ("covariance.R", "ivreg.R", *(() if isinstance(spec.method, TwoStage) else ("kclass.R",)))
    return {name: hashlib.sha256((scripts_dir() / name).read_bytes()).hexdigest() for name in names}


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
def _head(path: Path, _changed: tuple[int, int]) -> tuple[IVSpec | None, tuple[str, ...]]:
    """Question and vcovs of a file; nothing where it is no reference."""
    try:
        tree = read_tree(path)
        return question_of(tree), tuple(tree["question"]["vcovs"])
    except (IvbridgeError, LookupError, TypeError, AttributeError):
        return None, ()


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
    unreadable, stale = [], None
    for path in reference_files():
        spec, vcovs = _head(path, _stamp(path))
        if spec is None:
            unreadable.append(str(path))
        elif spec == question and vcov in vcovs:
            reference = _loaded(path, _stamp(path))
            if not changes(reference, design):
                return reference
            stale = stale or reference
    if stale:
        raise _stale(stale, design)
    raise _not_found(design, unreadable)


def _not_found(design: Design, unreadable: Sequence[str]) -> ReferenceNotFoundError:
    looked = ", ".join(map(str, folders()))
    broken = f" These files could not be read: {', '.join(unreadable)}." if unreadable else ""
    question = dataclasses.replace(design.spec, vcov=None)
    command = record_command(question, (str(design.spec.vcov),), "DATA", "FILE.json")
    return ReferenceNotFoundError(
        f"There is no recorded answer to {design.spec.title} under {design.spec.vcov}; looked in {looked}.{broken}",
        do=f"record it where R is: {command}",
    )


def changes(reference: Reference, design: Design) -> list[str]:
    """What makes a reference stale for a question about these data; empty where it is fresh.

    Parameters
    ----------
    reference : Reference
    design : Design
        Its spec names the vcov.
    """
    found = []
    question = dataclasses.replace(design.spec, vcov=None)
    if question != reference.spec:
        found.append(f"the question is now {question}, and was {reference.spec}")
    elif str(design.spec.vcov) not in reference.answers:
        found.append(f"it has no answer under {design.spec.vcov}, but under {', '.join(reference.vcovs)}")
    else:
        found += changed_columns(reference.data, design)
    now = script_hashes(reference.spec)
    if other := [name for name in now if reference.scripts.get(name) != now[name]]:
        found.append(f"R script {' and '.join(other)} changed")
    return found


def _stale(reference: Reference, design: Design) -> StaleReferenceError:
    vcov = str(design.spec.vcov)
    same = dataclasses.replace(design.spec, vcov=None) == reference.spec
    vcovs = tuple(dict.fromkeys([*reference.vcovs, vcov])) if same else (vcov,)
    command = record_command(
        dataclasses.replace(design.spec, vcov=None), vcovs, reference.data.source, str(reference.path)
    )
    return StaleReferenceError(
        f"The reference {reference.path} of {reference.provenance.recorded_on[:10]} is stale: "
        f"{'; '.join(changes(reference, design))}.",
        do=f"record it again where R is: {command}",
    )


def replay(reference: Reference, design: Design) -> Estimate:
    """R's recorded answer as an estimate about this design.

    Parameters
    ----------
    reference : Reference
    design : Design
        Its spec names the vcov.

    Returns
    -------
    Estimate
        Its matrices are the design's, once the sums of their columns are those of R's; where they are not, it has
        none, and a comparison says "not comparable".

    Raises
    ------
    StaleReferenceError
        If the question, the data or an R script changed.
    """
    if changes(reference, design):
        raise _stale(reference, design)
    answer = reference.answers[str(design.spec.vcov)]
    seen = answer.seen
    notes, warnings = answer.notes, answer.warnings
    if other := other_columns(reference.sums, design):
        warnings = (*warnings, f"the columns {', '.join(dict.fromkeys(other))} are not those that R had")
    else:
        notes = (*notes, SAME_COLUMNS)
        mine = seen_of(design)
        seen = dataclasses.replace(
            seen, y=mine.y, x=_columns(mine.x, mine.x_names, seen.x_names),
            z=_columns(mine.z, mine.z_names, seen.z_names), weights=mine.weights, groups=mine.groups,
        )  # fmt: skip
    return _with_residuals(
        dataclasses.replace(
            answer,
            spec=design.spec,
            engine=reference.label,
            seen=seen,
            data_sha256=design.sha256,
            provenance=dataclasses.replace(answer.provenance, engine=reference.label),
            notes=notes,
            warnings=warnings,
        ),
        reference,
    )


def _with_residuals(answer: Estimate, reference: Reference) -> Estimate:
    """Of large data the residuals that R's coefficients leave, once their sums are those of R's residuals."""
    if not answer.lacks:
        return answer
    if answer.seen.has_matrices:
        fitted = answer.seen.x @ answer.coefs.estimate
        residuals = answer.seen.y - fitted
        both = (("residuals", residuals), ("fitted", fitted))
        if all(same_sums(reference.sums["fit"][name], sums(values), answer.n) for name, values in both):
            return dataclasses.replace(answer, residuals=residuals, fitted=fitted, lacks={})
    unknown = np.full(answer.n, np.nan)
    return dataclasses.replace(answer, residuals=unknown, fitted=unknown)


def _columns(matrix: np.ndarray, names: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    return matrix if names == wanted else matrix[:, [names.index(name) for name in wanted]]

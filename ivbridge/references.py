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

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

import ivbridge
from ivbridge import diagnostics
from ivbridge.api import design_for
from ivbridge.asked import asked_vcov, seen_of
from ivbridge.compare import Changes, default_vcovs
from ivbridge.data import Dataset
from ivbridge.design import Design
from ivbridge.engines import engine
from ivbridge.engines.process import default_worker
from ivbridge.engines.r import inference_call
from ivbridge.errors import UnsupportedError
from ivbridge.references_data import column_sums, data_facts, sums
from ivbridge.references_digits import digits_left
from ivbridge.references_file import Reference
from ivbridge.references_find import (
    BUNDLED,
    find_reference,
    folders,
    load_reference,
    reference_files,
    references_from,
)
from ivbridge.references_replay import changes, replay, script_hashes
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

#: Rows up to which residuals and fitted values are kept.
MOST_ROWS = 5000


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

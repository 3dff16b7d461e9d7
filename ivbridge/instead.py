"""Where R cannot be used, its recorded answers stand in, and the reader is told."""

from __future__ import annotations

import dataclasses

from ivbridge.agreement import Agreement
from ivbridge.compare import default_vcovs
from ivbridge.data import Dataset
from ivbridge.errors import (
    EditedReferenceError,
    IvbridgeError,
    ReferenceNotFoundError,
    RNotAvailableError,
    StaleReferenceError,
)
from ivbridge.many import ask
from ivbridge.progress import Progress
from ivbridge.questions import DEFAULT_ENGINES, Question
from ivbridge.references_file import record_command
from ivbridge.spec import IVSpec

__all__ = ["ask_or_replay", "recorded_sentence"]

_REFUSED = (ReferenceNotFoundError, StaleReferenceError, EditedReferenceError)


def ask_or_replay(question: Question, data: Dataset, progress: Progress | None = None) -> Agreement:
    """Cross-check a question; where R cannot be used, with R's recorded answers, which the agreement's engines name.

    Parameters
    ----------
    question : Question
        Only the default engines are replaced.
    data : Dataset
    progress : callable (done, total, what), optional

    Raises
    ------
    RNotAvailableError
        If R cannot be used, and has no recorded answer either that is still good; the message says why of both.
    IvbridgeError
        As :func:`ivbridge.crosscheck`.
    """
    try:
        return ask(question, data, progress)
    except RNotAvailableError as error:
        if question.engines != DEFAULT_ENGINES:
            raise
        try:
            return ask(dataclasses.replace(question, engines=("recorded", "native")), data, progress)
        except _REFUSED as refused:
            do = f"{error.do.rstrip('.')}. Or {_recording(question, refused)}"
            raise RNotAvailableError(f"{error.message} {refused.message}", available=error.available, do=do) from error


def _recording(question: Question, refused: IvbridgeError) -> str:
    if not isinstance(refused, ReferenceNotFoundError):
        return refused.do
    changes = {"weights": question.weights, "method": question.method or "2sls"}
    spec = IVSpec.from_formula(question.formula, inference=question.inference or "t", **changes)  # type: ignore[arg-type]
    vcovs = question.vcovs or default_vcovs(spec.method)
    command = record_command(spec, vcovs, question.data, "references/NAME.json")
    return f"record it where R is: {command}, and set IVBRIDGE_REFERENCES=references"


def recorded_sentence(agreement: Agreement) -> str:
    """That R was not asked, and whose answers these are; empty where R was asked."""
    recorded = [found for found in agreement.provenance if found.engine.startswith("recorded")]
    if not recorded:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in recorded[0].versions.items() if name != "bridge")
    return f"R was not asked: its answers are recorded ones of {recorded[0].recorded_on[:10]} ({versions})."

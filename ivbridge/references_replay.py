"""A recorded reference as an answer: is it still good, and what it says about a design."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from ivbridge.asked import seen_of
from ivbridge.design import Design
from ivbridge.errors import StaleReferenceError
from ivbridge.method import TwoStage
from ivbridge.references_data import changed_columns, other_columns, same_sums, sums
from ivbridge.references_file import Reference, record_command
from ivbridge.resources import scripts_dir
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec

__all__ = ["changes", "replay", "script_hashes", "stale_error"]

#: A note of every replayed answer.
SAME_COLUMNS = "a reference keeps sums of R's columns instead of the columns; here they are the same sums"


def script_hashes(spec: IVSpec) -> dict[str, str]:
    """SHA-256 of each R script that computes the answer to a question, as it is now."""
    names = ("covariance.R", "ivreg.R", *(() if isinstance(spec.method, TwoStage) else ("kclass.R",)))
    return {name: hashlib.sha256((scripts_dir() / name).read_bytes()).hexdigest() for name in names}


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


def stale_error(reference: Reference, design: Design) -> StaleReferenceError:
    """The error of a stale reference, with the command that records it again."""
    vcov = str(design.spec.vcov)
    same = dataclasses.replace(design.spec, vcov=None) == reference.spec
    vcovs = tuple(dict.fromkeys([*reference.vcovs, vcov])) if same else (vcov,)
    question = dataclasses.replace(design.spec, vcov=None)
    command = record_command(question, vcovs, reference.data.source, str(reference.path))
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
        raise stale_error(reference, design)
    answer = reference.answers[str(design.spec.vcov)]
    seen = answer.seen
    notes, warnings = answer.notes, answer.warnings
    if (set(design.x_names), set(design.z_names)) != (set(seen.x_names), set(seen.z_names)):
        pass  # the handshake names them
    elif other := other_columns(reference.sums, design):
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

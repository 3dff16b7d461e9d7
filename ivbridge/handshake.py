"""Before numbers are compared: did both engines see the same rows, terms, levels and columns?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.records import FloatArray, Seen
from ivbridge.results import Estimate

__all__ = ["COLUMN_TOLERANCE", "Check", "column_gap", "handshake"]

#: Largest gap between two versions of a model-matrix column, relative to its largest entry. Elementary functions differ
#: by a few 1e-16; orthogonal polynomials and natural splines come out of a QR decomposition of powers or basis
#: functions whose condition number reaches 1e5. A wrong level, row or transformation is larger by many orders.
COLUMN_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the handshake: what each side saw, as text, and whether it is the same."""

    name: str
    reference: str
    candidate: str
    ok: bool


def handshake(reference: Estimate, candidate: Estimate) -> tuple[Check, ...]:
    """Compare what two engines used: data, rows, terms, levels, rank, column values."""
    a, b = reference.seen, candidate.seen
    same_data = reference.data_sha256 == candidate.data_sha256
    checks = [
        Check("data", reference.data_sha256[:12], candidate.data_sha256[:12], same_data),
        _rows(reference, candidate),
        _names("regressors", a.x_names, b.x_names),
        _names("instruments", a.z_names, b.z_names),
        _levels(a, b),
        _names("left out (dependent columns)", a.aliased + a.aliased_instruments, b.aliased + b.aliased_instruments),
        Check("rank", _ranks(a), _ranks(b), _ranks(a) == _ranks(b)),
    ]
    if all(check.ok for check in checks) and not {"columns"} & {*reference.lacks, *candidate.lacks}:
        checks.append(_columns(a, b))
    return tuple(checks)


def _ranks(seen: Seen) -> str:
    return f"X {len(seen.x_names)}, Z {len(seen.z_names)}"


def _rows(reference: Estimate, candidate: Estimate) -> Check:
    a, b = reference.seen.rows, candidate.seen.rows
    counts = [(a, _counts(reference)), (b, _counts(candidate))]
    if counts[0][1] != counts[1][1] or len(counts[0][1]) > 1:
        texts = ["; elsewhere ".join(map(str, dict.fromkeys([len(rows), *found]))) for rows, found in counts]
        return Check("rows", texts[0], texts[1], False)
    if np.array_equal(a, b):
        return Check("rows", str(len(a)), str(len(b)), True)
    first = int(np.flatnonzero(a != b)[0])
    return Check("rows", f"{len(a)}, row {a[first]} among them", f"{len(b)}, row {b[first]}", False)


def _counts(answer: Estimate) -> set[int]:
    """Every number of rows that an answer gives; one, where it is consistent."""
    return {len(answer.seen.rows), answer.n, *(stage.n for stage in answer.first_stages)}


def _names(name: str, a: tuple[str, ...], b: tuple[str, ...]) -> Check:
    if set(a) == set(b):
        return Check(name, str(len(a)), str(len(b)), True)
    only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    return Check(name, f"only here: {', '.join(only_a) or '–'}", f"only here: {', '.join(only_b) or '–'}", False)


def _levels(a: Seen, b: Seen) -> Check:
    def text(seen: Seen) -> str:
        return "; ".join(f"{name}: {', '.join(levels)}" for name, levels in sorted(seen.levels.items())) or "none"

    return Check("levels", _short(text(a)), _short(text(b)), dict(a.levels) == dict(b.levels))


def _short(text: str, width: int = 100) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _matrix_gap(a: FloatArray, b: FloatArray) -> float:
    scale = np.maximum(np.abs(a).max(axis=0), np.abs(b).max(axis=0))
    return float((np.abs(a - b).max(axis=0) / np.where(scale == 0, 1.0, scale)).max(initial=0.0))


def column_gap(a: Seen, b: Seen) -> float | None:
    """Largest relative gap between the columns of y, X and Z, matched by name; None after a JSON round trip."""
    if not (a.has_matrices and b.has_matrices):
        return None
    x = b.x[:, [b.x_names.index(name) for name in a.x_names]]
    z = b.z[:, [b.z_names.index(name) for name in a.z_names]]
    return max(_matrix_gap(a.y[:, None], b.y[:, None]), _matrix_gap(a.x, x), _matrix_gap(a.z, z))


def _columns(a: Seen, b: Seen) -> Check:
    gap = column_gap(a, b)
    if gap is None:
        return Check("columns", "not kept in JSON", "not kept in JSON", False)
    return Check("columns", "y, X, Z", f"largest relative gap {gap:.1e}", gap <= COLUMN_TOLERANCE)

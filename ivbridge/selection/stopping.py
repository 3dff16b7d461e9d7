"""Is a gap the stopping rule's? Coordinate descent stops at its threshold, other solvers at a small duality gap.

The evidence is the reference's own: asked again at a threshold of 1e-14 it moves, and if the stopping rule is the
reason, it moves to the other engine's numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ivbridge.gaps import Gap
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.distances import compare_fits, scales_of
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.moments import Moments
from ivbridge.selection.noise import stored_column
from ivbridge.selection.records import LassoFit

__all__ = ["EXACT_ENGINES", "TIGHT", "equal_columns", "merged", "stopping_rule"]

#: Engines that solve to a duality gap, whatever glmnet's threshold stops at.
EXACT_ENGINES = frozenset({"sklearn"})
#: Threshold at which coordinate descent is asked again: its last steps then change the fit by 1e-7 of its size.
TIGHT = 1e-14
#: … or glmnet's default, if the question itself has a threshold below the geometric middle of the two.
LOOSE = 1e-7
#: What may be left then, relative to the largest coefficient. Measured between R at 1e-14 and scikit-learn: 2e-9 with
#: 500 rows and 20 candidates, 4e-6 to 3e-5 in five draws of 200 rows and 500 candidates, where the end of the path is
#: hardly determined.
LEFT = 1e-4
#: … and relative to the gap before: it must be a remainder, not the same gap again.
SHARE = 0.1
#: An engine that is asked the same again answers the same; far above its last bits, far below what a threshold leaves.
REPEATED = 1e-10


def stopping_rule(design: LassoDesign, reference: LassoFit, candidate: LassoFit, found: Moments) -> str:
    """The reason in words if the stopping rule explains every gap, else an empty text.

    Parameters
    ----------
    design : LassoDesign
    reference, candidate : LassoFit
        One of them from an exact engine; the other one's engine is asked again at :data:`TIGHT`.
    found : Moments
    """
    exact = [fit for fit in (reference, candidate) if fit.engine in EXACT_ENGINES]
    others = [fit for fit in (reference, candidate) if fit.engine not in EXACT_ENGINES]
    if len(exact) != 1:
        return ""
    (precise,), (stopped,) = exact, others
    own = design.spec.threshold
    other = TIGHT if own**2 > TIGHT * LOOSE else LOOSE
    asked = dataclasses.replace(design, spec=dataclasses.replace(design.spec, threshold=other))
    solver = lasso_engine(stopped.engine)
    fresh, again = solver.cv(design), solver.cv(asked)
    scales = scales_of(fresh, found)
    if max(gap.relative for gap in compare_fits(fresh, stopped, scales, {})) > REPEATED:
        return ""
    equal = [group for group in equal_columns(design) if precise.path.coefs[:, group].any()]
    loose, tight = (merged(fit, equal) for fit in ((fresh, again) if other < own else (again, fresh)))
    before = _largest(compare_fits(loose, merged(precise, equal), scales, {}))
    gaps = compare_fits(tight, merged(precise, equal), scales, {})
    after = _largest(gaps)
    chosen = [gap for gap in gaps if gap.quantity in ("index", "selected") and gap.absolute > 0]
    if chosen or after > LEFT or after > SHARE * before:
        return ""
    thresholds = max(own, other), min(own, other)
    return (
        f"the stopping rule: {stopped.engine} stops at a threshold, {precise.engine} at a small duality gap; "
        f"from thresh = {thresholds[0]:g} to {thresholds[1]:g} the largest gap of a coefficient shrinks from "
        f"{before:.1e} to {after:.1e}, and there both choose the same penalties and sets"
        + "".join(
            f"; {' = '.join(design.names[j] for j in group)} count as one, each solver may take another"
            for group in equal
        )
    )


def equal_columns(design: LassoDesign) -> list[list[int]]:
    """Positions of candidates that hold the same numbers and have the same penalty factor, in groups of two or more."""
    groups: dict[tuple[int, float], list[int]] = {}
    for j, factor in enumerate(design.penalty):
        groups.setdefault((stored_column(design.x, j)[1], float(factor)), []).append(j)
    return [group for group in groups.values() if len(group) > 1]


def merged(fit: LassoFit, equal: Sequence[Sequence[int]]) -> LassoFit:
    """The fit with the coefficients of equal candidates added up in the first of them: only their sum is determined."""
    coefs = np.array(fit.path.coefs)
    for first, *rest in equal:
        coefs[:, first] += coefs[:, rest].sum(axis=1)
        coefs[:, rest] = 0.0
    return dataclasses.replace(fit, path=dataclasses.replace(fit.path, coefs=coefs))


def _largest(gaps: Sequence[Gap]) -> float:
    return max(gap.relative for gap in gaps if gap.quantity == "coef")

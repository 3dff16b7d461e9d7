"""Which factors of a model get contrasts and which get one dummy a level: R's marginality rule."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ivbridge.formula import Term

__all__ = ["Coding", "codings"]

#: for every term, for every variable in it: True = one dummy a level, False = contrasts (numbers: no meaning)
Coding = tuple[tuple[bool, ...], ...]


def codings(terms: Sequence[Term], factors: Collection[str], *, intercept: bool) -> Coding:
    """Decide which factors get full dummies.

    A factor is coded by contrasts if the term without it is contained in an earlier term of the model; the empty term
    counts as there. Otherwise it gets one dummy a level: the entries 1 and 2 of R's ``factors`` table. Without an
    intercept, the first factor of the first term that has one gets one dummy a level.

    Parameters
    ----------
    terms : sequence of Term
        Sorted by degree; variables within a term in the order of the formula.
    factors : collection of str
        The variables that are factors or booleans.
    intercept : bool

    Returns
    -------
    tuple of tuples of bool
        Same shape as `terms`.
    """
    rows: list[list[bool]] = []
    for position, term in enumerate(terms):
        earlier = [set(other) for other in terms[:position]]
        rests = [set(term) - {name} for name in term]
        rows.append([bool(rest) and not any(rest <= other for other in earlier) for rest in rests])
    if not intercept:
        for row, term in zip(rows, terms, strict=True):
            first = next((j for j, name in enumerate(term) if name in factors), None)
            if first is not None:
                row[first] = True
                break
    return tuple(map(tuple, rows))

"""Four formula dialects in, one set of roles out.

==========================  ==========================  ===============================================
R, two parts (AER)          ``y ~ x + w | w + z``       regressors | all instruments
R, three parts (ivreg)      ``y ~ w | x | z``           exogenous | endogenous | instruments
linearmodels                ``y ~ 1 + w + [x ~ z]``     exogenous + [endogenous ~ instruments]
fixest                      ``y ~ w | f + g | x ~ z``   exogenous | fixed effects | endogenous ~ instruments
==========================  ==========================  ===============================================

The first two and fixest's have an intercept unless it is removed (``- 1``, ``+ 0``); the third has one only where it
says ``1``, as in linearmodels. ``y ~ w`` alone is ordinary least squares in R's reading. Terms follow R's algebra:
``+ - : * / ^``, duplicates removed, sorted by degree. Fixed effects are absorbed in any dialect by the term
``absorb(f, g)`` (:mod:`ivbridge.effects`). The text is parsed, never evaluated.

fixest's least squares ``y ~ w | f + g`` reads like AER's two parts, where f and g are instruments; it is fixest's only
where that is said (``fixest=True``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ivbridge.canonical import offset_text, response_text, variable_text
from ivbridge.effects import Absorb, absorb_of, factors_of
from ivbridge.errors import FormulaError
from ivbridge.expr import Binary, Call, Node, Number, Parser, Unary, deparse, parse
from ivbridge.lexer import Token, tokenize

__all__ = ["Roles", "Term", "order_terms", "parse_formula", "parse_term", "term_text"]

#: the canonical texts of the variables that a term multiplies
Term = tuple[str, ...]

MAX_TERMS = 2_000
MAX_CROSSED = 8
MAX_POWER = 3
_DIALECTS = "y ~ x + w | w + z (R), y ~ w | x | z (R, three parts), y ~ 1 + w + [x ~ z] (linearmodels)"
_DIALECTS += ", y ~ w | f | x ~ z (fixest)"


@dataclass(frozen=True, slots=True)
class Roles:
    """What a formula says, free of its dialect; all texts are canonical R texts (see :class:`ivbridge.spec.IVSpec`)."""

    dependent: str
    exog: tuple[str, ...] = ()
    endog: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    intercept: bool = True
    offset: str | None = None
    absorb: Absorb | None = None


@dataclass(slots=True)
class _Part:
    """The terms of one side; `intercept` is None until the text mentions ``1`` or ``0``."""

    terms: dict[frozenset[str], Term] = field(default_factory=dict)
    intercept: bool | None = None
    offsets: list[str] = field(default_factory=list)
    absorbed: list[Absorb] = field(default_factory=list)

    def add(self, terms: Iterable[Term]) -> None:
        """Add terms that are not there yet; refuse more than the limit."""
        for term in terms:
            self.terms.setdefault(frozenset(term), term)
        if len(self.terms) > MAX_TERMS:
            raise FormulaError(f"The formula expands to more than {MAX_TERMS} terms.", do="write the terms out.")


def parse_formula(text: str, *, fixest: bool = False) -> Roles:
    """Read a formula in any of the dialects.

    Parameters
    ----------
    text : str
        At most 50 000 characters.
    fixest : bool, default False
        Whether ``y ~ w | f`` is fixest's, with fixed effects after the bar, rather than AER's.

    Returns
    -------
    Roles
        The same for equivalent formulas of different dialects.

    Raises
    ------
    FormulaError
        If the text is not a formula, uses something that is not allowed, or contradicts itself (parts that disagree
        about the intercept, a regressor that is also the dependent variable, …).
    """
    tokens = tokenize(text)[:-1]
    sides = _split(tokens, "~")
    if not all(sides) or not (len(sides) == 2 or (len(sides) == 3 and len(_split(sides[1], "|")) > 1)):
        what = f"{_short(text)} is not a formula: it needs one '~' with something on both sides."
        raise FormulaError(what, available=_DIALECTS)
    dependent = response_text(Parser(text, sides[0]).whole())
    if fixest or len(sides) == 3:
        return _from_fixest(text, dependent, _split(sides[1], "|"), sides[2] if len(sides) == 3 else None)
    outside, bracket = _bracket(text, sides[1])
    parts = _split(outside, "|")
    if bracket is not None:
        if len(parts) > 1:
            raise FormulaError(f"{_short(text)} mixes '|' and '[…]'.", available=_DIALECTS)
        return _from_bracket(text, dependent, outside, bracket)
    return _from_bars(text, dependent, [_expand_tokens(text, part) for part in parts])


def _from_fixest(text: str, dependent: str, parts: list[list[Token]], instruments: list[Token] | None) -> Roles:
    """``y ~ w | f + g``, ``y ~ w | x ~ z`` or ``y ~ w | f + g | x ~ z``, cut at its bars."""
    endog = parts.pop() if instruments and len(parts) > 1 else None
    if len(parts) > 2 or (endog is None) != (instruments is None) or not all(parts):
        raise FormulaError(f"{_short(text)} has parts that fixest's formulas do not have.", available=_DIALECTS)
    exog = _expand_tokens(text, parts[0])
    if len(parts) == 2:
        exog.absorbed.append(Absorb(factors_of(Parser(text, parts[1]).whole())))
    inside = [_Part() if part is None else _expand_tokens(text, part) for part in (endog, instruments)]
    return _from_blocks(text, dependent, exog, *inside)


def _from_bars(text: str, dependent: str, parts: Sequence[_Part]) -> Roles:
    if len(parts) > 3:
        raise FormulaError(f"{_short(text)} has {len(parts)} parts.", available=_DIALECTS)
    if len(parts) == 3:
        return _from_blocks(text, dependent, parts[0], parts[1], parts[2])
    regressors, allowed = parts[0], parts[-1]
    intercept = regressors.intercept is not False
    if intercept != (allowed.intercept is not False):
        raise FormulaError(
            f"The two parts of {_short(text)} disagree about the intercept.",
            do="put '- 1' in both parts or in neither.",
        )
    exog = [term for key, term in regressors.terms.items() if key in allowed.terms]
    endog = [term for key, term in regressors.terms.items() if key not in allowed.terms]
    instruments = [term for key, term in allowed.terms.items() if key not in regressors.terms]
    return _roles(dependent, (exog, endog, instruments), intercept, (regressors, allowed))


def _from_blocks(text: str, dependent: str, exog: _Part, endog: _Part, instruments: _Part) -> Roles:
    intercept = exog.intercept is not False
    for part, name in ((endog, "endogenous"), (instruments, "instrument")):
        if part.intercept is not None and part.intercept != intercept:
            raise FormulaError(
                f"The {name} part of {_short(text)} disagrees with the first part about the intercept.",
                do="say it in the exogenous part only.",
            )
    groups = tuple(list(part.terms.values()) for part in (exog, endog, instruments))
    return _roles(dependent, (groups[0], groups[1], groups[2]), intercept, (exog, endog, instruments))


def _from_bracket(text: str, dependent: str, outside: list[Token], bracket: tuple[list[Token], list[Token]]) -> Roles:
    exog = _expand_tokens(text, outside) if outside else _Part()
    exog.intercept = bool(exog.intercept)
    endog, instruments = (_expand_tokens(text, part) for part in bracket)
    return _from_blocks(text, dependent, exog, endog, instruments)


def _roles(
    dependent: str, groups: tuple[list[Term], list[Term], list[Term]], intercept: bool, parts: Sequence[_Part]
) -> Roles:
    exog, endog, instruments = order_terms(*groups)
    offsets = dict.fromkeys(text for part in parts for text in part.offsets)
    absorbed = list(dict.fromkeys(one for part in parts for one in part.absorbed))
    if len(absorbed) > 1:
        raise FormulaError(f"The formula has {absorbed[0]} and {absorbed[1]}.", do="name all fixed effects in one.")
    absorb = absorbed[0] if absorbed else None
    return Roles(dependent, exog, endog, instruments, intercept, " + ".join(offsets) or None, absorb)


# ------------------------------------------------------------------------------------------------ splitting tokens
def _split(tokens: Sequence[Token], operator: str) -> list[list[Token]]:
    """Cut at an operator that stands outside all brackets."""
    pieces: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "op":
            depth += (token.text in "([") - (token.text in ")]")
            if token.text == operator and depth == 0:
                pieces.append([])
                continue
        pieces[-1].append(token)
    return pieces


def _bracket(text: str, tokens: list[Token]) -> tuple[list[Token], tuple[list[Token], list[Token]] | None]:
    """Take ``[endog ~ instruments]`` out of the right-hand side, together with the ``+`` that joins it."""
    depth, opened, closed = 0, -1, -1
    for position, token in enumerate(tokens):
        if token.kind != "op":
            continue
        depth += (token.text in "([") - (token.text in ")]")
        if token.text == "[" and depth == 1:
            if opened >= 0:
                raise FormulaError(f"{_short(text)} has two '[…]' blocks.", available=_DIALECTS)
            opened = position
        elif token.text == "]" and depth == 0 and opened >= 0:
            closed = position
    if opened < 0:
        return tokens, None
    inside = _split(tokens[opened + 1 : closed], "~") if closed > 0 else []
    before, after = tokens[:opened], tokens[closed + 1 :]
    joined = (not before or before[-1].text == "+") and (not after or after[0].text in "+-")
    if len(inside) != 2 or not joined:
        raise FormulaError(f"Cannot read the '[…]' of {_short(text)}.", available=_DIALECTS)
    rest = before[:-1] + after
    return rest[1:] if not before and rest and rest[0].text == "+" else rest, (inside[0], inside[1])


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "…")


# ----------------------------------------------------------------------------------------------------- term algebra
def _expand_tokens(text: str, tokens: list[Token]) -> _Part:
    if not tokens:
        raise FormulaError(f"{_short(text)} has an empty part.", available=_DIALECTS, do="write 1 for no regressor.")
    return _expand_sum(Parser(text, tokens).whole())


def _expand_sum(node: Node) -> _Part:
    """Expand ``a + b - c …``; the chain is walked, not recursed, because it may be long."""
    steps: list[tuple[str, Node]] = []
    while isinstance(node, Binary) and node.op in "+-":
        steps.append((node.op, node.right))
        node = node.left
    steps.append(("+", node))
    part = _Part()
    for op, operand in reversed(steps):
        _apply(part, op, operand)
    return part


def _apply(part: _Part, op: str, node: Node) -> None:
    """Add or remove what `node` stands for."""
    if isinstance(node, Unary):
        if node.op == "-" and op == "-":
            raise FormulaError(f"'- {deparse(node)}' removes a removal.", do="write it with + or leave it out.")
        _apply(part, "-" if "-" in (op, node.op) else "+", node.operand)
    elif isinstance(node, Number):
        if node.value not in (0, 1):
            what = f"The number {deparse(node)} is not a term."
            raise FormulaError(what, available="1 and 0, and I(…) for arithmetic")
        part.intercept = (node.value == 1) == (op == "+")
    elif isinstance(node, Call) and node.function == "offset":
        part.offsets.extend(_offset(op, node))
    elif op == "+" and isinstance(node, Call) and node.function == "absorb":
        part.absorbed.append(absorb_of(node))
    elif op == "+" and isinstance(node, Binary) and node.op in "+-":
        inner = _expand_sum(node)
        part.add(inner.terms.values())
        part.offsets.extend(inner.offsets)
        part.absorbed.extend(inner.absorbed)
        part.intercept = part.intercept if inner.intercept is None else inner.intercept
    elif op == "+":
        part.add(_expand(node))
    else:
        for term in _expand(node):
            part.terms.pop(frozenset(term), None)


def _offset(op: str, call: Call) -> list[str]:
    if op == "-" or len(call.args) != 1 or call.args[0].name is not None:
        raise FormulaError(f"'{op} {deparse(call)}' is not an offset.", do="write + offset(x).")
    return [offset_text(call.args[0].value)]


def _expand(node: Node) -> list[Term]:
    """Expand ``: * / ^`` and groups into terms, as R's ``terms()`` does."""
    if isinstance(node, Binary) and node.op in "+-":
        part = _expand_sum(node)
        if part.intercept is not None or part.offsets or part.absorbed:
            what = f"({deparse(node)}): 1, 0, offset() and absorb() cannot be crossed."
            raise FormulaError(what, do="write them outside.")
        if not part.terms:
            raise FormulaError(f"({deparse(node)}) is empty, so that it cannot be crossed.", do="leave it out.")
        return list(part.terms.values())
    if isinstance(node, Binary):
        return _EXPAND[node.op](node)
    if isinstance(node, Unary | Number) or (isinstance(node, Call) and node.function in ("offset", "absorb")):
        raise FormulaError(f"{deparse(node)!r} cannot be part of an interaction.", do="put arithmetic inside I(…).")
    return [(variable_text(node),)]


def _cross(left: Iterable[Term], right: Sequence[Term]) -> list[Term]:
    part = _Part()
    for a in left:
        part.add(tuple(dict.fromkeys(a + b)) for b in right)
    if any(len(term) > MAX_CROSSED for term in part.terms.values()):
        raise FormulaError(f"An interaction of more than {MAX_CROSSED} variables is not supported.")
    return list(part.terms.values())


def _interact(node: Binary) -> list[Term]:
    return _cross(_expand(node.left), _expand(node.right))


def _star(node: Binary) -> list[Term]:
    width, spine = 1, node.left
    while isinstance(spine, Binary) and spine.op == "*":
        width, spine = width + 1, spine.left
    if width >= MAX_CROSSED:
        raise FormulaError(f"'*' joins more than {MAX_CROSSED} variables.", do="write the terms out.")
    left, right = _expand(node.left), _expand(node.right)
    part = _Part()
    for terms in (left, right, _cross(left, right)):
        part.add(terms)
    return list(part.terms.values())


def _nest(node: Binary) -> list[Term]:
    left = _expand(node.left)
    everything = tuple(dict.fromkeys(name for term in left for name in term))
    part = _Part()
    part.add(left)
    part.add(_cross([everything], _expand(node.right)))
    return list(part.terms.values())


def _power(node: Binary) -> list[Term]:
    exponent = node.right
    if not (isinstance(exponent, Number) and exponent.value in range(1, MAX_POWER + 1)):
        raise FormulaError(
            f"'{deparse(node)}': outside I(…), ^ crosses terms and takes 1, 2 or 3.", do=f"write I({deparse(node)})."
        )
    base = result = _expand(node.left)
    for _ in range(int(exponent.value) - 1):
        part = _Part()
        part.add(result)
        part.add(_cross(result, base))
        result = list(part.terms.values())
    return result


_EXPAND = {":": _interact, "*": _star, "/": _nest, "^": _power}


# ------------------------------------------------------------------------------------------------------------ texts
@lru_cache(maxsize=1024)
def parse_term(text: str) -> Term:
    """Read the text of one term: a variable, or several joined by ``:``.

    Raises
    ------
    FormulaError
        If the text is anything else.
    """
    node = parse(text)
    if isinstance(node, Number) or (isinstance(node, Binary) and node.op != ":"):
        raise FormulaError(f"{text!r} is not one term.", do="give one variable or an interaction such as a:b.")
    return _expand(node)[0]


def term_text(term: Term) -> str:
    """Write a term as R's label for it."""
    return ":".join(term)


def order_terms(
    exog: Iterable[Term], endog: Iterable[Term], instruments: Iterable[Term]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Sort each group by degree and write every interaction in the order in which R would meet its variables.

    Parameters
    ----------
    exog, endog, instruments : iterable of Term
        The three groups; R reads ``exog + endog`` as one part and ``exog + instruments`` as the other.

    Returns
    -------
    tuple of three tuples of str
        Term labels as R prints them.

    Raises
    ------
    FormulaError
        If a term stands twice.
    """
    groups = [sorted(group, key=len) for group in (exog, endog, instruments)]
    seen: dict[frozenset[str], str] = {}
    for group, role in zip(groups, ("exogenous", "endogenous", "an excluded instrument"), strict=True):
        for term in group:
            if other := seen.get(frozenset(term)):
                how = f"twice as {role}" if other == role else f"as {other} and as {role}"
                raise FormulaError(f"{term_text(term)} is named {how}.", do="name it once.")
            seen[frozenset(term)] = role
    labels: list[tuple[str, ...]] = []
    met: dict[str, int] = {}
    for group in groups:
        known = dict(met) if group is not groups[0] else met
        labels.append(tuple(term_text(_sorted_by(known, term)) for term in group))
    return labels[0], labels[1], labels[2]


def _sorted_by(known: dict[str, int], term: Term) -> Term:
    for name in term:
        known.setdefault(name, len(known))
    return tuple(sorted(term, key=known.__getitem__))

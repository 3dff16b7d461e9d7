"""Why a node of a diagram has to be adjusted for, may be, or must not be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ivbridge.diagrams.graph import Diagram, networkx
from ivbridge.diagrams.identify import Identification, backdoor_graph, forbidden, is_adjustment
from ivbridge.diagrams.paths import Path, causal_paths, colliders, is_causal, is_open, open_paths, paths, show

__all__ = ["Judgement", "Verdict", "judge_adjustment", "reason", "reasons"]


@dataclass(frozen=True)
class Verdict:
    """What one observed node is for the effect, and whether to hold it fixed.

    Attributes
    ----------
    name : str
    role : str
        What it is: ``"confounder"``, ``"mediator"``, ``"collider"``, ``"instrument"``, …
    advice : {"needed", "one choice", "harmless", "only with others", "never", "does not suffice"}
        ``"needed"``: it is in every minimal adjustment set. ``"one choice"``: it is in some of them. ``"harmless"``:
        every set stays valid with it. ``"only with others"``: it makes a valid set invalid, unless ``others`` join it.
        ``"never"``: no set that holds it is valid. ``"does not suffice"``: no set is valid, with it or without it.
    why : str
        A sentence with the paths.
    opens, closes : tuple of str
        Paths that holding it fixed opens or closes.
    others : tuple of str
    """

    name: str
    role: str
    advice: str
    why: str
    opens: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """Whether a set of nodes is one to adjust for.

    Attributes
    ----------
    given : tuple of str
    valid : bool
    faults : tuple of str
        Sentences: nodes that must not be held fixed, and paths that stay open or become open.
    """

    given: tuple[str, ...]
    valid: bool
    faults: tuple[str, ...]


def judge_adjustment(diagram: Diagram, treatment: str, dependent: str, given: Iterable[str]) -> Judgement:
    """Say whether holding these nodes fixed identifies the effect, and if not, why.

    Raises
    ------
    DiagramError
        As :func:`ivbridge.diagrams.identify.is_adjustment`.
    """
    fixed = tuple(dict.fromkeys(given))
    valid = is_adjustment(diagram, treatment, dependent, fixed)
    taken = forbidden(diagram, treatment, dependent)
    faults = [_inside(diagram, treatment, dependent, name) for name in fixed if name in taken]
    for path in open_paths(diagram, treatment, dependent, fixed):
        opened = not is_open(diagram, path, ())
        faults.append(f"{show(diagram, path)} {'becomes' if opened else 'stays'} open.")
    if not valid and not faults:
        faults.append("A path that is no part of the effect is open; the diagram has too many paths to show it.")
    return Judgement(fixed, valid, tuple(faults))


def reasons(found: Identification) -> tuple[Verdict, ...]:
    """A verdict on each observed node that is neither the treatment nor the dependent variable."""
    ends = (found.treatment, found.dependent)
    return tuple(reason(found, name) for name in found.diagram.observed if name not in ends)


def reason(found: Identification, name: str) -> Verdict:
    """The verdict on one node.

    Raises
    ------
    DiagramError
        If the node is unknown.
    """
    diagram, treatment, dependent = found.diagram, found.treatment, found.dependent
    diagram.check(name)
    role = _role(found, name)
    ways = list(paths(diagram, treatment, dependent))
    noncausal = [path for path in ways if not is_causal(diagram, path)]
    if name in forbidden(diagram, treatment, dependent):
        opens = _shown(diagram, [p for p in noncausal if _turns(diagram, p, (), name) == "open"])
        why = _inside(diagram, treatment, dependent, name)
        if opens:
            why += f" It also opens {opens[0]}."
        return Verdict(name, role, "never", why, opens)
    if not found.adjustment:
        return _without_set(found, name, role, noncausal)
    spoilt = [one for one in found.adjustment if not is_adjustment(diagram, treatment, dependent, {*one, name})]
    holding = [one for one in found.adjustment if name in one]
    closes = _shown(diagram, [p for p in noncausal if _turns(diagram, p, (), name) == "closed"])
    if not spoilt:
        return _allowed(found, name, role, holding, closes)
    opened = [p for p in noncausal if _turns(diagram, p, spoilt[0], name) == "open"]
    opens = _shown(diagram, opened)
    others = _company(found, name)
    why = f"Holding it fixed opens {opens[0]}" if opens else "Holding it fixed opens a path"
    if others is None:
        return Verdict(name, role, "never", f"{why}, and no observed node closes that again.", opens, closes)
    if holding:
        partners = " or ".join(_list([other for other in one if other != name]) for one in holding)
        why = f"It closes {closes[0]}" if closes else "It closes a path"
        return Verdict(name, role, "one choice", f"{why} and opens {opens[0]}: take it together with {partners}.",
                       opens, closes, others)  # fmt: skip
    return Verdict(name, role, "only with others", f"{why}; {_list(others)} closes that again.", opens, closes, others)


def _allowed(
    found: Identification, name: str, role: str, holding: list[tuple[str, ...]], closes: tuple[str, ...]
) -> Verdict:
    """The verdict on a node that spoils no adjustment set."""
    path = f"It closes {closes[0]}" if closes else "It helps to close a path"
    if holding and len(holding) == len(found.adjustment):
        return Verdict(name, role, "needed", f"{path}; every adjustment set holds it.", closes=closes)
    if holding:
        return Verdict(name, role, "one choice", f"{path}; other sets do without it.", closes=closes)
    if found.precise is not None and name in found.precise:
        why = f"Not needed, but it explains {found.dependent}: it makes the estimate more precise."
    elif role in ("instrument", "cause of the treatment"):
        why = (
            f"Not needed: it moves {found.treatment} only. Holding it fixed costs precision, and makes worse whatever "
            "confounding the diagram leaves out."
        )
    else:
        why = "Not needed; no path is opened by it."
    return Verdict(name, role, "harmless", why, closes=closes)


def _without_set(found: Identification, name: str, role: str, noncausal: list[Path]) -> Verdict:
    """The verdict on a node where no set will do: what it opens and closes by itself."""
    diagram = found.diagram
    closes = _shown(diagram, [p for p in noncausal if _turns(diagram, p, (), name) == "closed"])
    opens = _shown(diagram, [p for p in noncausal if _turns(diagram, p, (), name) == "open"])
    words = [f"closes {closes[0]}"] if closes else []
    words += [f"opens {opens[0]}"] if opens else []
    left = open_paths(diagram, found.treatment, found.dependent, [name])
    why = f"It {' and '.join(words)}" if words else "It opens and closes nothing by itself"
    if left and not opens:
        why += f"; {show(diagram, left[0])} stays open"
    return Verdict(name, role, "does not suffice", why + ".", opens, closes)


def _turns(diagram: Diagram, path: Path, base: Iterable[str], name: str) -> str:
    """``"open"`` or ``"closed"`` if holding the node fixed on top of a set turns the path so, else nothing."""
    before, after = is_open(diagram, path, base), is_open(diagram, path, {*base, name})
    return "" if before == after else "open" if after else "closed"


def _company(found: Identification, name: str) -> tuple[str, ...] | None:
    """The nodes that make a valid set together with this one; None if none do."""
    diagram, treatment, dependent = found.diagram, found.treatment, found.dependent
    allowed = set(diagram.observed) - forbidden(diagram, treatment, dependent)
    chosen = networkx().find_minimal_d_separator(
        backdoor_graph(diagram, treatment, dependent), treatment, dependent, included={name}, restricted=allowed
    )
    return None if chosen is None else tuple(other for other in diagram.nodes if other in chosen and other != name)


def _inside(diagram: Diagram, treatment: str, dependent: str, name: str) -> str:
    """Why a node on a way of the effect, or one that it causes, must not be held fixed."""
    ways = causal_paths(diagram, treatment, dependent)
    if through := [path for path in ways if name in path]:
        return f"{name} lies on {show(diagram, through[0])}: holding it fixed takes this way out of the effect."
    if name in diagram.descendants([dependent]):
        way = show(diagram, causal_paths(diagram, dependent, name)[0])
        return f"{name} is caused by {dependent} ({way}): holding it fixed chooses units by their {dependent}."
    between = (diagram.descendants([treatment]) & diagram.ancestors([dependent])) - {treatment, dependent}
    links = [path for node in sorted(between) for path in causal_paths(diagram, node, name)]
    shortest = min(links, key=len)
    return (
        f"{name} is caused by {shortest[0]} ({show(diagram, shortest)}), through which {treatment} acts: holding it "
        "fixed takes out a part of the effect."
    )


def _role(found: Identification, name: str) -> str:
    """A few words for what a node is."""
    diagram, treatment, dependent = found.diagram, found.treatment, found.dependent
    after, before = diagram.descendants([treatment]), diagram.ancestors([dependent])
    others = [path for path in paths(diagram, treatment, dependent) if not is_causal(diagram, path)]
    opened = [path for path in others if _turns(diagram, path, (), name) == "open"]
    closed = any(_turns(diagram, path, (), name) == "closed" for path in others)
    without = diagram.digraph.subgraph(set(diagram.digraph) - {treatment})
    confounds = name in diagram.ancestors([treatment]) and networkx().has_path(without, name, dependent)
    meets = any(name in colliders(diagram, path) for path in opened)
    roles = (
        ("mediator", name in after and name in before),
        ("caused by the dependent variable", name in diagram.descendants([dependent])),
        ("caused by a mediator", name in forbidden(diagram, treatment, dependent)),
        ("confounder and collider", confounds and meets),
        ("confounder", confounds),
        ("on a back-door path, and collider", closed and meets),
        ("on a back-door path", closed),
        ("collider", meets),
        ("caused by a collider", bool(opened)),
        ("instrument", any(one.name == name and not one.given for one in found.instruments)),
        ("caused by the treatment", name in after),
        ("cause of the treatment", name in diagram.ancestors([treatment])),
        ("cause of the dependent variable", name in before),
    )
    return next((word for word, fits in roles if fits), "other")


def _shown(diagram: Diagram, ways: Iterable[Path]) -> tuple[str, ...]:
    return tuple(show(diagram, path) for path in ways)


def _list(names: Iterable[str]) -> str:
    listed = list(names)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)

"""Simulated data: seeds, hidden causes, treatments that do nothing, probabilities that are cut off."""

from __future__ import annotations

from collections.abc import Iterator

from ivbridge.audit.nodes import Node, Stream, ancestors, constant, last
from ivbridge.audit.view import Hit, View, title
from ivbridge.audit.vocabulary import is_hidden, is_placebo, is_potential, names_of

__all__ = ["clipped", "hidden", "is_simulated", "seeds", "truth"]

_NORMAL = frozenset(("normal", "standard_normal", "randn"))
_UNIFORM = frozenset(("uniform", "rand", "random", "random_sample"))


def seeds(view: View) -> Iterator[Hit]:
    """Generators that are started twice from the same seed, both times to draw."""
    drawing = [one for one in view.program.streams if one.draws and isinstance(one.seed, int)]
    for i, later in enumerate(drawing):
        if later.place.loop and later.kind == "numpy.random":
            yield Hit(
                "same-seed-twice",
                later.place,
                f"The seed {later.seed} is set inside a loop: every turn draws the same.",
            )
            continue
        for earlier in drawing[:i]:
            same = earlier.seed == later.seed and earlier.kind == later.kind
            if same and _apart(earlier, later) and _meet(view, earlier, later):
                yield _repeated(view, earlier, later)
                break


def _apart(earlier: Stream, later: Stream) -> bool:
    return (earlier.place.cell, earlier.place.line) != (later.place.cell, later.place.line)


def _meet(view: View, earlier: Stream, later: Stream) -> bool:
    """Whether draws of both streams end in one value or in one table; otherwise repeating them does no harm."""
    reach = [{one for draw in stream.draws for one in view.program.descendants(draw)} for stream in (earlier, later)]
    if any(one.op not in ("list", "dict") for one in reach[0] & reach[1]):
        return True
    tables = [set(columns.values()) for columns in view.program.columns.values()]
    return any(table & reach[0] and table & reach[1] for table in tables)


def _repeated(view: View, earlier: Stream, later: Stream) -> Hit:
    first = view.source.cells[earlier.place.cell].label or "this file"
    text = f"The seed {later.seed} was set before ({first}, line {earlier.place.line})."
    pairs = zip(earlier.draws, later.draws, strict=False)
    same = []
    for old, new in pairs:
        if not _alike(old, new):
            break
        same.append((old, new))
    names = ", ".join(f"{_name(new)} repeats {_name(old)}" for old, new in same)
    if names:
        return Hit("same-seed-twice", later.place, f"{text} {names}, up to shift and scale.", {"correlation": 1.0})
    return Hit(
        "same-seed-twice",
        later.place,
        f"{text} {_name(later.draws[0])} and what follows use the numbers of "
        f"{_name(earlier.draws[0])} and what follows again.",
    )


def _name(draw: Node) -> str:
    return draw.labels[0] if draw.labels else f"the {draw.name} draw of line {draw.place.line}"


def _alike(one: Node, other: Node) -> bool:
    """Whether two draws at the same place of a stream are the same numbers up to shift and scale."""
    if any({one.name, other.name} <= family for family in (_NORMAL, _UNIFORM)):
        return True
    shape = [[constant(a) for a in node.args[:2]] for node in (one, other)]
    return one.name == other.name and shape[0] == shape[1]


def is_simulated(node: Node) -> bool:
    """Whether a value is made from draws and constants alone."""
    inside = ancestors(node)
    leaves = [one for one in inside if not one.inputs and one.op not in ("constant", "global", "draw")]
    unknown = [
        one
        for one in inside
        if one.op in ("column", "input", "each") or last(one).startswith(("read_", "load_", "fetch_"))
    ]
    return any(one.op == "draw" for one in inside) and not unknown and all(one.op == "call" for one in leaves)


def hidden(view: View) -> Iterator[Hit]:
    """A column that is called a hidden confounder and does not reach any treatment."""
    bound = {one for _, one, _ in view.program.bindings} | {
        c for t in view.program.columns.values() for c in t.values()
    }
    treatments = [one for one in bound if view.treated(one) and not is_placebo(one)]
    for node in sorted((one for one in bound if is_hidden(one) and is_simulated(one)), key=lambda one: one.place):
        users = [one for one in view.program.users(node) if one.op == "arith"]
        reached = [one for one in treatments if node in ancestors(one)]
        if users and treatments and not reached:
            made = sorted(view.program.descendants(users[0]), key=lambda one: one.place)
            outcome = next((one for one in made if names_of(one)), users[0])
            yield Hit(
                "hidden-not-of-treatment",
                users[0].place,
                f"{title(node)} is added to {title(outcome)}; {title(treatments[0])} does not depend on it.",
            )


def clipped(view: View) -> Iterator[Hit]:
    """``np.clip(p, 0, 1)`` before a Bernoulli draw."""
    for node in view.program.nodes:
        if node.op != "draw" or node.name != "binomial":
            continue
        chance = node.argument(1, "p")
        if chance is None or last(chance) != "clip":
            continue
        offset = 0 if chance.op == "method" else 1
        limits = [
            constant(chance.argument(offset, "a_min", "min", "lower")),
            constant(chance.argument(offset + 1, "a_max", "max", "upper")),
        ]
        if 0 in limits or 1 in limits:
            yield Hit(
                "probability-clipped",
                chance.place,
                f"{title(chance)} is clipped to {limits}: some units get probability 0 or 1 exactly.",
            )


def truth(view: View) -> Iterator[Hit]:
    """The mean of one potential outcome less the other."""
    for node in view.program.nodes:
        if node.op == "arith" and node.name == "Sub" and [is_potential(_whole(a)) for a in node.args] == ["1", "0"]:
            shown = [one for one in view.program.users(node) if last(one) in ("mean", "average")]
            if shown:
                yield Hit(
                    "truth-as-estimate", node.place, "The mean of the difference of both potential outcomes is shown."
                )
                return


def _whole(node: Node) -> Node:
    return node.args[0] if node.op in ("take", "subset") else node

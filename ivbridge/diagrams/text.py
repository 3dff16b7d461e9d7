"""Read a causal diagram from text, and write it as text.

The language is small::

    smoking -> tar -> cancer        # causes and effects, as many in a row as you like
    smoking <- gene -> cancer
    gene [latent]                   # not observed
    smoking <-> cancer              # a common cause that is neither observed nor named
    {age, "body mass"} -> cancer    # several nodes at once; quotes where a name has spaces

A statement ends at ``;`` or at the end of its line. A text of dagitty (``dag { … }``) is read, too: positions are
passed over, ``[exposure]`` and ``[outcome]`` are remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from ivbridge.diagrams.graph import Diagram
from ivbridge.errors import DiagramError

__all__ = ["Drawing", "parse", "write"]

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*|//[^\n]*|bb="[^"\n]*")
      |(?P<end>[;\n])
      |(?P<arrow><->|->|<-)
      |(?P<mark>\[[^\]\n]*\])
      |(?P<brace>[{}])
      |(?P<comma>,)
      |(?P<name>"[^"\n]+"|[^\W\d]\w*(?:\.\w+)*)""",
    re.VERBOSE,
)
#: Marks of a node: what each means here. Those of dagitty that only place or shade a node mean nothing.
_MARKS = {
    "latent": "latent", "unobserved": "latent", "u": "latent", "exposure": "treatment", "e": "treatment",
    "treatment": "treatment", "outcome": "dependent", "o": "dependent", "dependent": "dependent", "observed": "",
    "adjusted": "adjusted", "a": "adjusted",
}  # fmt: skip
_PLAIN = re.compile(r"[^\W\d]\w*(?:\.\w+)*")


@dataclass(frozen=True)
class Drawing:
    """What a text says: the diagram, and the nodes that it marks as treatment, dependent variable or adjusted for."""

    diagram: Diagram
    treatment: str | None
    dependent: str | None
    adjusted: tuple[str, ...]


def parse(text: str) -> Drawing:
    """Read a diagram.

    Parameters
    ----------
    text : str
        See the module.

    Raises
    ------
    DiagramError
        With the line and the column of what cannot be read, or the cycle that the arrows form.

    >>> parse("x -> y; u [latent]; x <- u -> y").diagram.arrows
    (('x', 'y'), ('u', 'x'), ('u', 'y'))
    """
    reader = _Reader(text)
    reader.read()
    nodes = tuple(reader.nodes)
    if not nodes:
        raise DiagramError("The text names no node.", do='write something such as "x -> y; x <- u -> y; u [latent]".')
    marked = {kind: tuple(n for n in nodes if kind in reader.nodes[n]) for kind in set(_MARKS.values())}
    for kind, what in (("treatment", "treatments"), ("dependent", "dependent variables")):
        if len(marked[kind]) > 1:
            raise DiagramError(f"The text marks {len(marked[kind])} {what}: {', '.join(marked[kind])}.", do="mark one.")
    diagram = Diagram(nodes, tuple(dict.fromkeys(reader.arrows)), tuple(reader.arcs), frozenset(marked["latent"]))
    one = {kind: marked[kind][0] if marked[kind] else None for kind in ("treatment", "dependent")}
    return Drawing(diagram, one["treatment"], one["dependent"], marked["adjusted"])


def write(diagram: Diagram) -> str:
    """The text of a diagram, one statement a line; :func:`parse` reads it back."""
    lines = [f"{_quoted(cause)} -> {_quoted(effect)}" for cause, effect in diagram.arrows]
    lines += [f"{_quoted(one)} <-> {_quoted(other)}" for one, other in diagram.arcs]
    lines += [f"{_quoted(name)} [latent]" for name in diagram.nodes if name in diagram.latent]
    joined = {end for edge in (*diagram.arrows, *diagram.arcs) for end in edge} | diagram.latent
    return "\n".join(lines + [_quoted(name) for name in diagram.nodes if name not in joined])


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else f'"{name}"'


class _Reader:
    """Takes the tokens of a text one after the other."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nodes: dict[str, set[str]] = {}
        self.arrows: list[tuple[str, str]] = []
        self.arcs: dict[tuple[str, str], None] = {}
        self.tokens = list(self._split())
        self.at = 0

    def _split(self) -> Iterator[tuple[str, str, int]]:
        start = 0
        wrapped = re.match(r"\s*(?:dag|digraph)\b[^{\n]*\{", self.text)
        text = self.text
        if wrapped:  # dagitty
            if not text.rstrip().endswith("}"):
                raise DiagramError("The text opens with 'dag {' and does not close it.", do="end it with }.")
            start, text = wrapped.end(), text.rstrip()[:-1]
        while start < len(text):
            found = _TOKEN.match(text, start)
            if found is None:
                self._fail("cannot be read", start)
            assert found is not None
            start = found.end()
            if (kind := str(found.lastgroup)) != "space":
                yield kind, found.group(), found.start()
        yield "end", "", len(text)

    def _fail(self, what: str, where: int) -> None:
        line = self.text.count("\n", 0, where) + 1
        begin = self.text.rfind("\n", 0, where) + 1
        rest = self.text[where:].partition("\n")[0].partition(";")[0].strip()
        shown = repr(rest[:30]) if rest else "the end of the statement"
        raise DiagramError(
            f"Line {line}, column {where - begin + 1}: {shown} {what}.",
            do='write statements such as "x -> y", "x <-> y" or "u [latent]", with ; or a new line between them.',
        )

    def read(self) -> None:
        """Read every statement."""
        while self.at < len(self.tokens):
            if self.tokens[self.at][0] == "end":
                self.at += 1
                continue
            before, left = "", self._operand()
            while self.tokens[self.at][0] == "arrow":
                before = self.tokens[self.at][1]
                self.at += 1
                right = self._operand()
                self._join(left, before, right)
                left = right
            if self.tokens[self.at][0] != "end":
                self._fail("stands where an arrow or the end of the statement was expected", self.tokens[self.at][2])

    def _join(self, left: list[str], arrow: str, right: list[str]) -> None:
        for one, other in product(left, right):
            if arrow == "<->":
                self.arcs.setdefault((other, one) if (other, one) in self.arcs else (one, other))
            else:
                self.arrows.append((one, other) if arrow == "->" else (other, one))

    def _operand(self) -> list[str]:
        """One node, or several in braces."""
        kind, shown, where = self.tokens[self.at]
        if kind == "name":
            return [self._node()]
        if shown != "{":
            self._fail("stands where a node was expected", where)
        self.at += 1
        found: list[str] = []
        while self.tokens[self.at][1] != "}":
            kind, _, where = self.tokens[self.at]
            if kind == "comma" or (kind == "end" and self.at + 1 < len(self.tokens)):
                self.at += 1
            elif kind == "name":
                found.append(self._node())
            else:
                self._fail("stands in braces, where a node was expected", where)
        self.at += 1
        if not found:
            self._fail("holds no node", where)
        return found

    def _node(self) -> str:
        name = self.tokens[self.at][1].strip('"')
        marks = self.nodes.setdefault(name, set())
        self.at += 1
        while self.tokens[self.at][0] == "mark":
            marks |= self._marks(*self.tokens[self.at][1:])
            self.at += 1
        return name

    def _marks(self, text: str, where: int) -> set[str]:
        found = set()
        for word in re.sub(r'\w+\s*=\s*("[^"]*"|[\w.\-]+)', "", text[1:-1]).split(","):
            if not (word := word.strip().lower()):
                continue
            if word not in _MARKS:
                self._fail(f"has the unknown mark {word!r}; known are latent, treatment and dependent", where)
            found.add(_MARKS[word])
        return found

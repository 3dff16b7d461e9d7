"""Two answers to one case: where they differ, and which differences rounding explains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivbridge.ports.records import Difference, Output
from ivbridge.ports.values import Labels, Leaf

__all__ = ["Compared", "Pair", "pairs_of", "relative"]


@dataclass(frozen=True)
class Pair:
    """One leaf on both sides, number by number.

    Attributes
    ----------
    path : str
        Name of the output and of the part in it.
    output : Output
    python, r : (m,) arrays
    gap : (m,) array
        Relative differences.
    over : (m,) array of bool
        Beyond the tolerance.
    explained : (m,) array of bool
        Of them: the rounding of the input explains the gap.
    """

    path: str
    output: Output
    python: npt.NDArray[np.float64]
    r: npt.NDArray[np.float64]
    gap: npt.NDArray[np.float64]
    over: npt.NDArray[np.bool_]
    explained: npt.NDArray[np.bool_]

    @property
    def beyond(self) -> npt.NDArray[np.bool_]:
        """The numbers that differ."""
        return self.over & ~self.explained

    def difference(self) -> Difference:
        """The largest gap among the numbers that differ."""
        worst = int(np.argmax(np.where(self.beyond, self.gap, -1.0)))
        python, r = (repr(float(values[worst])) for values in (self.python, self.r))
        where = f" at {worst + 1} of {self.gap.size}" if self.gap.size > 1 else ""
        return Difference("value", self.path, python, r + where, float(self.gap[worst]))


@dataclass(frozen=True)
class Compared:
    """What a comparison of all outputs found: pairs of numbers, differences of other kinds, what was left out."""

    pairs: list[Pair]
    differences: list[Difference]
    skipped: dict[str, str]
    texts: int = 0


def relative(python: npt.NDArray[np.float64], r: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Relative difference of each two numbers, against the larger; 0 for equal ones, missing and infinite too."""
    equal = (python == r) | (np.isnan(python) & np.isnan(r))
    with np.errstate(all="ignore"):
        largest = np.maximum(np.abs(python), np.abs(r))
        gap = np.abs(python / largest - r / largest)  # divided first: a difference of large numbers may overflow
    return np.where(equal, 0.0, gap)


def pairs_of(
    outputs: tuple[Output, ...], python: Mapping[str, dict[str, Leaf]], r: Mapping[str, dict[str, Leaf]]
) -> Compared:
    """Lay the leaves of both answers side by side."""
    found = Compared([], [], {})
    texts = 0
    for output in outputs:
        ours, theirs = python[output.name], r[output.name]
        away = {path for path, leaf in theirs.items() if leaf.kind == "left out"}
        found.skipped.update({_name(output, path): f"R's {theirs[path].values} does not travel" for path in away})
        if set(ours) - away != set(theirs) - away:
            has, r_has = (", ".join(path or "one value" for path in list(side)[:8]) for side in (ours, theirs))
            found.differences.append(Difference("parts", output.name, has, r_has))
        for path in ours:
            if path in theirs and path not in away:
                texts += _leaf(found, _name(output, path), output, ours[path], theirs[path])
    return Compared(found.pairs, found.differences, found.skipped, texts)


def _name(output: Output, path: str) -> str:
    return f"{output.name}.{path}" if path else output.name


def _leaf(found: Compared, name: str, output: Output, python: Leaf, r: Leaf) -> int:
    """Compare one leaf; the number of texts compared."""
    if python.kind != r.kind and not _empty(python, r):
        found.differences.append(Difference("kind", name, _show(python), _show(r)))
        return 0
    if python.shape != r.shape and not _empty(python, r):
        found.differences.append(Difference("shape", name, str(python.shape), str(r.shape)))
        return 0
    found.differences.extend(_labels(found, name, python.labels, r.labels))
    if python.kind == "text" and r.kind == "text":
        unequal = [(a, b) for a, b in zip(python.values.ravel(), r.values.ravel(), strict=True) if a != b]
        if unequal:
            found.differences.append(Difference("text", name, repr(unequal[0][0]), repr(unequal[0][1])))
        return python.values.size
    if python.kind != "number" or r.kind != "number":
        return 0  # nothing on both sides: NULL and None
    ours, theirs = python.values.ravel(), r.values.ravel()
    for what, one, other in (
        ("missing", np.isnan(ours), np.isnan(theirs)),
        ("infinite", np.isinf(ours) * np.nan_to_num(np.sign(ours)), np.isinf(theirs) * np.nan_to_num(np.sign(theirs))),
    ):
        if (one != other).any():
            at = int(np.argmax(one != other))
            found.differences.append(Difference(what, name, repr(float(ours[at])), repr(float(theirs[at]))))
            return 0
    gap = relative(ours, theirs)
    with np.errstate(all="ignore"):
        small = np.abs(ours - theirs) <= output.atol
    over = (gap > output.rtol) & ~small
    found.pairs.append(Pair(name, output, ours, theirs, gap, over, np.zeros_like(over)))
    return 0


def _empty(python: Leaf, r: Leaf) -> bool:
    """Nothing on both sides, whatever its type: R's character(0), numeric(0) and NULL say the same."""
    return python.values.size == 0 and r.values.size == 0


def _labels(found: Compared, name: str, python: Labels, r: Labels) -> Iterator[Difference]:
    for ours, theirs in zip(python, r, strict=False):
        if ours is None and theirs is not None:
            found.skipped[f"names of {name}"] = "Python's answer has none"
        elif ours is not None and theirs is None:
            found.skipped[f"names of {name}"] = "R's answer has none"
        elif ours != theirs:
            yield Difference("names", name, str(ours), str(theirs))


def _show(leaf: Leaf) -> str:
    if leaf.kind == "none":
        return "nothing"
    shown = ", ".join(map(str, leaf.values.ravel()[:3].tolist()))
    return f"{leaf.kind} {shown}{', …' if leaf.values.size > 3 else ''}"

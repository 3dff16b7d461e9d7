"""Numbers in other units or another form: scale, sign, base of the logarithm, powers, centring, lags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ivbridge.canonical import columns_of
from ivbridge.explainer.matrices import DEPENDENT, INTERCEPT, added, column, independent, kept, replaced
from ivbridge.explainer.rebuild import Parts, parts_of
from ivbridge.explainer.records import Step, World
from ivbridge.records import FloatArray, Seen

__all__ = [
    "FACTORS", "centred", "forms", "lagged", "may_scale", "order", "rescaled", "scale_divisor", "units",
    "units_of_instruments",
]  # fmt: skip

_SIZES = {
    "percent": (100.0,), "thousands": (1000.0,), "millions": (1e6,), "tens": (10.0,), "year": (4.0, 12.0, 52.0, 400.0),
    "time": (7.0, 24.0, 60.0, 3600.0),
}  # fmt: skip
_BASES = {"log": 1.0, "log10": math.log(10), "log2": math.log(2)}
_LOGS = {"log": "the natural one", "log10": "that to base 10", "log2": "that to base 2"}
_RATIOS = {own / other for own in _BASES.values() for other in _BASES.values() if own != other}

#: Known factors between two units, by what a column is multiplied with; the convention's name is the value.
FACTORS: Mapping[float, str] = {
    -1.0: "sign",
    **{size**power: word for power in (1, -1) for word, sizes in _SIZES.items() for size in sizes},
    **dict.fromkeys(sorted(_RATIOS), "log_base"),
}


def units(world: World) -> Iterator[World]:
    """The dependent variable or a regressor has another unit or sign, or is a logarithm to another base."""
    for name in (DEPENDENT, *world.seen.x_names):
        if name != INTERCEPT:
            yield from _all_units(world, name)


def units_of_instruments(world: World) -> Iterator[World]:
    """An excluded instrument is in other units, which the first stage alone shows."""
    for name in world.seen.instrument_names:
        yield from _all_units(world, name)


def _all_units(world: World, name: str) -> Iterator[World]:
    for factor in FACTORS:
        if may_scale(world, name, factor):
            yield rescaled(world, name, factor)


def may_scale(world: World, name: str, factor: float) -> bool:
    """Whether a column may be multiplied by a known factor: only logarithms have another base."""
    if FACTORS[factor] != "log_base":
        return True
    own = _base(_called(world, name))
    return own > 0 and any(abs(own / factor - base) < 1e-12 for base in _BASES.values())


def rescaled(world: World, name: str, factor: float) -> World:
    """The world in which a column, or the dependent variable, is multiplied by a known factor."""
    text, word = _called(world, name), FACTORS[factor]
    if word == "sign":
        what = f"{text} has the opposite sign"
    elif word == "log_base":
        base = _base(text) / factor
        what = f"the logarithm in {text} is {_LOGS[min(_BASES, key=lambda known: abs(_BASES[known] - base))]}"
    else:
        what = f"{text} is multiplied by {factor:g}" if factor > 1 else f"{text} is divided by {1 / factor:g}"
    return world.after(Step(f"unit.{word}", what), replaced(world.seen, {name: column(world.seen, name) * factor}))


def _base(text: str) -> float:
    """The natural logarithm of a logarithm's base; 1 for a column that may be a logarithm, 0 for any other."""
    named = next((base for word, base in _BASES.items() if text.startswith(f"{word}(")), 0.0)
    return named or float(text.lower().startswith("l"))


def _called(world: World, name: str) -> str:
    if name != DEPENDENT:
        return name
    return world.spec.dependent if world.spec else "the dependent variable"


def forms(world: World) -> Iterator[World]:
    """A logarithm is forgotten or taken, log1p or asinh stand for it, a variable enters squared."""
    seen = world.seen
    for name in (DEPENDENT, *seen.x_names, *seen.instrument_names):
        values, text = column(seen, name), _called(world, name)
        if name == INTERCEPT or np.ptp(values) == 0 or _two_valued(values):
            continue
        with np.errstate(all="ignore"):
            for key, what, new, renamed in _formed(text, values):
                if np.isfinite(new).all() and np.ptp(new) > 0:
                    step, changed = Step(key, what), {name: new}
                    yield world.after(step, replaced(seen, changed))
                    if name != DEPENDENT:
                        yield world.after(step, replaced(seen, changed, {name: renamed}))
        if name in seen.x_names:
            square, both = f"I({name}^2)", name in seen.z_names
            if square not in (*seen.x_names, *seen.z_names) and both:
                more = added(seen, {square: values**2}, x=True, z=True)
                yield world.after(Step("form.square_added", f"the square of {name} is a regressor, too"), more)


def _formed(text: str, values: FloatArray) -> Iterator[tuple[str, str, FloatArray, str]]:
    for word, base in _BASES.items():
        if text.startswith(f"{word}(") and text.endswith(")"):
            inner = text[len(word) + 1 : -1]
            plain = np.exp(values * base)
            yield "form.log_forgotten", f"{inner} enters without its logarithm", plain, inner
            yield "form.log1p", f"{text} is log(1 + {inner})", np.log1p(plain), f"log1p({inner})"
            yield (
                "form.asinh",
                f"{text} is the inverse hyperbolic sine of {inner}",
                np.arcsinh(plain),
                f"asinh({inner})",
            )
            return
    if values.min() > 0:
        yield "form.log_taken", f"{text} enters as its logarithm", np.log(values), f"log({text})"
    if values.min() > -1:
        yield "form.log1p", f"{text} enters as log(1 + {text})", np.log1p(values), f"log1p({text})"
    if values.min() >= 0:
        yield "form.root", f"{text} enters as its square root", np.sqrt(values), f"sqrt({text})"
    yield "form.asinh", f"{text} enters as its inverse hyperbolic sine", np.arcsinh(values), f"asinh({text})"
    if np.ptp(values) < 50 and values.max() < 700:
        yield "form.exponential", f"{text} enters as its exponential", np.exp(values), f"exp({text})"
    yield "form.square", f"{text} enters squared", values**2, f"I({text}^2)"


def _two_valued(values: FloatArray) -> bool:
    return bool(np.all((values == values.min()) | (values == values.max())))


def centred(world: World) -> Iterator[World]:
    """Columns are centred, or standardised with n − 1 or n: one regressor, all of them, y as well."""
    seen = world.seen
    names = [name for name in seen.x_names if name != INTERCEPT and np.ptp(column(seen, name)) > 0]
    groups: list[tuple[tuple[str, ...], str]] = [((name,), name) for name in names]
    groups += [(tuple(names), "every regressor")] if len(names) > 1 else []
    groups += [((DEPENDENT,), _called(world, DEPENDENT))]
    groups += [((DEPENDENT, *names), f"{_called(world, DEPENDENT)} and every regressor")] if names else []
    for group, text in groups:
        values = {name: column(seen, name) for name in group}
        middle = {name: v - v.mean() for name, v in values.items()}
        if any(np.ptp(v) == 0 for v in values.values()):
            continue
        yield world.after(Step("form.centred", f"{text} is centred"), replaced(seen, middle))
        for key, ddof in (("form.standardised", 1), ("form.standardised_n", 0)):
            new = {name: v / values[name].std(ddof=ddof) for name, v in middle.items()}
            what = f"{text} is standardised with {'n − 1' if ddof else 'n'} in the standard deviation"
            yield world.after(Step(key, what), replaced(seen, new))


def scale_divisor(world: World) -> Iterator[World]:
    """``scale()`` divides by the standard deviation with n − 1; other programs have n."""
    if world.frame is None or world.spec is None:
        return
    texts = {name: name for name in (*world.seen.x_names, *world.seen.instrument_names)}
    changed: dict[str, FloatArray] = {}
    for name, text in {**texts, DEPENDENT: world.spec.dependent}.items():
        if text.startswith("scale(") and text.endswith(")") and "scale = FALSE" not in text:
            there = int(world.frame[list(columns_of(text))].notna().all(axis=1).sum())
            if there > 1:
                changed[name] = column(world.seen, name) * math.sqrt(there / (there - 1))
    if changed:
        step = Step("form.scale_n", "scale() divides by the standard deviation with n, not n − 1")
        yield world.after(step, replaced(world.seen, changed))


def lagged(world: World) -> Iterator[World]:
    """A column is one row late or early; where rows were left out, one row of the data or one of those used."""
    seen, n = world.seen, len(world.seen.y)
    parts = parts_of(world) if world.frame is not None and len(world.frame) != n else None
    for name in (DEPENDENT, *seen.x_names, *seen.instrument_names):
        values = column(seen, name)
        if name == INTERCEPT or np.ptp(values) == 0:
            continue
        for key, word, moved, rows in (
            ("form.lag", "previous", np.r_[values[:1], values[:-1]], slice(1, n)),
            ("form.lead", "next", np.r_[values[1:], values[-1:]], slice(0, n - 1)),
        ):
            step = Step(key, f"{_called(world, name)} has the value of the {word} row")
            yield world.after(step, kept(replaced(seen, {name: moved}), rows))
    yield from _lagged_data(world, parts) if parts else ()


def _lagged_data(world: World, parts: Parts) -> Iterator[World]:
    for name in parts.frame.columns:
        values = parts.frame[name]
        if values.dtype != np.float64 or name in parts.groups:
            continue
        for key, word, by in (("form.lag", "previous", 1), ("form.lead", "next", -1)):
            changed = parts.changed({name: values.shift(by).to_numpy()})
            step = Step(key, f"{name} has the value of the {word} row of the data")
            yield world.after(step, independent(changed.seen()))


def order(world: World) -> Iterator[World]:
    """The numbers stand in one order and their names in another: by role, as the formula has it, or by alphabet."""
    seen = world.seen
    names = seen.x_names
    constant = [name for name in names if name == INTERCEPT]
    rest = [name for name in names if name != INTERCEPT]
    endog = [name for name in rest if name not in seen.z_names]
    exog = [name for name in rest if name in seen.z_names]
    done = {names}
    for key, text, other in (
        (
            "order.endog_first",
            "names have the endogenous regressors first, numbers the exogenous ones",
            [*constant, *endog, *exog],
        ),
        ("order.constant_last", "names have the intercept last, numbers first", [*rest, *constant]),
        ("order.alphabet", "names are sorted by alphabet, numbers are not", [*constant, *sorted(rest)]),
        (
            "order.endog_first",
            "names have the endogenous regressors first and the intercept last",
            [*endog, *exog, *constant],
        ),
    ):
        if tuple(other) not in done:
            done.add(tuple(other))
            yield world.after(Step(key, text), _renamed(seen, dict(zip(names, other, strict=True))))


def _renamed(seen: Seen, names: Mapping[str, str]) -> Seen:
    return replace(
        seen, x_names=tuple(names[name] for name in seen.x_names),
        z_names=tuple(names.get(name, name) for name in seen.z_names),
    )  # fmt: skip

"""Numbers in other units or another form: scale, sign, base of the logarithm, powers, centring, lags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ivbridge.canonical import columns_of
from ivbridge.explainer.matrices import DEPENDENT, INTERCEPT, added, column, kept, replaced
from ivbridge.explainer.records import Step, World
from ivbridge.records import FloatArray, Seen

__all__ = ["FACTORS", "centred", "forms", "lagged", "order", "scale_divisor", "units", "units_of_instruments"]

#: Known factors between two units, and what a step calls them.
FACTORS: Mapping[float, str] = {
    -1.0: "sign", 100.0: "percent", 1000.0: "thousands", 1e6: "millions", 10.0: "tens", 12.0: "months", 4.0: "quarters",
    400.0: "quarters", 52.0: "weeks", 60.0: "sixties", 3600.0: "sixties", 7.0: "weeks",
}  # fmt: skip
_BASES = {"log": 1.0, "log10": math.log(10), "log2": math.log(2)}


def units(world: World) -> Iterator[World]:
    """The dependent variable or a regressor has another unit or sign, or is a logarithm to another base."""
    for name in (DEPENDENT, *world.seen.x_names):
        if name != INTERCEPT:
            yield from _scaled(world, name)


def units_of_instruments(world: World) -> Iterator[World]:
    """An excluded instrument is in other units, which the first stage alone shows."""
    for name in world.seen.instrument_names:
        yield from _scaled(world, name)


def _scaled(world: World, name: str) -> Iterator[World]:
    text, values = _called(world, name), column(world.seen, name)
    steps = [(-1.0, Step("unit.sign", f"{text} has the opposite sign"))]
    for size, word in FACTORS.items():
        if size > 0:
            steps.append((size, Step(f"unit.{word}", f"{text} is multiplied by {size:g}")))
            steps.append((1 / size, Step(f"unit.{word}", f"{text} is divided by {size:g}")))
    own = next(
        (base for word, base in _BASES.items() if text.startswith(f"{word}(")), 1.0 if _like_a_log(text) else 0.0
    )
    for word, base in _BASES.items() if own else ():
        if base != own:
            steps.append((own / base, Step("unit.log_base", f"the logarithm in {text} is {_LOGS[word]}")))
    for factor, step in steps:
        yield world.after(step, replaced(world.seen, {name: values * factor}))


_LOGS = {"log": "the natural one", "log10": "that to base 10", "log2": "that to base 2"}


def _like_a_log(text: str) -> bool:
    return text.lower().startswith(("l", "ln"))


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
                    names = {} if name == DEPENDENT else {name: renamed}
                    yield world.after(Step(key, what), replaced(seen, {name: new}, names))
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
    """A column is one row late or early."""
    seen, n = world.seen, len(world.seen.y)
    for name in (DEPENDENT, *seen.x_names, *seen.instrument_names):
        values = column(seen, name)
        if name == INTERCEPT or np.ptp(values) == 0:
            continue
        for key, word, moved, rows in (
            ("form.lag", "previous", np.r_[values[:1], values[:-1]], slice(1, n)),
            ("form.lead", "next", np.r_[values[1:], values[-1:]], slice(0, n - 1)),
        ):
            text = f"{_called(world, name)} has the value of the {word} row"
            yield world.after(Step(key, text), kept(replaced(seen, {name: moved}), rows))


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

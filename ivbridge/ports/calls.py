"""From a case to the two calls: which function, which arguments, and what travels to R."""

from __future__ import annotations

import copy
import importlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, EngineError, IvbridgeError, UnsupportedError
from ivbridge.ports.limit import TooLong, limited
from ivbridge.ports.records import Arguments, Case, Failure, Formula, Output, PortOptions, RCall
from ivbridge.ports.values import Leaf, leaves_of
from ivbridge.rrandom import RRandom
from ivbridge.spec import IVSpec

__all__ = [
    "Adapter",
    "Port",
    "PythonAnswer",
    "call_python",
    "formula_text",
    "python_function",
    "python_name",
    "r_calls",
    "r_name",
    "script_of",
    "take",
]

Adapter = Callable[[Case], Any]
_R_NAME = re.compile(r"(?:[A-Za-z][A-Za-z0-9.]*|.+\.[Rr])::[A-Za-z.][A-Za-z0-9._]*")


@dataclass(frozen=True)
class Port:
    """A Python function, the R function that it claims to be, and how each is called with a case."""

    py: Callable[..., Any]
    r: str
    to_py: Adapter | None = None
    to_r: Adapter | None = None
    outputs: tuple[Output, ...] = (Output(),)
    options: PortOptions = PortOptions()  # noqa: RUF009

    def __post_init__(self) -> None:
        options: Any = self.options  # a file of cases has no types
        if not isinstance(options, PortOptions) or not all(isinstance(one, Output) for one in self.outputs):
            raise DataError("outputs are ports.Output(...), and options are ports.PortOptions(...).")
        for name in (self.r, *(step for output in self.outputs for step in (output.r or "").split())):
            if not name.startswith("$") and not _R_NAME.fullmatch(name):
                raise UnsupportedError(
                    f"{name!r} does not name an R function.",
                    available="package::name of an exported function, or file.R::name of your own script",
                )
        names = [output.name for output in self.outputs]
        if len(set(names)) < len(names) or not names:
            raise DataError(f"The outputs need different names; found: {', '.join(names) or 'none'}.")

    def for_python(self, case: Case) -> Arguments:
        """What Python is called with: a copy, so that a function that changes its input is seen."""
        found = _arguments(copy.deepcopy(dict(_without_seed(self, case))), self.to_py, "to_py")
        if self.options.draws is None:
            return found
        return Arguments(found.positional, {**found.named, self.options.draws: RRandom(int(case["seed"]))})

    def for_r(self, case: Case) -> RCall:
        """What R is called with."""
        return RCall(self.r, _arguments(_without_seed(self, case), self.to_r, "to_r"))


def _without_seed(port: Port, case: Case) -> Case:
    return case if port.options.draws is None else {name: item for name, item in case.items() if name != "seed"}


def _arguments(case: Case, adapter: Adapter | None, name: str) -> Arguments:
    try:
        found = case if adapter is None else adapter(case)
    except IvbridgeError:
        raise
    except Exception as error:
        raise DataError(f"{name} raised {_said(error)}; its case was {_shown(case)}.") from error
    if isinstance(found, Arguments):
        return found
    if isinstance(found, Mapping):
        return Arguments((), found)
    raise DataError(
        f"{name} returned a {type(found).__name__}.", available="a dict of named arguments, or ports.arguments(...)"
    )


def python_function(name: str) -> Callable[..., Any]:
    """Import "package.module:function".

    Parameters
    ----------
    name : str
        As an entry point is written; the function may be an attribute of a class: "module:Class.method".

    Raises
    ------
    UnsupportedError
        There is no such module or function.
    """
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise UnsupportedError(f"{name!r} does not name a Python function.", available="package.module:function")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module is a program
        why = error if isinstance(error, ImportError) else _said(error)
        raise UnsupportedError(
            f"{name!r} was asked, and importing {module_name} failed: {why}.",
            do="run the command where Python finds the module, or set PYTHONPATH.",
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            listed = [one for one in dir(found) if not one.startswith("_") and callable(getattr(found, one))]
            raise UnsupportedError(f"{name!r}: there is no {part}.", available=", ".join(listed[:40]))
        found = getattr(found, part)
    if not callable(found):
        raise UnsupportedError(f"{name!r} is a {type(found).__name__}, not a function.")
    function: Callable[..., Any] = found
    return function


@dataclass(frozen=True)
class PythonAnswer:
    """Python's answer to one case: for each output its leaves, or what was raised; whether the input was changed."""

    found: dict[str, dict[str, Leaf]] | Failure
    warnings: tuple[str, ...] = ()
    changed: bool = False


def call_python(port: Port, case: Case) -> PythonAnswer:
    """Call Python's function with a case; what it raises is its answer.

    Parameters
    ----------
    port : Port
    case : mapping
        The input; the function gets a copy.

    Raises
    ------
    EngineError
        It takes longer than the limit of the port's options.
    UnsupportedError
        Its answer is of a kind that is not compared.
    """
    given = port.for_python(case)
    before = _print_of(given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with limited(port.options.timeout):
                value = port.py(*given.positional, **given.named)
                parts = {output.name: take(value, output.py) for output in port.outputs}
        except TooLong:
            raise EngineError(
                f"Python took longer than {port.options.timeout:g} seconds; its case was {_shown(case)}.",
                do="mend the function, or allow it more: options = ports.PortOptions(timeout=…).",
            ) from None
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever the function raises is its answer
            return PythonAnswer(Failure(tuple(one.__name__ for one in type(error).__mro__[:-2]), str(error), error))
    texts = tuple(str(one.message) for one in caught)
    try:
        found = {name: leaves_of(one) for name, one in parts.items()}
    except RecursionError:
        raise UnsupportedError(f"Python's answer holds itself, or is too deep; its case was {_shown(case)}.") from None
    return PythonAnswer(found, texts, _print_of(given) != before)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _shown(case: Case) -> str:
    return " ".join(repr(dict(case)).split())[:300]


def _print_of(value: Any) -> Any:
    """What a value holds, to see whether it changed; a stream of random numbers is there to be used up."""
    match value:
        case Arguments(positional, named):
            return _print_of(positional), _print_of(named)
        case np.ndarray():
            content = repr(value.tolist()) if value.dtype.hasobject else value.tobytes()
            return str(value.dtype), value.shape, content
        case pd.DataFrame():
            return [(name, _print_of(column)) for name, column in value.items()]
        case pd.Series():
            plain = value.to_numpy() if isinstance(value.dtype, np.dtype) else repr(value.tolist())
            return str(value.dtype), _print_of(plain), repr(value.index.tolist())
        case list() | tuple():
            return [_print_of(item) for item in value]
        case Mapping():
            return [(name, _print_of(item)) for name, item in value.items() if not isinstance(item, RRandom)]
    return repr(value)


def take(value: Any, path: str | Callable[[Any], Any] | None) -> Any:
    """One part of Python's answer; see `ivbridge.ports.Output`."""
    if path is None:
        return value
    if callable(path):
        return path(value)
    for step in path.split("."):
        value = value[step] if isinstance(value, Mapping) else getattr(value, step)
    return value


def r_calls(port: Port, cases: list[Case]) -> list[dict[str, Any]]:
    """The calls as ``ivb_port`` of ``port.R`` takes them."""
    found = []
    for case in cases:
        call = _r_call(port.for_r(case))
        found.append(call if port.options.draws is None else {**call, "seed": int(case["seed"])})
    return found


def _r_call(call: RCall) -> dict[str, Any]:
    if not _R_NAME.fullmatch(call.function):
        raise UnsupportedError(f"{call.function!r} does not name an R function.", available="package::name")
    return {
        "fun": r_name(call.function),
        "positional": [_r_argument(item) for item in call.arguments.positional],
        "named": {name: _r_argument(item) for name, item in call.arguments.named.items()},
    }


def r_name(function: str) -> str:
    """The name as ``port.R`` looks it up: a function of a script has no package."""
    place, _, name = function.rpartition("::")
    return f"::{name}" if place.lower().endswith(".r") else function


def _r_argument(value: Any) -> dict[str, Any]:
    match value:
        case RCall():
            return {"is": "call", "call": _r_call(value)}
        case Formula(text):
            return {"is": "formula", "text": formula_text(text)}
    return {"is": "value", "value": value}


def formula_text(text: str) -> str:
    """The formula in R's spelling, read by ivbridge's parser.

    Raises
    ------
    FormulaError
        The text is not a formula, or uses something that is not allowed.
    """
    left, _, right = text.partition("~")
    one_sided = not left.strip()
    spec = IVSpec.from_formula(f"ivb_left ~ {right}" if one_sided else text)
    written = spec.to_r()
    body = written[len(spec.dependent) + 3 :]
    if not spec.endog and not spec.instruments:
        body = body[: (len(body) - 3) // 2]  # least squares: both parts say the same
    return f"~{body}" if one_sided else f"{spec.dependent} ~ {body}"


def script_of(function: str) -> Path | None:
    """The R script that "file.R::name" stands in; None for a package."""
    place = function.rpartition("::")[0]
    return Path(place) if place.lower().endswith(".r") else None


def python_name(function: Callable[..., Any]) -> tuple[str, str]:
    """Module and qualified name of a function; the module is empty where it cannot be imported from anywhere."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", "") or ""
    if "<" in name or module not in sys.modules or module == "__main__":
        return "", name
    parts = module.split(".")
    for length in range(1, len(parts) + 1):  # the shortest public place: scipy.stats, not scipy.stats._stats_py
        place = ".".join(parts[:length])
        if place in sys.modules and getattr(sys.modules[place], name.partition(".")[0], None) is function:
            return place, name
    return module, name

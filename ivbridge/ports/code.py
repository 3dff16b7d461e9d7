"""R and Python that a reader can paste: the values are those that were compared, bit for bit."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.engines.transfer import encode
from ivbridge.engines.wire import NA_INTEGER, NA_REAL, Factor, Frame, Items, Node, Text, Times, Vector
from ivbridge.expr import quote_name
from ivbridge.ports.calls import Port, formula_text, python_name, r_name, script_of
from ivbridge.ports.records import Arguments, Case, Formula, Output, RCall
from ivbridge.rrandom import RRandom

__all__ = ["python_code", "python_text", "r_code", "r_number", "r_text"]

#: Powers of ten that a long double holds exactly.
_POWERS = 27
_NA_BITS = np.float64(NA_REAL).view(np.int64)


def r_number(value: float) -> str:
    """The double as R reads it: a decimal number where R's parser gives exactly these bits, else a hexadecimal one."""
    if math.isnan(value):
        return "NA_real_" if np.float64(value).view(np.int64) == _NA_BITS else "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    text = repr(value).removesuffix(".0")
    return text if _r_reads(abs(value), text.lstrip("-")) else value.hex()


def _r_reads(value: float, text: str) -> bool:
    """Whether R's parser, which takes the digits as one long double and scales it once, gives this double."""
    digits, _, exponent = text.partition("e")
    whole, _, fraction = digits.partition(".")
    scale = int(exponent or 0) - len(fraction)
    number = int(whole + fraction)
    if number >= 2**63 or abs(scale) > _POWERS:
        return False
    power = np.longdouble(10) ** abs(scale)
    read = np.longdouble(number) * power if scale >= 0 else np.longdouble(number) / power
    return float(read) == value


def r_text(value: Any) -> str:
    """A value, formula or call as R code.

    Parameters
    ----------
    value : object
        What `ivbridge.engines.transfer` sends, an `RCall` or a `Formula`.
    """
    match value:
        case RCall():
            return _r_call(value)
        case Formula(text):
            return formula_text(text)
    return _node(encode(value))


def _r_call(call: RCall) -> str:
    name = r_name(call.function).removeprefix("::")
    return f"{name}({_joined(call.arguments, r_text, quote_name)})"


def _joined(given: Arguments, text: Any, name: Any) -> str:
    named = (f"{name(key)} = {text(value)}" for key, value in given.named.items())
    return ", ".join([*map(text, given.positional), *named])


def _node(node: Node) -> str:
    match node:
        case None:
            return "NULL"
        case Vector(kind, values, dim):
            flat = _vector([_scalar(kind, item) for item in values.tolist()])
            empty = {"double": "numeric(0)", "integer": "integer(0)", "logical": "logical(0)"}[kind]
            flat = flat if values.size else empty
            return flat if dim is None else f"matrix({flat}, {', '.join(map(str, dim))})"
        case Text(codes, labels):
            return _vector([_label(labels, code) for code in codes.tolist()]) if codes.size else "character(0)"
        case Factor(codes, levels, ordered):
            values_text = _vector([_label(levels, code) for code in codes.tolist()]) if codes.size else "character(0)"
            extra = ", ordered = TRUE" if ordered else ""
            return f"factor({values_text}, levels = {_vector([_quoted(level) for level in levels])}{extra})"
        case Times(kind, times, unit):
            flat = _vector(_doubles(times)) if times.size else "numeric(0)"
            match kind:
                case "Date":
                    return f".Date({flat})"
                case "POSIXct":
                    return f".POSIXct({flat}{f', tz = {_quoted(unit)}' if unit else ''})"
            return f"as.difftime({flat}, units = {_quoted(unit)})"
        case Items(items, names):
            return f"list({_named([_node(item) for item in items], names)})"
        case Frame(names, columns, rows):
            inner = _named([_node(column) for column in columns], names)
            return f"data.frame({inner}, check.names = FALSE)" if names else f"data.frame(x = seq_len({rows}))[, 0]"


def _scalar(kind: str, item: Any) -> str:
    if kind == "double":
        return r_number(item)
    if kind == "integer":
        return "NA_integer_" if item == NA_INTEGER else f"{item}L"
    return "NA" if item == NA_INTEGER else "TRUE" if item else "FALSE"


def _doubles(values: npt.NDArray[np.float64]) -> list[str]:
    return [r_number(item) for item in values.tolist()]


def _vector(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"c({', '.join(texts)})"


def _named(texts: list[str], names: list[str] | None) -> str:
    if names is None:
        return ", ".join(texts)
    return ", ".join(f"{quote_name(name)} = {text}" for name, text in zip(names, texts, strict=True))


def _label(labels: list[str], code: int) -> str:
    return "NA_character_" if code == NA_INTEGER else _quoted(labels[code - 1])


def _quoted(text: str) -> str:
    """A string that R and Python read alike."""
    return json.dumps(text, ensure_ascii=False)


def python_text(value: Any) -> str:
    """A value as Python code that makes it again; NumPy is ``np``, pandas ``pd``."""
    match value:
        case float() | int() | bool() | np.generic():
            return _python_number(value.item() if isinstance(value, np.generic) else value)
        case None | str():
            return repr(value)
        case np.ndarray():
            inner = _list(value.tolist())
            return f"np.array({inner}{'' if value.size and value.dtype in _OWN else f', dtype={str(value.dtype)!r}'})"
        case pd.Series():
            return f"pd.Series({_python_column(value)})"
        case pd.DataFrame():
            inner = ", ".join(f"{name!r}: {_python_column(column)}" for name, column in value.items())
            return f"pd.DataFrame({{{inner}}})"
        case RRandom():
            return "random"
        case list() | tuple():
            return _list(list(value))
        case dict():
            return "{" + ", ".join(f"{key!r}: {python_text(item)}" for key, item in value.items()) + "}"
    return repr(value)


_OWN = (np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool))


def _python_number(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    return repr(value)


def _list(items: list[Any]) -> str:
    return f"[{', '.join(_list(item) if isinstance(item, list) else python_text(item) for item in items)}]"


def _python_column(series: pd.Series[Any]) -> str:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = [None if pd.isna(item) else item for item in series]
        return f"pd.Categorical({values!r}, {list(dtype.categories)!r}{', ordered=True' if dtype.ordered else ''})"
    values = [None if item is pd.NA or item is pd.NaT else item for item in series.tolist()]
    if dtype.kind in "mM":
        values = [None if item is None else str(item) for item in values]
    plain = isinstance(dtype, np.dtype) and dtype in _OWN and len(series)
    return _list(values) if plain else f"pd.array({_list(values)}, dtype={str(dtype)!r})"


def r_code(port: Port, case: Case, output: Output | None = None) -> str:
    """An R program that prints R's answer to a case.

    Parameters
    ----------
    port : Port
    case : mapping
    output : Output, optional
        Only this part.
    """
    lines = [f"source({_quoted(str(script))})" for script in (script_of(port.r),) if script is not None]
    if port.options.draws is not None:
        lines.append(f"set.seed({int(case['seed'])})")
    text = r_text(port.for_r(case))
    steps = (output.r or "").split() if output is not None else []
    for step in steps:
        if step.startswith("$"):
            text = f"{text}${quote_name(step[1:])}"
        else:
            text = f"{r_name(step).removeprefix('::')}({text})"
    return "\n".join([*lines, f"print({text}, digits = 17)"])


def python_code(port: Port, case: Case, output: Output | None = None) -> str:
    """A Python program that prints Python's answer to a case; see `r_code`."""
    module, name = python_name(port.py)
    given = port.for_python(case)
    call = f"{name}({_joined(given, python_text, str).replace(' = ', '=')})"
    if output is not None and isinstance(output.py, str):
        call += "".join(f".{step}" for step in output.py.split("."))
    body = [f"print(repr({call}))"]
    if port.options.draws is not None:
        body.insert(0, f"random = RRandom({int(case['seed'])})")
    used = "\n".join(body)
    imports = [line for word, line in (("np.", "import numpy as np"), ("pd.", "import pandas as pd")) if word in used]
    imports += ["from ivbridge import RRandom"] if "RRandom" in used else []
    origin = f"from {module} import {name.partition('.')[0]}" if module else f"# {name}: a function of your own script"
    return "\n".join([*imports, origin, "", *body])

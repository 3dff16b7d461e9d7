"""Many questions in one TOML file, for scripted checks.

The tables ``[defaults]`` (optional; every key but name and formula) and ``[[question]]``:

    [defaults]                            # optional; every key but name and formula may stand here
    data = "cigarettes_sw"                # a bundled set, or a file, relative to the TOML file
    vcov = ["classical", "HC1"]

    [[question]]
    name = "demand"
    formula = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"

    [[question]]
    name = "demand, clustered"
    formula = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
    vcov = "cluster(state)"
    weights = "population"
    engines = ["r", "native"]
    inference = "z"
    method = "liml"

A path of data is relative to the TOML file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivbridge.data import datasets
from ivbridge.errors import DataError, IvbridgeError
from ivbridge.spec import IVSpec
from ivbridge.vcov_text import parse_inference, parse_vcov

__all__ = ["DEFAULT_ENGINES", "Question", "load_questions"]

#: Where nobody names any; the first one is the reference.
DEFAULT_ENGINES = ("r", "native")

_KEYS = ("name", "formula", "data", "vcov", "weights", "engines", "inference", "method")
_LISTS = ("vcov", "engines")
#: Ten thousand questions and more; what a parser of TOML takes longer for is made to take long.
MAX_BYTES = 1 << 20
#: In a key a.b.c: Python's parser needs time with the square of their number.
MAX_DOTS = 500
_QUOTED = re.compile(r""""(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'""")


@dataclass(frozen=True, slots=True)
class Question:
    """One cross-check to run.

    Attributes
    ----------
    name, formula : str
    data : str
        A bundled set or a path, as :func:`ivbridge.read` takes it.
    vcovs : tuple of str
        Empty: the defaults of :func:`ivbridge.crosscheck`.
    weights, inference, method : str or None
    engines : tuple of str
    """

    name: str
    formula: str
    data: str
    vcovs: tuple[str, ...] = ()
    weights: str | None = None
    engines: tuple[str, ...] = DEFAULT_ENGINES
    inference: str | None = None
    method: str | None = None


def load_questions(path: Path) -> tuple[Question, ...]:
    """Read and validate a file of questions.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tuple of Question
        In the order of the file; paths of data are resolved against the file's folder.

    Raises
    ------
    DataError
        No such file, no TOML, or a key that is unknown, missing or of the wrong type; file and key are named.
    """
    tree = _tree(path)
    if unknown := sorted(set(tree) - {"defaults", "question"}):
        raise DataError(f"{path}: there is no key {unknown[0]!r} at the top.", available="[defaults], [[question]]")
    defaults, entries = tree.get("defaults", {}), tree.get("question", [])
    if not isinstance(defaults, dict):
        raise DataError(f"{path}: defaults is no table.", do="write [defaults] on a line of its own.")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path} holds no question.", do="write [[question]] and below it name, formula and data.")
    _check_keys(f"{path}: [defaults]", defaults, _KEYS[2:])
    questions = tuple(_question(path, number, defaults, entry) for number, entry in enumerate(entries, 1))
    names = [question.name for question in questions]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: two questions have the name {twice[0]!r}.", do="give each question its own name.")
    return questions


def _tree(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is not a file.")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path} has {size} bytes; the limit is {MAX_BYTES}.", do="split it.")
        text = path.read_text(encoding="utf-8")
        if any(_QUOTED.sub("", line).count(".") > MAX_DOTS for line in text.splitlines()):
            raise DataError(f"{path} has a line with more than {MAX_DOTS} dots outside of quotes.", do="shorten it.")
        return tomllib.loads(text)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path} is not TOML: {error}.") from error
    except RecursionError as error:
        raise DataError(f"{path} is not a file of questions: its tables or lists nest too deep.") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL, a number of thousands of digits
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{str(path)[:200]} cannot be read: {reason}.") from error


def _check_keys(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise DataError(f"{where}: there is no key {unknown[0]!r}.", available=", ".join(known))
    for key, value in table.items():
        if isinstance(value, str):
            if key == "name" and not value.isprintable():
                raise DataError(f"{where}: the name {value!r} holds a character that cannot be printed.")
            continue
        if key not in _LISTS:
            raise DataError(f"{where}: {key} is {value!r}, not a text.", do=f'write {key} = "…".')
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise DataError(f"{where}: {key} is {value!r}, not a list of texts.", do=f'write {key} = ["…", "…"].')


def _question(path: Path, number: int, defaults: Mapping[str, Any], entry: Mapping[str, Any]) -> Question:
    where = f"{path}: question {number}" + (f" ({entry['name']})" if isinstance(entry.get("name"), str) else "")
    _check_keys(where, entry, _KEYS)
    values = {**defaults, **entry}
    for key in ("formula", "data"):
        if not values.get(key):
            do = f'write {key} = "…" below [[question]]' + (" or below [defaults]." if key == "data" else ".")
            raise DataError(f"{where}: {key} is missing.", do=do)
    lists = {key: (value,) if isinstance(value := values.get(key, ()), str) else tuple(value) for key in _LISTS}
    with _naming(f"{where}: formula"):
        IVSpec.from_formula(values["formula"])
    with _naming(f"{where}: vcov"):
        for vcov in lists["vcov"]:
            parse_vcov(vcov)
    with _naming(f"{where}: inference"):
        parse_inference(values.get("inference") or "t")
    with _naming(f"{where}: method"):
        IVSpec.from_formula(values["formula"], method=values.get("method") or "2sls")
    return Question(
        name=values.get("name") or f"question {number}",
        formula=values["formula"],
        data=_located(path.parent, values["data"]),
        vcovs=lists["vcov"],
        weights=values.get("weights") or None,
        engines=lists["engines"] or DEFAULT_ENGINES,
        inference=values.get("inference") or None,
        method=values.get("method") or None,
    )


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put the file and the key in front of an error."""
    try:
        yield
    except IvbridgeError as error:
        raise DataError(f"{where}: {error.message}", available=error.available, do=error.do) from error


def _located(folder: Path, data: str) -> str:
    """A bundled name stays a name unless such a file stands beside the questions."""
    try:
        beside = folder / Path(data).expanduser()
        return data if not beside.exists() and data in set(datasets()["name"]) else str(beside)
    except (OSError, RuntimeError) as error:  # a name that no file can have, a home that nobody has
        raise DataError(f"There is no file {data[:200]!r}: {error}.") from error

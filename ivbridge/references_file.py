"""The file of a recorded reference: JSON that a reviewer can read, with a digest of its content.

Nothing in such a file is ever evaluated: the formula goes through ivbridge's parser, everything else is data. The
format is described in ``docs/reference/reference-format.md``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivbridge import serial
from ivbridge.errors import DataError, EditedReferenceError, IvbridgeError
from ivbridge.method import TwoStage
from ivbridge.place import replace_file
from ivbridge.records import Provenance, Seen
from ivbridge.references_checks import contradictions
from ivbridge.references_data import ColumnFacts, DataFacts
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.vcov import T
from ivbridge.vcov_text import parse_vcov

__all__ = ["FORMAT", "MAX_BYTES", "Reference", "question_of", "read_tree", "record_command"]

FORMAT = "ivbridge-reference/1"
ABOUT = "R's answers, recorded by ivbridge. Change nothing by hand; `ivbridge record --verify FILE` asks R again."
#: Of a file; a reference with all residuals of 5000 rows has half a megabyte.
MAX_BYTES = 64 << 20
#: Fields of an estimate that no vcov changes and that stand once in a file.
_SHARED = ("n", "df_resid", "sigma", "residuals", "fitted")
_OWN = ("coefs", "cov", "r2", "r2_adj", "tests", "first_stages", "notes", "warnings", "kappa")
_SEEN = ("x_names", "z_names", "aliased", "aliased_instruments", "levels", "exact")
#: What an answer can say when its file cannot be decoded.
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, StopIteration)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reference:
    """R's recorded answers to one question under one or more vcovs.

    Attributes
    ----------
    spec : IVSpec
        The question, without a vcov.
    data : DataFacts
    answers : mapping of str to Estimate
        By vcov; without model matrices.
    sums : mapping
        Of R's matrices, column by column, and under ``fit`` of its residuals and fitted values
        (:func:`ivbridge.references_data.sums`).
    digits : mapping of str to mapping of str to list of float
        By vcov and quantity, for every number: digits that rounding leaves; what ``replay.R`` asks of a new answer.
    asked : mapping of str to mapping
        By vcov the arguments of the function of the R scripts that answers.
    environment : mapping of str to str
        ``rng``, ``locale``, ``lapack`` and ``ivbridge``, beside what each answer's provenance says.
    scripts : mapping of str to str
        SHA-256 of every R script that computed the numbers.
    path : Path or None
        The file that it was read from or written to.
    """

    spec: IVSpec
    data: DataFacts
    answers: Mapping[str, Estimate]
    sums: Mapping[str, Mapping[str, list[float]]]
    digits: Mapping[str, Mapping[str, list[float]]]
    asked: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, str]
    scripts: Mapping[str, str]
    path: Path | None = None

    @property
    def vcovs(self) -> tuple[str, ...]:
        """Those that are answered."""
        return tuple(self.answers)

    @property
    def provenance(self) -> Provenance:
        """R, its packages and when it was asked."""
        return next(iter(self.answers.values())).provenance

    @property
    def label(self) -> str:
        """How tables and messages call this engine: ``recorded (R 4.2.2, 2026-11-22)``."""
        return f"recorded (R {self.provenance.versions.get('R', '?')}, {self.provenance.recorded_on[:10]})"

    @property
    def command(self) -> str:
        """What records this reference again."""
        place = "reference.json" if self.path is None else str(self.path)
        return record_command(self.spec, self.vcovs, self.data.source, place)

    def __repr__(self) -> str:
        return f"<Reference {self.label}, {', '.join(self.vcovs)}: {self.spec.title}>"

    def to_json(self) -> str:
        """The text of the file."""
        tree = _tree(self)
        return _lines({**tree, "digest": _digest(tree)}) + "\n"

    def write(self, path: str | Path) -> Reference:
        """Write the file whole or not at all, and return the reference with its path.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        placed = dataclasses.replace(self, path=Path(path))
        replace_file(path, placed.to_json().encode())
        return placed

    @classmethod
    def read(cls, path: str | Path) -> Reference:
        """Read a file and check that nobody changed it.

        Raises
        ------
        DataError
            If there is no such file, or it is no reference.
        EditedReferenceError
            If its content is not what was written, or its numbers contradict each other.
        """
        path = Path(path)
        tree = read_tree(path)
        try:
            found = _reference(tree, path)
            same = tree.get("digest") == _digest({key: item for key, item in tree.items() if key != "digest"})
            wrong = [f"under {vcov} {why}" for vcov, answer in found.answers.items()
                     for why in contradictions(answer, found.sums, found.digits[vcov])]  # fmt: skip
        except IvbridgeError as error:
            raise DataError(f"{path} is no whole reference: {error.message}") from error
        except _BROKEN as error:
            raise DataError(f"{path} is no whole reference: {type(error).__name__}: {str(error)[:200]}.") from error
        if not same:
            raise _edited(found, "its content is not what was recorded: the digest at its end does not fit")
        if wrong:
            raise _edited(found, wrong[0])
        return found


def record_command(spec: IVSpec, vcovs: tuple[str, ...], source: str, path: str) -> str:
    """The command that records a question; Python where the data are a data frame in memory."""
    method = None if isinstance(spec.method, TwoStage) else str(spec.method)
    inference = None if spec.inference == T() else str(spec.inference)
    extras = {"weights": spec.weights, "inference": inference, "method": method}
    given = {name: value for name, value in extras.items() if value is not None}
    if not source:
        options = "".join(f", {name}={value!r}" for name, value in given.items())
        return f"ivbridge.record({spec.to_r()!r}, data, {list(vcovs)!r}, {path!r}{options})"
    words = ["ivbridge", "record", spec.to_r(), "--data", source]
    words += [word for vcov in vcovs for word in ("--vcov", vcov)]
    words += [word for name, value in given.items() for word in (f"--{name}", value)]
    return shlex.join([*words, "--out", path])


def _edited(reference: Reference, why: str) -> EditedReferenceError:
    return EditedReferenceError(
        f"{reference.path} was changed by hand: {why}.", do=f"restore the file, or record it again: {reference.command}"
    )


def read_tree(path: Path) -> dict[str, Any]:
    """The JSON of a reference file, checked for nothing but its format.

    Raises
    ------
    DataError
        If the file cannot be read or is something else.
    """
    try:
        if not path.is_file():
            raise DataError(
                f"There is no reference {path}.", do="record it: ivbridge record FORMULA --data … --out FILE"
            )
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path} has {size} bytes; the limit of a reference is {MAX_BYTES}.")
        tree = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=_unique)
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {str(error)[:200]}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise DataError(f"{path} is no reference of ivbridge: it does not say {FORMAT!r}.")
    return tree


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def question_of(tree: Mapping[str, Any]) -> IVSpec:
    """The question of a file; raises what a wrong tree raises."""
    question = tree["question"]
    return IVSpec.from_formula(
        question["formula"],
        weights=question["weights"],
        inference=question["inference"],
        method=question["method"],
    )


def _tree(reference: Reference) -> dict[str, Any]:
    """Everything but the digest as plain values."""
    spec, answers = reference.spec, reference.answers
    one = next(iter(answers.values()))
    plain = {vcov: serial.encode(answer) for vcov, answer in answers.items()}
    provenance = reference.provenance
    return {
        "format": FORMAT,
        "about": ABOUT,
        "question": {
            "formula": spec.to_r(), "weights": spec.weights, "inference": str(spec.inference),
            "method": str(spec.method), "vcovs": list(answers),
        },
        "data": {
            "name": reference.data.name, "source": reference.data.source, "sha256": reference.data.sha256,
            "rows": reference.data.rows,
            "columns": {name: _column(facts) for name, facts in reference.data.columns.items()},
        },
        "recorded": {
            "on": provenance.recorded_on, "command": reference.command, "versions": dict(provenance.versions),
            "platform": provenance.platform, "blas": provenance.blas, "threads": provenance.threads,
            **reference.environment, "scripts": dict(reference.scripts), "script_sha256": provenance.script_sha256,
        },
        "model": {
            **{name: serial.encode(getattr(one.seen, name)) for name in _SEEN},
            "rows": _ranges(one.seen.rows), "sums": serial.encode(reference.sums),
            **{name: serial.encode(getattr(one, name)) for name in _SHARED},
            "lacks": dict(one.lacks),
        },
        "answers": [
            {"vcov": vcov, **{name: answer[name] for name in _OWN}, "calls": list(answers[vcov].provenance.calls),
             "asked": serial.encode(reference.asked[vcov]), "digits": serial.encode(reference.digits[vcov])}
            for vcov, answer in plain.items()
        ],
    }  # fmt: skip


def _column(facts: ColumnFacts) -> dict[str, Any]:
    levels = {"levels": list(facts.levels), "ordered": facts.ordered} if facts.kind == "category" else {}
    return {"kind": facts.kind, **levels, "sha256": facts.sha256}


def _ranges(rows: np.ndarray) -> list[list[int]]:
    """Ascending positions as [first, last] pairs."""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts, lasts = rows[np.r_[0, breaks + 1]], rows[np.r_[breaks, len(rows) - 1]]
    return [[int(a), int(b)] for a, b in zip(firsts, lasts, strict=True)]


def _rows(ranges: list[list[int]], limit: int) -> np.ndarray:
    """The positions again; refuses what is not ascending and within the data."""
    flat = [place for pair in ranges for place in (pair[0], pair[1] + 1)]
    if not flat or flat[0] < 0 or flat[-1] > limit or any(b <= a for a, b in zip(flat[::2], flat[1::2], strict=True)):
        raise ValueError("rows are not ranges within the data")
    if any(b > a for b, a in zip(flat[1::2], flat[2::2], strict=False)):
        raise ValueError("rows are not ascending")
    return np.concatenate([np.arange(a, b, dtype=np.int64) for a, b in zip(flat[::2], flat[1::2], strict=True)])


def _reference(tree: Mapping[str, Any], path: Path) -> Reference:
    spec, data, recorded, model = question_of(tree), tree["data"], tree["recorded"], tree["model"]
    facts = DataFacts(
        str(data["name"]), str(data["source"]), str(data["sha256"]), int(data["rows"]),
        {name: ColumnFacts(c["kind"], c["sha256"], tuple(c.get("levels", ())), bool(c.get("ordered", False)))
         for name, c in data["columns"].items()},
    )  # fmt: skip
    known = ("on", "command", "versions", "platform", "blas", "threads", "scripts", "script_sha256")
    answers = [_answer(spec, item, model, recorded, facts) for item in tree["answers"]]
    if not answers or [answer["vcov"] for answer in tree["answers"]] != tree["question"]["vcovs"]:
        raise ValueError("the answers are not those of the question's vcovs")
    sums: Any = serial.decode(Mapping[str, Mapping[str, list[float]]], model["sums"])
    digits = {a["vcov"]: serial.decode(Mapping[str, list[float]], a["digits"]) for a in tree["answers"]}
    asked = {a["vcov"]: dict(a["asked"]) for a in tree["answers"]}
    environment = {key: str(value) for key, value in recorded.items() if key not in known}
    return Reference(
        spec, facts, {str(answer.spec.vcov): answer for answer in answers}, sums, digits, asked, environment,
        dict(recorded["scripts"]), path,
    )  # fmt: skip


def _answer(
    spec: IVSpec, item: Mapping[str, Any], model: Mapping[str, Any], recorded: Mapping[str, Any], data: DataFacts
) -> Estimate:
    hints = typing.get_type_hints(Estimate)
    plain = {**{name: model[name] for name in _SHARED}, **{name: item[name] for name in _OWN}}
    seen_hints = typing.get_type_hints(Seen)
    seen = Seen(
        rows=_rows(model["rows"], data.rows),
        **{name: serial.decode(seen_hints[name], model[name]) for name in _SEEN},
    )
    provenance = Provenance(
        engine="r", versions=dict(recorded["versions"]), platform=recorded["platform"], blas=recorded["blas"],
        threads=recorded["threads"], script_sha256=recorded["script_sha256"],
        recorded_on=recorded["on"], calls=tuple(item["calls"]),
    )  # fmt: skip
    return Estimate(
        spec=dataclasses.replace(spec, vcov=parse_vcov(item["vcov"])),
        engine="r",
        seen=seen,
        data_sha256=data.sha256,
        provenance=provenance,
        lacks=dict(model["lacks"]),
        **{name: serial.decode(hints[name], value) for name, value in plain.items()},
    )


def _digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 of the content, whatever the white space and the order of keys."""
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _lines(value: Any, indent: int = 0) -> str:
    """JSON with a line for each list of plain values, so that a changed number is a changed line."""
    pad = " " * (indent + 1)
    if isinstance(value, dict) and value:
        cells = (
            f"{pad}{json.dumps(key, ensure_ascii=False)}: {_lines(item, indent + 1)}" for key, item in value.items()
        )
        return "{\n" + ",\n".join(cells) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        return "[\n" + ",\n".join(pad + _lines(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)

"""Hostile inputs, and the public ways in at which each of them is tried.

A case holds one input and its attempts: what is called, by name. Every attempt ends in the error that the case names,
or, where the input is data like any other, in an answer. tests/test_safety.py runs the attempts under a
:class:`~tests.canary.Canary`; docs/reliability/safety.py makes the table of the same attempts.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer

import ivbridge
from ivbridge import cli, report
from ivbridge.engines.process import RWorker, default_worker
from ivbridge.errors import IvbridgeError
from ivbridge.expr import quote_name
from ivbridge.journal import Journal
from ivbridge.questions import load_questions
from ivbridge.selection.rules import parse_rule
from tests import hostile_files, inert
from tests import hostile_structures as structures
from tests import hostile_texts as texts

__all__ = ["ANSWER", "CASES", "Attempt", "Case", "Place", "RefusedError", "helpers", "outcome_of", "warmed"]

#: The outcome of an input that is data like any other.
ANSWER = "answer"
GOOD = "y ~ x | z"


class RefusedError(Exception):
    """The command line refused: exit code 2 and one message."""


@dataclass(frozen=True)
class Place:
    """Where an attempt happens: a folder of its own, in which only `out` may change."""

    folder: Path
    out: Path
    sentinel: Path

    def armed(self, text: str) -> str:
        """The text with the sentinel's path in it."""
        return text.replace("@S@", str(self.sentinel))

    @classmethod
    def made(cls, folder: Path) -> Place:
        """A place with everything that the cases need: data, hostile files, folders."""
        place = cls(folder, folder / "out", folder / "sentinel")
        for name in ("out", "files", "folder.html"):
            (folder / name).mkdir()
        (place.out / "full.html").symlink_to("/dev/full")
        users().to_csv(folder / "users.csv", index=False)
        for path in (folder / "data.csv", folder / "files" / "data.csv"):
            frame().to_csv(path, index=False)
        for name, _, _, make in hostile_files.files():
            make(folder / "files" / name, place.sentinel)
        helpers().call("ivb_hostile_files", folder=str(folder / "files"), sentinel=str(place.sentinel))
        return place


Act = Callable[[Place], object]


@dataclass(frozen=True)
class Attempt:
    """One way in: its name, what is called, and the name of the error's class (or :data:`ANSWER`)."""

    door: str
    act: Act = field(repr=False)
    outcome: str


@dataclass(frozen=True)
class Case:
    """One hostile input: its group, what it is, and where it is tried."""

    group: str
    what: str
    attempts: tuple[Attempt, ...]

    @property
    def name(self) -> str:
        """Unique name."""
        return f"{self.group}: {self.what}"


def frame() -> pd.DataFrame:
    """Thirty rows on which the good question has an answer."""
    i = np.arange(30)
    z, w = np.sin(i), np.cos(3 * i)
    x = z + 0.5 * w + 0.3 * np.sin(7 * i)
    groups = [f"g{k % 5}" for k in i]
    return pd.DataFrame({"y": x - w + 0.2 * np.cos(11 * i), "x": x, "z": z, "w": w, "g": groups, "t": i // 5})


def outcome_of(act: Act, place: Place) -> tuple[str, str]:
    """How an attempt ends, and what it says: the name of the error's class, or :data:`ANSWER`."""
    try:
        act(place)
    except (IvbridgeError, RefusedError) as error:
        return type(error).__name__, str(error)
    return ANSWER, ""


# --------------------------------------------------------------------------------------------------- the ways in
_COMMAND = typer.main.get_command(cli.app)


def command(*arguments: str) -> Act:
    """The command line; ``@S@``, ``@D@`` and ``@O@`` in arguments are the sentinel, the folder and its `out`."""

    def run(place: Place) -> str:
        told = [place.armed(one).replace("@D@", str(place.folder)).replace("@O@", str(place.out)) for one in arguments]
        said, complained, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                _COMMAND.main(told, prog_name="ivbridge")
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        if code == cli.COULD_NOT_RUN:
            raise RefusedError(complained.getvalue())
        return said.getvalue()

    return run


def toml(**fields: str | list[str]) -> Act:
    """A file of one question, written as a stranger would."""

    def load(place: Place) -> object:
        values = {"formula": GOOD, "data": "../data.csv", "vcov": "HC1", **fields}
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        path = place.out / "questions.toml"
        path.write_text(place.armed("\n".join(["[[question]]", *lines])), encoding="utf-8")
        return load_questions(path)

    return load


def at(error: str, doors: Mapping[str, Act]) -> tuple[Attempt, ...]:
    """Attempts that all end alike: the command line refuses what raises, and a file of questions says DataError."""

    def outcome(door: str) -> str:
        if error == ANSWER:
            return ANSWER
        return "RefusedError" if door.startswith("ivbridge ") else "DataError" if door == "questions.toml" else error

    return tuple(Attempt(door, act, outcome(door)) for door, act in doors.items())


def _formula(text: str) -> dict[str, Act]:
    data = ("--data", "@D@/data.csv", "--vcov", "HC1")
    doors: dict[str, Act] = {
        "IVSpec.from_formula": lambda p: ivbridge.IVSpec.from_formula(p.armed(text)),
        "fit, native": lambda p: ivbridge.fit(p.armed(text), frame(), "HC1"),
        "fit, r": lambda p: ivbridge.fit(p.armed(text), frame(), "HC1", "r"),
        "crosscheck": lambda p: ivbridge.crosscheck(p.armed(text), frame(), ["HC1"]),
        "ivbridge fit": command("fit", *data, "--", text),
        "ivbridge check": command("check", *data, "--", text),
        "questions.toml": toml(formula=text),
    }
    if "\udcff" in text:
        del doors["questions.toml"]
    return doors


def _asked(text: str) -> dict[str, Act]:
    """The ways in that look at the data."""
    return {name: act for name, act in _formula(text).items() if name not in ("questions.toml", "IVSpec.from_formula")}


def _vcov(text: str) -> dict[str, Act]:
    return {
        "fit, native": lambda p: ivbridge.fit(GOOD, frame(), p.armed(text)),
        "fit, r": lambda p: ivbridge.fit(GOOD, frame(), p.armed(text), "r"),
        "crosscheck": lambda p: ivbridge.crosscheck(GOOD, frame(), [p.armed(text)]),
        "ivbridge fit": command("fit", GOOD, "--data", "@D@/data.csv", "--vcov", text),
        "ivbridge check": command("check", GOOD, "--data", "@D@/data.csv", "--vcov", text),
    }


def _option(name: str, text: str) -> dict[str, Act]:
    def told(place: Place) -> dict[str, Any]:
        return {name: place.armed(text)}

    return {
        "fit, native": lambda p: ivbridge.fit(GOOD, frame(), "HC1", **told(p)),
        "fit, r": lambda p: ivbridge.fit(GOOD, frame(), "HC1", "r", **told(p)),
        "crosscheck": lambda p: ivbridge.crosscheck(GOOD, frame(), ["HC1"], **told(p)),
        "ivbridge fit": command("fit", GOOD, "--data", "@D@/data.csv", "--vcov", "HC1", f"--{name}", text),
    }


def _column(name: str) -> dict[str, Act]:
    """A data frame whose regressor is called so."""

    def renamed(place: Place) -> tuple[str, pd.DataFrame]:
        called = place.armed(name)
        return f"y ~ {quote_name(called)} | z", frame().rename(columns={"x": called})

    def arrays(place: Place) -> object:
        data = frame()
        x = data["x"].rename(place.armed(name))
        spec, made = ivbridge.from_arrays(data["y"], data[["w"]].assign(one=1.0), x, data["z"])
        return ivbridge.fit(spec, made, "HC1")

    def table(place: Place) -> str:
        formula, data = renamed(place)
        path = place.out / "named.csv"
        data.to_csv(path, index=False)
        return command("fit", formula, "--data", str(path), "--vcov", "HC1")(place)  # type: ignore[return-value]

    return {
        "fit, native": lambda p: ivbridge.fit(*renamed(p), "HC1").summary(),
        "crosscheck": lambda p: ivbridge.crosscheck(*renamed(p), ["HC1"]).assert_ok(),
        "from_arrays": arrays,
        "ivbridge fit": table,
    }


def _label(label: str) -> dict[str, Act]:
    """A data frame in which one group is called so."""

    def labelled(place: Place) -> pd.DataFrame:
        data = frame()
        return data.assign(g=data["g"].replace("g0", place.armed(label)))

    formula = "y ~ x + factor(g) | z + factor(g)"
    return {
        "fit, native": lambda p: ivbridge.fit(formula, labelled(p), "cluster(g)").summary(),
        "crosscheck": lambda p: ivbridge.crosscheck(formula, labelled(p), ["HC1"]).assert_ok(),
    }


def _data(name: str) -> dict[str, Act]:
    return {
        "read": lambda p: ivbridge.read(p.armed(name)),
        "load": lambda p: ivbridge.load(p.armed(name)),
        "read_users": lambda p: ivbridge.read_users(p.armed(name), "test_*", ("y",)),
        "ivbridge fit": command("fit", GOOD, "--vcov", "HC1", f"--data={name}"),
        **({"ivbridge datasets": command("datasets", "--", name)} if name else {}),
        "ivbridge select": command("select", "-y", "y", "-x", "x", "-z", "z*", "--", name),
        "questions.toml": lambda p: check(toml(data=name)(p)),
    }


def check(questions: Any) -> object:
    """Read the data of a question as ``ivbridge check`` does."""
    return ivbridge.read(questions[0].data)


def users() -> pd.DataFrame:
    """A small encouragement design."""
    data = frame()
    tests = {f"test_{j}": (np.arange(30) // (j + 1)) % 2 for j in range(3)}
    return data.assign(**tests)


def _rule(text: str) -> dict[str, Act]:
    names = ("y", "x", ["z", "w", "t"])
    return {
        "parse_rule": lambda p: parse_rule(p.armed(text)),
        "select_instruments": lambda p: ivbridge.select_instruments(frame(), *names, (), p.armed(text)),
        "EncourageOptions": lambda p: ivbridge.EncourageOptions(rule=p.armed(text)),
        "ivbridge select": command("select", "@D@/data.csv", "-y", "y", "-x", "x", "-z", "z,w,t", f"--rule={text}"),
    }


def _pattern(text: str) -> dict[str, Act]:
    return {
        "select_instruments": lambda p: ivbridge.select_instruments(frame(), "y", "x", [p.armed(text)]),
        "encourage": lambda p: ivbridge.encourage(users(), "y", "x", [p.armed(text)]),
        "read_users": lambda p: ivbridge.encourage(
            ivbridge.read_users(p.folder / "data.csv", text, "y"), "y", "x", [text]
        ),
        "ivbridge select": command("select", "@D@/data.csv", "-y", "y", "-x", "x", f"--candidates={text}"),
    }


def _share(text: str) -> dict[str, Act]:
    return {"ivbridge encourage": command("encourage", "@D@/users.csv", "-y", "y", "-x", "x", f"--share={text}")}


def _function(name: str) -> dict[str, Act]:
    return {"RWorker.call": lambda p: default_worker().call(p.armed(name))}


def _groups() -> Iterator[Case]:
    for group, default, entries, doors in (
        ("formula, R code", "FormulaError", texts.FORMULAS_R, _formula),
        ("formula, Python code", "FormulaError", texts.FORMULAS_PYTHON, _formula),
        ("formula, syntax", "FormulaError", texts.FORMULAS_SYNTAX, _formula),
        ("formula, bomb", "FormulaError", texts.FORMULAS_BOMBS, _formula),
        ("formula, unknown columns", "DataError", texts.FORMULAS_OF_NOTHING, _asked),
        ("column name", ANSWER, texts.COLUMNS, _column),
        ("level label", ANSWER, texts.LABELS, _label),
        ("vcov", "UnsupportedError", texts.VCOVS, _vcov),
        ("method", "UnsupportedError", texts.METHODS, partial(_option, "method")),
        ("inference", "UnsupportedError", texts.INFERENCES, partial(_option, "inference")),
        ("weights", "DataError", texts.WEIGHTS, partial(_option, "weights")),
        ("data set or path", "DataError", texts.DATASETS, _data),
        ("selection rule", "UnsupportedError", texts.RULES, _rule),
        ("pattern of names", "DataError", texts.PATTERNS, _pattern),
        ("share", "UnsupportedError", texts.SHARES, _share),
        ("function of R", "UnsupportedError", texts.R_CODE, _function),
    ):
        for what, text in entries:
            name = f"{group}: {what}"
            yield Case(group, what, at(OTHER.get(name, default), doors(text)))


# ---------------------------------------------------------------------------------------------------------- files
def _read(path: str) -> dict[str, Act]:
    return {"read": lambda p: ivbridge.read(p.folder / path)}


def _written_by_r(name: str) -> Act:
    return lambda place: ivbridge.read(place.folder / "files" / name)


def _made(name: str) -> dict[str, Act]:
    doors: dict[str, Act] = {
        "read": lambda p: ivbridge.read(p.folder / "files" / name),
        "ivbridge fit": command("fit", "y ~ 1", "--vcov", "HC1", "--data", f"@D@/files/{name}"),
    }
    return doors


def _files() -> Iterator[Case]:
    for name, what, outcome in hostile_files.R_FILES:
        yield Case("file of R", what, at(outcome, {"read": _written_by_r(name)}))
    for name, what, outcome, _ in hostile_files.files():
        doors = _made(name)
        if outcome == ANSWER:  # what can be read need not have the columns of a question
            del doors["ivbridge fit"]
        yield Case("file", what, at(outcome, doors))


def _written(content: str, name: str, act: Callable[[Path], object]) -> Act:
    def run(place: Place) -> object:
        path = place.out / name
        path.write_bytes(place.armed(content).encode("utf-8", "surrogateescape"))
        return act(path)

    return run


def _questions(content: str) -> dict[str, Act]:
    path = "questions.toml"

    def shown(place: Place) -> object:
        _written(content, path, lambda _: None)(place)
        return command("check", f"@O@/{path}")(place)

    return {path: _written(content, path, load_questions), "ivbridge check": shown}


def _journal(content: str) -> dict[str, Act]:
    def go_on(path: Path) -> object:
        before = path.read_bytes()
        try:
            with Journal.opened(path, {"scenario": "one"}) as journal:
                return journal.rows
        finally:
            assert path.read_bytes() == before, "a file that is refused was changed"

    return {"Journal": _written(content, "study.jsonl", go_on)}


def _json(kind: type, content: str) -> dict[str, Act]:
    return {f"{kind.__name__}.from_json": lambda p: kind.from_json(p.armed(content))}  # type: ignore[attr-defined]


def _report(path: str) -> dict[str, Act]:
    def write(place: Place) -> object:
        target = path.replace("@O@", str(place.out)).replace("@D@", str(place.folder))
        return report.write(_agreement(), target)

    return {
        "report.write": write,
        "ivbridge check": command("check", GOOD, "--data", "@D@/data.csv", "--vcov", "HC1", f"--report={path}"),
        "ivbridge encourage": command("encourage", "@D@/users.csv", "-y", "y", "-x", "x", f"--report={path}"),
    }


@cache
def _agreement(name: str = "x", label: str = "g0") -> ivbridge.Agreement:
    """A cross-check of a question with this column and this level."""
    data = frame().rename(columns={"x": name})
    data["g"] = data["g"].replace("g0", label)
    formula = f"y ~ {quote_name(name)} + factor(g) | z + factor(g)"
    return ivbridge.crosscheck(formula, data, ["HC1"], ("native", "native"))


def _shown(text: str) -> dict[str, Act]:
    """Reports about a column, a level, a question and a file of that name hold it as text only."""

    def render(writer: Callable[..., str], inert: Callable[[str], None]) -> Act:
        def run(place: Place) -> None:
            said = place.armed(text)
            entry = report.Entry(_agreement(_name(said), said), said, _dataset(said), said)
            failed = report.Entry(ivbridge.DataError(said), f"{said} 2", None, said)
            inert(writer([entry, failed]))

        return run

    return {
        "report, HTML": render(report.html, inert.html),
        "report, Markdown": render(report.markdown, inert.markdown),
        "report, LaTeX": render(report.latex, inert.latex),
        "report, code": lambda p: inert.code(
            _agreement(_name(p.armed(text)), p.armed(text)), _dataset(p.armed(text)), helpers()
        ),
        "encourage, HTML": lambda p: inert.html(_encouragement(p.armed(text)).to_html()),
        "encourage, notebook": lambda p: inert.html(_encouragement(p.armed(text))._repr_html_()),
        "encourage, Markdown": lambda p: inert.markdown(_encouragement(p.armed(text)).to_markdown()),
        "terminal": lambda p: inert.terminal(p.armed(text)),
    }


def _name(text: str) -> str:
    """The text as the name of a column, if a formula can carry it."""
    return "x" if set(text) & set("`\\") or not text.isprintable() else text


@cache
def helpers() -> RWorker:
    """R with tests/hostile.R."""
    return RWorker(scripts=(str(Path(__file__).with_name("hostile.R")),))


def _dataset(name: str) -> ivbridge.Dataset:
    return ivbridge.Dataset(frame(), name, name, name, name, "0" * 64, name)


@cache
def _encouragement(name: str) -> ivbridge.EncourageReport:
    data = users().rename(columns={"test_1": name, "x": f"{name} x"})
    options = ivbridge.EncourageOptions(seeds=0)
    return ivbridge.encourage(data, "y", f"{name} x", ["test_0", name, "test_2"], ["w"], options)


def _design(formula: str, data: Callable[[], pd.DataFrame]) -> dict[str, Act]:
    return {
        "fit, native": lambda p: ivbridge.fit(formula, data(), "HC1"),
        "fit, r": lambda p: ivbridge.fit(formula, data(), "HC1", "r"),
        "crosscheck": lambda p: ivbridge.crosscheck(formula, data(), ["HC1"]),
    }


def _identifiers() -> pd.DataFrame:
    """Three columns in which each of 4000 rows has a value of its own."""
    i = np.arange(4000)
    return pd.DataFrame({"y": np.sin(i), "x": np.cos(i), "z": np.sin(2 * i), "a": i, "b": i[::-1], "c": (7 * i) % 4001})


def _others() -> Iterator[Case]:
    for what, content in structures.QUESTIONS:
        yield Case("file of questions", what, at("DataError", _questions(content)))
    for what, content in structures.JOURNALS:
        yield Case("journal", what, at("DataError", _journal(content)))
    for what, content in structures.JSON:
        for kind in (ivbridge.Estimate, ivbridge.EncourageReport):
            yield Case("stored answer", f"{what}, {kind.__name__}", at("DataError", _json(kind, content)))
    for what, path, outcome in structures.REPORTS:
        yield Case("report path", what, at(outcome, _report(path)))
    for what, text in structures.SHOWN:
        yield Case("shown in a report", what, at(ANSWER, _shown(text)))
    for what, formula in structures.DESIGNS:
        yield Case("wide design", what, at("DesignError", _design(formula, _identifiers)))


#: Inputs that end in another way than the rest of their group.
OTHER = {
    "column name: the engine's .ivb_use": "DataError",
    "column name: the engine's .ivb_weights": "DataError",
    "column name: (weights)": "DataError",
    "vcov: a column twice": ANSWER,
    "vcov: R code as a column": "DataError",
    "vcov: R code in quotes": "DataError",
    "vcov: a NUL": "DataError",
    "vcov: an unknown column": "DataError",
    "vcov: a path as a column": "DataError",
    "weights: 40000 letters": "FormulaError",
    "function of R: a NUL": "RError",
}


def warmed(place: Place) -> None:
    """Do once what a first call imports, starts and makes: afterwards nothing happens but what an input does."""
    for module in pkgutil.walk_packages(ivbridge.__path__, "ivbridge."):
        if not module.name.endswith("r_worker"):
            importlib.import_module(module.name)
    for name in ("scipy.stats", "pyarrow.parquet", "pyarrow.feather", "rdata"):
        importlib.import_module(name)
    for act in (*_formula(GOOD).values(), *_shown("x").values(), *_report("@O@/good.html").values()):
        act(place)
    _data("cigarettes_sw")["ivbridge datasets"](place)


CASES = (*_groups(), *_files(), *_others())

"""Which method for which question: the table of all of them, and rules that lead from answers to commands.

What is known lies in ``advice.toml``: tools, questions, rules. This module reads it and applies it.

>>> advice = advise({"goal": "effect", "treatment": "binary", "assignment": "randomised", "design": "units",
...                  "covariates": "no"})
>>> [item.tool.name for item in advice.items if item.place == "use"]
['difference']
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from ivbridge.causal import METHODS, method_class
from ivbridge.errors import DataError

__all__ = ["Advice", "Item", "Question", "Roles", "Tool", "advise", "next_question", "questions", "table", "tools"]

#: Where a tool stands in an advice, and what it is called there.
PLACES = {"use": "Use", "beside": "Beside it", "check": "Afterwards", "not": "Not"}
_INSTRUMENTED = ("two_stage", "pliv", "iivm", "two_step")


@dataclass(frozen=True)
class Roles:
    """Names that the commands are completed with; the defaults are places to fill in.

    Parameters
    ----------
    data : str
        A file, a bundled set, or a simulated world.
    dependent, treatment : str
    covariates, instruments : tuple of str
    known : bool, default False
        Whether ``data`` is a world that brings its columns with it.
    estimand : str, optional
    """

    data: str = "DATA"
    dependent: str = "Y"
    treatment: str = "T"
    covariates: tuple[str, ...] = ("A", "B")
    instruments: tuple[str, ...] = ("Z",)
    known: bool = False
    estimand: str | None = None

    def arguments(self, tool: str) -> list[str]:
        """Data and roles as arguments of ``ivbridge causal`` for one tool."""
        if self.known:
            return [self.data]
        found = [self.data, "--dependent", self.dependent, "--treatment", self.treatment]
        if self.covariates and tool != "difference":
            found += ["--covariates", ",".join(self.covariates)]
        if self.instruments and tool in _INSTRUMENTED:
            found += ["--instruments", ",".join(self.instruments)]
        return found

    def words(self) -> dict[str, str]:
        """What stands for each word in braces."""
        more = "".join(f" + {name}" for name in self.covariates)
        drawn = [f"{name} -> {{{self.treatment} {self.dependent}}}" for name in self.covariates]
        return {
            "{dependent}": self.dependent, "{treatment}": self.treatment, "{+covariates}": more,
            "{instruments}": " + ".join(self.instruments), "{table}": self.data, "{file}": "analysis.ipynb",
            "{block}": "BLOCK", "{cluster}": "CLUSTER", "{control}": "W" if self.known else "CONTROL",
            "{diagram}": "; ".join([f"{self.treatment} -> {self.dependent}", *drawn]),
        }  # fmt: skip


@dataclass(frozen=True)
class Tool:
    """One thing that can be done.

    Attributes
    ----------
    name : str
        For a causal method its key in :data:`ivbridge.causal.METHODS`.
    when, strengths, weaknesses : str
    template : str
        The command, with words in braces.
    world : str
        A simulated data set on which it runs, empty where there is none.
    """

    name: str
    when: str
    strengths: str
    weaknesses: str
    template: str
    world: str
    stated_title: str
    stated_r: str

    @property
    def title(self) -> str:
        """What it is called; a method's own title."""
        title = str(method_class(self.name).title) if self.name in METHODS else self.stated_title
        return title[:1].upper() + title[1:]

    @property
    def r(self) -> str:
        """What R has for the same; empty where it has nothing here."""
        return str(method_class(self.name).r_call) if self.name in METHODS else self.stated_r

    @property
    def install(self) -> str:
        """The command that installs what it needs beyond ivbridge itself; empty where nothing is needed."""
        if self.name == "dag":
            return 'pip install "ivbridge[diagrams]"'
        extra = method_class(self.name).extra if self.name in METHODS else ""
        return f'pip install "ivbridge[{extra}]"' if extra else ""

    def command(self, roles: Roles | None = None) -> str:
        """The command for these data."""
        roles = roles or Roles()
        words = roles.words()
        found: list[str] = []
        for part in shlex.split(self.template):
            if part == "{data}":
                found += roles.arguments(self.name)
                continue
            for word, value in words.items():
                part = part.replace(word, value)
            found.append(part)
        if roles.estimand and roles.estimand in self._estimands() and not roles.known:
            found += ["--estimand", roles.estimand]
        return shlex.join(found)

    def _estimands(self) -> tuple[str, ...]:
        """Estimands that its command may be asked for; empty where it says one itself, or takes none."""
        if "{data}" not in self.template or "--estimand" in self.template:
            return ()
        named = re.search(r"--method \W*(\w+)", self.template)
        estimands: tuple[str, ...] = method_class(named.group(1) if named else "aipw").estimands
        return estimands

    @property
    def example(self) -> str:
        """The command on simulated data with a known answer; empty where there are none."""
        return self.command(Roles(self.world, known=True)) if self.world else ""

    def to_dict(self) -> dict[str, str]:
        """The row of the table."""
        return {
            "name": self.name, "title": self.title, "when": self.when, "strengths": self.strengths,
            "weaknesses": self.weaknesses, "r": self.r, "command": self.command(), "example": self.example,
            "install": self.install,
        }  # fmt: skip


@dataclass(frozen=True)
class Question:
    """A question, asked if the answers so far are among those listed in ``only``."""

    name: str
    text: str
    options: Mapping[str, str]
    only: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Item:
    """A tool in an advice: where it stands (``"use"``, ``"beside"``, ``"check"``, ``"not"``), why, and its command."""

    tool: Tool
    place: str
    because: str
    command: str


@dataclass(frozen=True)
class Advice:
    """What to do, given the answers."""

    answers: Mapping[str, str]
    items: tuple[Item, ...]

    def to_json(self) -> str:
        """One JSON object."""
        items = [
            {**item.tool.to_dict(), "place": item.place, "because": item.because, "command": item.command}
            for item in self.items
        ]
        return json.dumps({"answers": dict(self.answers), "advice": items}, indent=2, ensure_ascii=False)

    def lines(self) -> list[str]:
        """Plain text: everything about what to use, and for the rest the reason and the command."""
        found: list[str] = []
        for (place, because), group in groupby(self.items, key=lambda item: (item.place, item.because)):
            items = list(group)
            found += [f"{PLACES[place]}: {'; '.join(item.tool.title for item in items)}", f"  {because}"]
            for item in items:
                found += _details(item.tool) if place == "use" else []
                found += [f"  $ {item.command}"] if place != "not" else []
                if place == "use" and item.tool.example:
                    found.append(f"  where the answer is known: $ {item.tool.example}")
            found.append("")
        return found


def _details(tool: Tool) -> list[str]:
    lines = {"Useful": tool.when, "Strengths": tool.strengths, "Weaknesses": tool.weaknesses, "In R": tool.r,
             "Needs": tool.install}  # fmt: skip
    return [f"  {head}: {text}" for head, text in lines.items() if text]


@cache
def _known() -> dict[str, Any]:
    return tomllib.loads((files("ivbridge") / "advice.toml").read_text(encoding="utf-8"))


@cache
def tools() -> Mapping[str, Tool]:
    """Every tool by name: the causal methods, and what goes with them."""
    return {
        name: Tool(name, one["when"], one["strengths"], one["weaknesses"], one["command"], one["world"],
                   one.get("title", ""), one.get("r", ""))
        for name, one in _known()["tools"].items()
    }  # fmt: skip


@cache
def questions() -> tuple[Question, ...]:
    """Every question, in the order in which they are asked."""
    return tuple(
        Question(one["name"], one["text"], one["options"], {k: tuple(v) for k, v in one.get("if", {}).items()})
        for one in _known()["questions"]
    )


def next_question(answers: Mapping[str, str]) -> Question | None:
    """The next question that these answers leave open; None when all are answered."""
    return next((q for q in questions() if q.name not in answers and _fits(q.only, answers)), None)


def advise(answers: Mapping[str, str], roles: Roles | None = None) -> Advice:
    """Apply the rules.

    Parameters
    ----------
    answers : mapping of str to str
        Names of questions and of their options.
    roles : Roles, optional
        Data and columns for the commands.

    Raises
    ------
    DataError
        If a question or an option is unknown, or a question that these answers lead to is not answered.
    """
    known = {question.name: question for question in questions()}
    for name, value in answers.items():
        if name not in known:
            raise DataError(f"There is no question {name!r}.", available=", ".join(known))
        if value not in known[name].options:
            raise DataError(f"{name}={value} is no answer.", available=", ".join(known[name].options))
    if missing := next_question(answers):
        raise DataError(f"{missing.text} ({missing.name}) is not answered.", available=", ".join(missing.options),
                        do=f"--answer {missing.name}={next(iter(missing.options))}, or another one.")  # fmt: skip
    asked = {q.name: answers[q.name] for q in questions() if q.name in answers and _fits(q.only, answers)}
    roles = roles or Roles()
    if asked.get("estimand") == "treated":
        roles = Roles(**{**vars(roles), "estimand": "ATT"})
    items: dict[str, Item] = {}
    for rule in _known()["rules"]:
        if _fits(rule["if"], asked):
            for name in rule["tools"]:
                tool = tools()[name]
                items.setdefault(name, Item(tool, rule["as"], rule["because"], tool.command(roles)))
    return Advice(asked, tuple(sorted(items.values(), key=lambda item: list(PLACES).index(item.place))))


def _fits(only: Mapping[str, Any], answers: Mapping[str, str]) -> bool:
    return all(answers.get(name) in allowed for name, allowed in only.items())


def table() -> str:
    """Every tool as a Markdown table: method, when useful, strengths, weaknesses, R, command."""
    heads = ("method", "when useful", "strengths", "weaknesses", "R reference", "command")
    rows = [
        (tool.title, tool.when, tool.strengths, tool.weaknesses, tool.r or "none", f"`{tool.command()}`")
        for tool in tools().values()
    ]
    lines = [heads, ("---",) * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

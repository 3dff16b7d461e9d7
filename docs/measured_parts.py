"""A page made of measured parts, for docs/make_reliability.py and docs/make_scale.py.

Each part is a script docs/<page>/<part>.py with `measure() -> DataFrame`, kept in <part>.csv beside it, `text(found:
DataFrame) -> list of str`, its lines of the page, and perhaps `draw(found: DataFrame) -> None`, which writes its plots.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Page:
    """docs/<name>.md, made from the data in docs/<name>/.

    Attributes
    ----------
    name, title : str
    again : str
        What the script does with the parts that it is asked for: measures, computes.
    parts : tuple of str
        In the order of the page.
    digits : str or None
        Format of numbers in the data; None keeps all digits.
    """

    name: str
    title: str
    again: str
    parts: tuple[str, ...]
    digits: str | None = None

    @property
    def target(self) -> Path:
        """The page."""
        return HERE / f"{self.name}.md"

    @property
    def data(self) -> Path:
        """Where scripts and data are."""
        return HERE / self.name

    def part(self, name: str) -> ModuleType:
        """The script of one part, as a module."""
        spec = importlib.util.spec_from_file_location(f"{self.name}_{name}", self.data / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    def kept(self, name: str) -> pd.DataFrame:
        """The data of one part; text stays text."""
        return pd.read_csv(self.data / f"{name}.csv", keep_default_na=False, na_values=["NaN"])

    def render(self) -> str:
        """The whole page."""
        script = f"python docs/make_{self.name}.py"
        lines = [
            "---", "hide: [toc]", "---", "",
            f"# {self.title}",
            "",
            f"Made by `{script}`; do not edit. Each part has its data in `docs/{self.name}/`, and",
            f"`{script} {' '.join(self.parts)}` {self.again} them again.",
            "",
        ]  # fmt: skip
        for name in self._known():
            lines += [*self.part(name).text(self.kept(name)), ""]
        return "\n".join(lines).rstrip() + "\n"

    def main(self, arguments: list[str]) -> int:
        """Run as the script's docstring says; the exit code."""
        check = arguments == ["--check"]
        if unknown := [] if check else sorted(set(arguments) - set(self.parts)):
            print(f"There is no part {', '.join(unknown)}. Available: {', '.join(self.parts)}.", file=sys.stderr)
            return 2
        for name in () if check else arguments:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            found = self.part(name).measure()
            found.to_csv(self.data / f"{name}.csv", index=False, na_rep="NaN", float_format=self.digits)
        page = self.render()
        if check:
            fresh = self.target.is_file() and self.target.read_text(encoding="utf-8") == page
            print(f"docs/{self.name}.md is " + ("what its data say" if fresh else "stale"))
            return 0 if fresh else 1
        self.target.write_text(page, encoding="utf-8")
        for name in self._known():
            if hasattr(module := self.part(name), "draw"):
                module.draw(self.kept(name))
        print(f"{self.target} written")
        return 0

    def _known(self) -> list[str]:
        """Parts that have data."""
        return [name for name in self.parts if (self.data / f"{name}.csv").is_file()]

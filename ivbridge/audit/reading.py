"""A notebook, a script or a text export of a notebook as cells of Python; nothing of it is run.

Lines that are IPython's and not Python's (``%matplotlib inline``, ``!pip install x``, ``names?``) are replaced by
lines that do nothing, so that line numbers stay.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ivbridge.errors import DataError

__all__ = ["CODE_ENDINGS", "LARGEST", "Cell", "Source", "read_source"]

#: Endings of files that hold an analysis; others are looked at as data.
CODE_ENDINGS = (".ipynb", ".py", ".txt")
#: Bytes of the largest file that is read.
LARGEST = 64 * 1024 * 1024
#: A notebook saved as text: ``In [3]:``, also with the letters that a wrong encoding put in place of the space.
_PROMPT = re.compile(r"^In[^\w\[\n]{0,4}[^\[\n\x00-\x7f]{0,8}[ \xa0]?\[(\d*| |\*)\]:[ \t]*(.*)$", re.MULTILINE)
_MAGIC = re.compile(r"^(\s*)(?:[%!]|\w[\w. ]*=\s*[%!](?=\w)).*$|^(\s*)[\w.]+\?{1,2}\s*$|^(\s*)\?{1,2}[\w.]+\s*$")
#: Cell magics whose cell is still Python.
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun", "%%memit")
#: ``effect of the mailing: 12.3``, but no line of a table.
_PRINTED = re.compile(r"^\S(?:(?!  ).)*[:=] ?-?\d[\d,.]*(?:e[+-]?\d+)?[ %]*$", re.MULTILINE)
_SCRIPT_CELL = re.compile(r"^# ?%%.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of code.

    Attributes
    ----------
    label : str
        ``In [40]`` or ``cell 7``; empty for a script without cells.
    code : str
    first : int
        The line of the file (of the cell, in a notebook) that the code begins with, less one.
    output : str
        What the notebook says that it printed; in a text export also the prose up to the next cell.
    """

    label: str
    code: str
    first: int = 0
    output: str = ""

    @property
    def printed(self) -> str:
        """The first printed line that ends with a number, for a reader to find the place by; at most 100 letters."""
        found = _PRINTED.search(self.output)
        return found.group().strip()[:100] if found else ""


@dataclass(frozen=True, slots=True)
class Source:
    """An analysis.

    Attributes
    ----------
    path : str
    cells : tuple of Cell
    prose : str
        Text around the code, without what cells printed where that is known; empty for a script.
    notes : tuple of str
        What could not be read.
    """

    path: str
    cells: tuple[Cell, ...]
    prose: str = ""
    notes: tuple[str, ...] = ()


def read_source(path: str | Path) -> Source:
    """Read a ``.ipynb``, ``.py`` or ``.txt`` file.

    Raises
    ------
    DataError
        If there is no such file, it is too large, it is no notebook, or no cell of it is Python.
    """
    path = Path(path)
    text = _text(path)
    if path.suffix.lower() == ".ipynb":
        cells, prose = _notebook(text, path)
    elif path.suffix.lower() == ".txt" or (path.suffix.lower() != ".py" and _PROMPT.search(text)):
        cells, prose = _export(text, path)
    else:
        cells, prose = _script(text), ""
    kept, notes = [], []
    for cell in cells:
        why = _no_python(cell.code)
        if why:
            notes.append(f"{cell.label or path.name} is not Python and was left out: {why}.")
        else:
            kept.append(cell)
    if not any(cell.code.strip() for cell in kept):
        raise DataError(
            f"{path} holds no Python that can be read." + "".join(f" {note}" for note in notes[:3]),
            available="notebooks (.ipynb), scripts (.py), notebooks saved as text (.txt)",
        )
    return Source(str(path), tuple(kept), prose, tuple(notes))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is larger than {LARGEST // 2**20} MiB.", do="clear the outputs of the notebook.")
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return raw.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _no_python(code: str) -> str:
    """Why the code cannot be parsed; empty where it can."""
    try:
        ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}, {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""


def _python(code: str) -> str:
    """The code with IPython's own lines silenced, as many lines as before."""
    lines = code.split("\n")
    head = next((line.strip() for line in lines if line.strip()), "")
    if head.startswith("%%") and not head.startswith(_PYTHON_CELLS):
        return "\n" * (len(lines) - 1)
    return "\n".join(_silenced(line) for line in lines)


def _silenced(line: str) -> str:
    found = _MAGIC.match(line)
    if not found or _fits(line):
        return line
    indent = next((group for group in found.groups() if group is not None), "")
    name = re.match(r"\s*(\w+)\s*=", line)
    return f"{indent}{name.group(1)} = None" if name else f"{indent}pass"


def _fits(line: str) -> bool:
    """Whether the line may be the middle of a Python expression, such as ``% total``."""
    return bool(re.match(r"\s*%\s", line))


def _notebook(text: str, path: Path) -> tuple[list[Cell], str]:
    try:
        book = json.loads(text)
        cells = book["cells"]
        language = book.get("metadata", {}).get("kernelspec", {}).get("language", "python")
        read = [_notebook_cell(cell, place) for place, cell in enumerate(cells, 1)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is not a Jupyter notebook of format 4: {type(error).__name__} {error}.") from error
    if str(language).lower() != "python":
        raise DataError(f"{path} is a notebook of {language}.", available="notebooks of Python")
    return [cell for cell in read if isinstance(cell, Cell)], "\n\n".join(c for c in read if isinstance(c, str))


def _notebook_cell(cell: Any, place: int) -> Cell | str:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return source
    outputs = [_output(one) for one in cell.get("outputs", ())]
    count = cell.get("execution_count")
    return Cell(f"In [{count}]" if count else f"cell {place}", _python(source), 0, "\n".join(outputs))


def _output(one: Any) -> str:
    if "text" in one:
        return "".join(one["text"])
    plain = one.get("data", {}).get("text/plain", one.get("traceback", ""))
    return "".join(plain)


def _script(text: str) -> list[Cell]:
    starts = [match.start() for match in _SCRIPT_CELL.finditer(text)]
    if not starts:
        return [Cell("", _python(text))]
    bounds = sorted({0, *starts, len(text)})
    parts = [(text[a:b], text.count("\n", 0, a)) for a, b in pairwise(bounds)]
    return [Cell(f"cell {i}", _python(code), first) for i, (code, first) in enumerate(parts, 1)]


def _export(text: str, path: Path) -> tuple[list[Cell], str]:
    prompts = list(_PROMPT.finditer(text))
    if not prompts:
        raise DataError(
            f"{path} has no line such as 'In [3]:', with which the cells of a notebook begin.",
            available="notebooks (.ipynb), scripts (.py), notebooks saved as text",
        )
    cells, prose = [], [text[: prompts[0].start()]]
    for prompt, following in zip(prompts, [*prompts[1:], None], strict=True):
        rest = text[prompt.start(2) : following.start() if following else len(text)]
        code, output = _leading_python(_python(rest).split("\n"), rest.split("\n"))
        first = text.count("\n", 0, prompt.start(2))
        cells.append(Cell(f"In [{prompt.group(1).strip()}]", code, first, output))
        prose.append(output)
    return cells, "\n".join(prose)


def _leading_python(lines: list[str], raw: list[str]) -> tuple[str, str]:
    """Split what follows a prompt where Python ends and the output begins."""
    end = len(lines)
    while end:
        try:
            ast.parse("\n".join(lines[:end]))
            break
        except SyntaxError as error:
            end = min(end - 1, max((error.lineno or 1) - 1, 0))
        except (ValueError, RecursionError, MemoryError):
            end //= 2
    return "\n".join(lines[:end]), "\n".join(raw[end:])

"""Which function of a package moved a number: found by putting its old text back.

Two versions differ in many functions. Those that ran while the number was computed and whose code differs are
candidates; each is put back alone into a copy of the new version, and the question is asked again. Where the number
returns to its old value, that function is the reason, and this has been seen and not guessed.
"""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ivbridge.sentinel.places import Place, first_on_path

__all__ = ["Function", "changed", "put_back"]

_Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a package: the file below the version's folder, and its qualified name."""

    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.file})"


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, _Definition]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Definition):
            yield prefix + node.name, node
            yield from _definitions(node, f"{prefix}{node.name}.<locals>.")
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node, f"{prefix}{node.name}.")
        else:
            yield from _definitions(node, prefix)


def _functions(path: Path) -> dict[str, _Definition]:
    try:
        return dict(_definitions(ast.parse(path.read_bytes())))
    except (OSError, SyntaxError, ValueError):  # no such file in this version, or none that this Python reads
        return {}


def _code(node: _Definition) -> str:
    """What a function does, without comments, docstring and type annotations."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    arguments = [ast.unparse(default) for default in (*node.args.defaults, *filter(None, node.args.kw_defaults))]
    names = [a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)]
    return "\n".join([*names, *arguments, *(ast.unparse(part) for part in node.body[documented:])])


def changed(before: Path, after: Path, called: set[tuple[str, str]]) -> list[Function]:
    """The functions among those called that both versions have, with another code.

    Parameters
    ----------
    before, after : Path
        Folders of the two versions.
    called : set of (file, qualified name)
    """
    found = []
    for file in sorted({file for file, _ in called}):
        old, new = _functions(before / file), _functions(after / file)
        names = sorted(name for one, name in called if one == file and name in old and name in new)
        found += [Function(file, name) for name in names if _code(old[name]) != _code(new[name])]
    return found


def put_back(function: Function, before: Path, after: Path, folder: Path) -> Place:
    """The new version with the old text of one function, in a new folder.

    Parameters
    ----------
    function : Function
        One that both versions have.
    before, after : Path
        Folders of the two versions.
    folder : Path
        Does not exist yet; files that stay as they are become links.
    """
    shutil.copytree(after, folder, copy_function=_link, ignore=shutil.ignore_patterns("__pycache__"))
    target = folder / function.file
    target.unlink()
    old, new = (_functions(one / function.file)[function.name] for one in (before, after))
    old_lines, new_lines = ((one / function.file).read_text("utf-8").splitlines() for one in (before, after))
    text = old_lines[old.lineno - 1 : old.end_lineno]
    target.write_text("\n".join([*new_lines[: new.lineno - 1], *text, *new_lines[new.end_lineno :], ""]), "utf-8")
    return Place(str(function), {"PYTHONPATH": first_on_path(folder)}, folder)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)

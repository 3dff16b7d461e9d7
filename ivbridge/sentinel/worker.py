"""The process in which one version of a package answers recorded questions: ``python -m ivbridge.sentinel.worker``.

Reads one JSON object from stdin (``engine``, ``references``: paths, ``folder``: of a Python package or null, ``trace``:
true or false, ``out``: a path) and writes one JSON object a line to ``out``: ``path vcov`` and either ``estimate`` or
``refused``, and with ``trace`` ``called``, the functions below that folder that ran. It fails if it answered and used
nothing of the folder.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from ivbridge.api import design_for
from ivbridge.engines import Unsupported
from ivbridge.engines import engine as engine_named
from ivbridge.errors import IvbridgeError
from ivbridge.references import load_reference
from ivbridge.references_verify import data_of
from ivbridge.vcov_text import parse_vcov

__all__ = ["main"]


@contextmanager
def _traced(folder: Path, found: set[tuple[str, str]]) -> Iterator[None]:
    """Note file and qualified name of every function below a folder that is called."""
    root = f"{folder}/"

    def look(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(root):
            found.add((code.co_filename.removeprefix(root), code.co_qualname))

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


def _answers(path: str, engine: str, trace: str | None) -> Iterator[dict[str, Any]]:
    """What the engine says to one recorded question, a row for each of its vcovs."""
    reference = load_reference(path)
    asked = engine_named(engine)
    vcovs = [parse_vcov(vcov) for vcov in reference.vcovs]
    design = design_for(reference.spec, data_of(reference), vcovs)
    for vcov in vcovs:
        row: dict[str, Any] = {"path": path, "vcov": str(vcov)}
        question = replace(design, spec=replace(design.spec, vcov=vcov))
        supported = asked.supports(question.spec)
        called: set[tuple[str, str]] = set()
        if isinstance(supported, Unsupported):
            row["refused"] = supported.reason
        else:
            try:
                with nullcontext() if trace is None else _traced(Path(trace), called):
                    row["estimate"] = asked.fit(question).to_json()
            except IvbridgeError as error:
                row["refused"] = str(error)
        yield {**row, "called": sorted(called)}


def main() -> None:
    """Answer the questions of the job on stdin."""
    job = json.load(sys.stdin)
    folder, answered = job["folder"], False
    with Path(job["out"]).open("w", encoding="utf-8") as out:
        for path in job["references"]:
            for row in _answers(path, job["engine"], folder if job["trace"] else None):
                answered = answered or "estimate" in row
                out.write(json.dumps(row) + "\n")
                out.flush()
    if folder and answered and not _used(folder):
        sys.exit(f"nothing in {folder} was used: it does not hold the package, or {job['engine']} does not call it")


def _used(folder: str) -> bool:
    """Whether a module of this folder is loaded."""
    root = os.path.realpath(folder) + os.sep
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return any(os.path.realpath(file).startswith(root) for file in files if isinstance(file, str))


if __name__ == "__main__":
    main()

"""Recorded questions put to one version of a package, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ivbridge.errors import EngineError
from ivbridge.results import Estimate
from ivbridge.sentinel.places import Place

__all__ = ["Answers", "Asked", "ask"]

#: Seconds that one version may take for all questions.
SECONDS = 3600

#: Path of a reference, and a vcov.
Asked = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one version said.

    Attributes
    ----------
    estimates : dict of (path, vcov) to Estimate
        Without model matrices.
    refused : dict of (path, vcov) to str
        What it could not answer, and why.
    called : set of (file, qualified name)
        Functions that ran, of a traced version.
    """

    estimates: dict[Asked, Estimate] = field(default_factory=dict)
    refused: dict[Asked, str] = field(default_factory=dict)
    called: set[tuple[str, str]] = field(default_factory=set)


def ask(place: Place, engine: str, paths: Sequence[str], *, trace: bool = False) -> Answers:
    """Let an engine answer recorded questions with the version that lies at a place.

    Parameters
    ----------
    place : Place
    engine : str
    paths : sequence of str
        Files of recorded references.
    trace : bool, default False
        Also note which functions of the package ran.

    Raises
    ------
    EngineError
        If the process ends before it has answered, or it used another version: this one cannot be imported here, for
        example, or its folder does not hold it.
    """
    found = Answers()
    with tempfile.TemporaryDirectory(prefix="ivbridge-drift-") as folder:
        out = Path(folder) / "answers.jsonl"
        job = {"engine": engine, "references": list(paths), "out": str(out),
               "folder": str(place.folder) if place.folder else None, "trace": trace}  # fmt: skip
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-B", "-m", "ivbridge.sentinel.worker"], input=json.dumps(job),
                capture_output=True, text=True, timeout=SECONDS, check=False, env={**os.environ, **place.environment},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"{place.label} took longer than {SECONDS} seconds.") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise EngineError(f"The process with {place.label} failed: {last}")
        for line in out.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            key = (row["path"], row["vcov"])
            if "estimate" in row:
                found.estimates[key] = Estimate.from_json(row["estimate"])
            else:
                found.refused[key] = row["refused"]
            found.called.update((file, name) for file, name in row["called"])
    return found

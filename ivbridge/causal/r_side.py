"""R's side of the causal methods: ``ivb_causal_*`` of ``r_scripts/causal_*.R``, in an R process of their own."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

from ivbridge.causal.records import Answer
from ivbridge.engines.process import RReply, RWorker

__all__ = ["ask_r", "r_answer", "r_versions"]

SCRIPTS = (
    "causal_adjust.R",
    "causal_match.R",
    "causal_dml.R",
    "causal_learners.R",
    "causal_sensitivity.R",
    "causal_heterogeneity.R",
    "causal_workbook.R",
)

_of_thread = threading.local()


def _worker() -> RWorker:
    worker: RWorker | None = getattr(_of_thread, "worker", None)
    if worker is None:
        worker = _of_thread.worker = RWorker(scripts=SCRIPTS)
    return worker


def ask_r(function: str, **arguments: Any) -> RReply:
    """Call ``ivb_causal_<function>``; arrays of float64 arrive as R's doubles, bit for bit.

    Raises
    ------
    RNotAvailableError
        If R or an R package is missing.
    RError, RTimeoutError, RDiedError
        If R fails while it works.
    """
    return _worker().call(f"ivb_causal_{function}", **arguments)


def r_versions(*packages: str) -> Mapping[str, str]:
    """R and R packages, by name; ``"not installed"`` where one is missing."""
    value = _worker().call("ivb_provenance", packages=list(packages)).value
    return {"R": value["r"][0], **{name: found[0] or "not installed" for name, found in value["packages"].items()}}


def r_answer(function: str, packages: tuple[str, ...], **arguments: Any) -> Answer:
    """R's answer, from a function that returns ``list(estimate, std_error, vcov, df, parts, calls)``; df may be absent.

    Raises
    ------
    RNotAvailableError, RError, RTimeoutError, RDiedError
        As :func:`ask_r`.
    """
    reply = ask_r(function, **arguments)
    found = reply.value
    parts = {name: float(value[0]) for name, value in found["parts"].items()} if found["parts"] else {}
    df = float(found["df"][0]) if "df" in found else math.inf
    return Answer(
        float(found["estimate"][0]), float(found["std_error"][0]), str(found["vcov"][0]), df, parts=parts,
        versions=r_versions(*packages), calls=tuple(found["calls"]), warnings=reply.remarks,
    )  # fmt: skip

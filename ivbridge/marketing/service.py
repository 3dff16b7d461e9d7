"""A small HTTP server for a fitted 2SLS pipeline, from the standard library: what latency is measured with.

It listens on this machine only and is no web service for others: it has no encryption and no users.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["Balance", "Pipeline", "served"]

#: Bytes of a request, at most.
_MOST = 10_000


class Balance:
    """Counts, means and squares of the covariates in both arms, as requests come: an audit of the randomisation."""

    def __init__(self, covariates: int) -> None:
        self._lock = threading.Lock()
        self._sums = np.zeros((2, 2 * covariates + 1))

    def add(self, email: bool, x: FloatArray) -> None:
        """Count one user."""
        with self._lock:
            self._sums[int(email)] += np.concatenate([[1.0], x, x**2])

    @property
    def requests(self) -> int:
        """Users counted."""
        return int(self._sums[:, 0].sum())

    @property
    def share(self) -> float:
        """Share of users who got the email; NaN before the first one."""
        return float(self._sums[1, 0] / self.requests) if self.requests else math.nan

    @property
    def smd(self) -> FloatArray:
        """Standardised mean differences of the covariates; NaN where an arm has fewer than two users."""
        count = self._sums[:, :1]
        if count.min() < 2:
            return np.full((self._sums.shape[1] - 1) // 2, math.nan)
        mean, square = np.split(self._sums[:, 1:] / count, 2, axis=1)
        pooled = np.sqrt((square - mean**2).mean(axis=0))
        return np.asarray((mean[1] - mean[0]) / np.where(pooled > 0, pooled, 1.0))


class Pipeline:
    """What is served: expected exposure of a user, and what the email is worth in conversions.

    Parameters
    ----------
    forward : callable (rows, 1 + m) -> (rows,)
        The first stage: email and covariates in, expected exposure out.
    effect : float
        τ of 2SLS.
    covariates : int
        m.
    """

    def __init__(self, forward: Callable[[FloatArray], FloatArray], effect: float, covariates: int) -> None:
        self.forward, self.effect, self.covariates = forward, effect, covariates
        self.balance = Balance(covariates)

    def answer(self, asked: object) -> dict[str, float]:
        """``{"email": 0 or 1, "x": [m numbers]}`` to ``{"exposure": …, "gain": …}``.

        Raises
        ------
        DataError
            If the request is anything else.
        """
        email, x = self._read(asked)
        self.balance.add(bool(email), x)
        exposure = self.forward(np.column_stack([[email, 1.0, 0.0], np.tile(x, (3, 1))]))
        return {"exposure": float(exposure[0]), "gain": self.effect * float(exposure[1] - exposure[2])}

    def _read(self, asked: object) -> tuple[float, FloatArray]:
        known = isinstance(asked, dict) and set(asked) == {"email", "x"}
        email, x = (asked["email"], asked["x"]) if known and isinstance(asked, dict) else (None, None)
        numbers = isinstance(x, list) and len(x) == self.covariates and all(map(_is_number, x))
        if not numbers or not _is_number(email) or email not in (0, 1):
            raise DataError(
                "The request cannot be read.", available=f'{{"email": 0 or 1, "x": [{self.covariates} numbers]}}'
            )
        return float(email), np.asarray(x, dtype=np.float64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


class _Handler(BaseHTTPRequestHandler):
    """POST a user, get a prediction."""

    protocol_version = "HTTP/1.1"  # one connection for many requests
    disable_nagle_algorithm = True  # an answer leaves at once
    timeout = 10
    pipeline: Pipeline

    def do_POST(self) -> None:
        """Answer one request."""
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > _MOST:
            self._send(413, {"error": f"A request has at most {_MOST} bytes and says how many."}, close=True)
            return
        try:
            self._send(200, self.pipeline.answer(json.loads(self.rfile.read(int(size)))))
        except (ValueError, RecursionError) as error:  # DataError is one
            self._send(400, {"error": str(error)})

    def _send(self, status: int, found: dict[str, Any], *, close: bool = False) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the balance is the log."""


@contextmanager
def served(pipeline: Pipeline) -> Iterator[tuple[str, int]]:
    """Serve within the block; yields host and port, which the system chooses."""
    handler = type("Handler", (_Handler,), {"pipeline": pipeline})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield "127.0.0.1", server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

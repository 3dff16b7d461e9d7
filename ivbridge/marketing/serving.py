"""The first stage in float32, in int8 and in NumPy: how fast each answers, and whether τ minds.

int8 is torch's dynamic quantisation, which torch calls deprecated and may drop: then the page says so.
"""

from __future__ import annotations

import http.client
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ivbridge import batch
from ivbridge.iv_ml.computing import deterministic, torch_module
from ivbridge.iv_ml.predictors.feedforward import Dense, run_layers
from ivbridge.marketing.first_stage import Fitted
from ivbridge.marketing.records import Served, Serving
from ivbridge.marketing.service import Pipeline, served
from ivbridge.marketing.worlds import CampaignDraw
from ivbridge.records import FloatArray, NotApplicable

__all__ = ["LIMIT", "measured"]

#: Milliseconds that the recipe allows for an answer.
LIMIT = 50.0
Forward = Callable[[FloatArray], FloatArray]


def measured(fitted: Fitted, draw: CampaignDraw, requests: int = 300) -> Serving:
    """Serve a first stage to the users of a data set and measure.

    Parameters
    ----------
    fitted : Fitted
    draw : CampaignDraw
    requests : int, default 300
        To each form; the first twenty are not measured.
    """
    kinds, absent = _forms(fitted)
    rows = np.column_stack([draw.email, draw.x])
    reference = kinds["float32 (torch)"](rows)
    estimates = {name: _estimate(draw, forward(rows)) for name, forward in kinds.items()}
    found, balance = [], None
    with deterministic():
        for name, forward in kinds.items():
            pipeline = Pipeline(forward, estimates[name][0], draw.x.shape[1])
            http_times = _asked(pipeline, rows, requests)
            balance = balance or pipeline.balance
            difference = float(np.abs(forward(rows) - reference).max())
            found.append(
                Served(name, _quantiles(_forward_times(forward, rows, requests), 50, 99),
                       _quantiles(http_times, 50, 95, 99), difference, estimates[name][0])
            )  # fmt: skip
    assert balance is not None
    medians = {one.name: one.forward[0] for one in found}
    ratio = medians.get("int8 (torch.ao)", float("nan")) / medians["float32 (torch)"]
    return Serving(
        tuple(found), estimates["float32 (torch)"][1], ratio, requests, balance.share,
        float(np.abs(balance.smd).max()), absent,
    )  # fmt: skip


def _forms(fitted: Fitted) -> tuple[dict[str, Forward], tuple[NotApplicable, ...]]:
    torch = torch_module()
    network = _as_torch(fitted.layers)
    forms: dict[str, Forward] = {
        "float32 (torch)": _forward(network),
        "NumPy": lambda rows: np.asarray(run_layers(fitted.layers, rows)[:, 0]),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)
            forms["int8 (torch.ao)"] = _forward(small)
            forms["int8 (torch.ao)"](np.zeros((1, fitted.layers[0].weight.shape[0])))
    except (AttributeError, ImportError, RuntimeError, NotImplementedError) as error:
        forms.pop("int8 (torch.ao)", None)
        reason = f"torch {torch.__version__} offers no dynamic quantisation here: {error}"
        return forms, (NotApplicable("int8 (torch.ao)", reason),)
    return forms, ()


def _as_torch(layers: tuple[Dense, ...]) -> Any:
    torch = torch_module()
    parts: list[Any] = []
    for layer in layers:
        linear = torch.nn.Linear(*layer.weight.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.as_tensor(layer.weight.T))
            linear.bias.copy_(torch.as_tensor(layer.bias))
        parts += [linear, torch.nn.ReLU()] if layer.activation == "relu" else [linear]
    return torch.nn.Sequential(*parts).eval()


def _forward(network: Any) -> Forward:
    torch = torch_module()

    def forward(rows: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(network(torch.as_tensor(rows, dtype=torch.float32))[:, 0].numpy(), dtype=np.float64)

    return forward


def _estimate(draw: CampaignDraw, values: FloatArray) -> tuple[float, float]:
    """2SLS with the fitted exposures as the instrument."""
    controls = np.column_stack([np.ones(len(draw.x)), draw.x])
    found = batch.fit(draw.conversions[None], controls, draw.exposure[None], values[None, :, None])
    return float(found.coef[0, -1]), float(np.sqrt(found.cov[0, -1, -1]))


def _forward_times(forward: Forward, rows: FloatArray, count: int) -> list[float]:
    times = []
    for i in range(count):
        row = rows[i % len(rows)][None]
        start = time.perf_counter()
        forward(row)
        times.append(time.perf_counter() - start)
    return times[20:]


def _asked(pipeline: Pipeline, rows: FloatArray, count: int) -> list[float]:
    """Seconds of requests one after the other over one connection."""
    times = []
    with served(pipeline) as (host, port):
        line = http.client.HTTPConnection(host, port, timeout=10)
        for i in range(count):
            row = rows[i % len(rows)]
            body = json.dumps({"email": row[0], "x": row[1:].tolist()})
            start = time.perf_counter()
            line.request("POST", "/", body)
            reply = line.getresponse().read()
            times.append(time.perf_counter() - start)
            assert b"gain" in reply, reply
        line.close()
    return times[20:]


def _quantiles(seconds: list[float], *points: float) -> Any:
    return tuple(float(value) for value in 1000 * np.percentile(seconds, points))

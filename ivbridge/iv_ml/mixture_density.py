"""Mixtures of normal distributions whose weights, means and spreads are a network's outputs.

Source: Bishop (1994), Mixture density networks, Eqs. 22-29.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ivbridge.iv_ml.computing import Streams, torch_module

if TYPE_CHECKING:
    import torch

__all__ = ["draws", "negative_log_density"]

#: Bounds of log(standard deviation): a treatment with few values would be learnt as spikes of infinite density.
_NARROWEST, _WIDEST = -7.0, 10.0


def negative_log_density(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """-log p(value), (B, n), for outputs (B, n, 3K) - logits, means, log standard deviations - and values (B, n, 1)."""
    logits, means, logs = _parts(outputs)
    each = -0.5 * ((values - means) * (-logs).exp()) ** 2 - logs - 0.5 * math.log(2 * math.pi)
    return -(logits.log_softmax(-1) + each).logsumexp(-1)


def draws(outputs: torch.Tensor, samples: int, streams: Streams) -> torch.Tensor:
    """Independent draws (B, n, samples) from the mixtures with these outputs (B, n, 3K)."""
    logits, means, logs = _parts(outputs)
    n, components = outputs.shape[1], means.shape[-1]
    below = logits.softmax(-1).cumsum(-1)
    # rounding may leave the last sum under 1
    chosen = torch_module().searchsorted(below, streams.uniform(n, samples)).clamp(max=components - 1)
    return means.gather(-1, chosen) + logs.gather(-1, chosen).exp() * streams.normal(n, samples)


def _parts(outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits, means, logs = outputs.chunk(3, dim=-1)
    return logits, means, logs.clamp(_NARROWEST, _WIDEST)

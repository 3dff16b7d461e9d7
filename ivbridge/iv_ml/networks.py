"""B networks of one layout as one tensor program: replications of a study are trained together.

Every tensor has the member first: inputs (B, n, in), weights (B, in, out). Members share nothing: the sum of their
losses has each member's own gradient, and Adam works element by element. A single fit is the case B = 1, so that there
is one code for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ivbridge.iv_ml.computing import Streams, torch_module
from ivbridge.iv_ml.predictors.feedforward import ACTIVATIONS, Dense

if TYPE_CHECKING:
    import torch

__all__ = ["Layout", "Networks"]

#: Of running averages in batch normalisation, and what keeps its divisor from 0: torch's own defaults.
_MOMENTUM, _TINY = 0.1, 1e-5


@dataclass(frozen=True, slots=True)
class Layout:
    """A feed-forward network.

    Parameters
    ----------
    widths : tuple of int
        Outputs of each layer, the last one's included.
    activation : str or tuple of str, default "relu"
        Of every layer but the last one, or of each of them: relu, tanh, elu, leaky_relu, sigmoid.
    last : str, default "linear"
        Of the last layer.
    dropout : float, default 0
        Share of each hidden layer's outputs that is set to zero while training.
    input_dropout : float, default 0
        The same for the inputs.
    normalised : tuple of int, default ()
        Hidden layers, from 0, with batch normalisation between their linear part and their activation.
    start : {"torch", "glorot"}, default "torch"
        Weights and biases from U(±1/√in), as torch's ``Linear`` has them; or weights from U(±√(6/(in+out))) and biases
        0, as Keras has them.
    """

    widths: tuple[int, ...]
    activation: str | tuple[str, ...] = "relu"
    last: str = "linear"
    dropout: float = 0.0
    input_dropout: float = 0.0
    normalised: tuple[int, ...] = ()
    start: Literal["torch", "glorot"] = "torch"

    def activations(self) -> tuple[str, ...]:
        """The activation of each layer, the last one included."""
        hidden = len(self.widths) - 1
        before = (self.activation,) * hidden if isinstance(self.activation, str) else self.activation
        assert len(before) == hidden, f"{len(before)} activations for {hidden} hidden layers"
        return (*before, self.last)


class Networks:
    """B networks with their own weights.

    Parameters
    ----------
    inputs : int
    layout : Layout
    streams : Streams
        B members; the starting weights are drawn from here.

    Attributes
    ----------
    parameters : list of tensor
        What an optimiser gets.
    """

    def __init__(self, inputs: int, layout: Layout, streams: Streams) -> None:
        self._layout = layout
        sizes = [inputs, *layout.widths]
        self._weights, self._biases = [], []
        for before, after in pairwise(sizes):
            glorot = layout.start == "glorot"
            limit = math.sqrt(6 / (before + after)) if glorot else 1 / math.sqrt(max(before, 1))
            self._weights.append(((2 * streams.uniform(before, after) - 1) * limit).requires_grad_())
            drawn = 2 * streams.uniform(1, after) - 1
            self._biases.append((drawn * (0.0 if glorot else limit)).requires_grad_())
        # in order: scale, shift (learnt), running mean, running variance
        self._norms: dict[int, list[torch.Tensor]] = {}
        for layer in layout.normalised:
            zero = torch_module().zeros_like(self._biases[layer])
            self._norms[layer] = [(zero + 1).requires_grad_(), zero.clone().requires_grad_(), zero.clone(), zero + 1]

    @property
    def parameters(self) -> list[torch.Tensor]:
        """Everything that is learnt by gradients.

        Biases under batch normalisation are not: it takes them away again, so that their gradients are rounding errors,
        of which Adam makes steps of full length.
        """
        biases = [bias for layer, bias in enumerate(self._biases) if layer not in self._norms]
        return [*self._weights, *biases, *(part for norm in self._norms.values() for part in norm[:2])]

    @property
    def weights(self) -> list[torch.Tensor]:
        """The matrices of the layers, (B, in, out), for penalties."""
        return self._weights

    def __call__(self, inputs: torch.Tensor, streams: Streams | None = None) -> torch.Tensor:
        """Outputs (B, n, out) for inputs (B, n, in).

        With ``streams`` this is training: dropout is drawn from them, and batch normalisation uses and remembers the
        moments of this batch. Without, the networks are used as they are.
        """
        last = len(self._weights) - 1
        inputs = _dropped(inputs, self._layout.input_dropout, streams)
        layers = zip(self._weights, self._biases, self._layout.activations(), strict=True)
        for i, (weight, bias, activation) in enumerate(layers):
            inputs = _linear(inputs, weight, bias)
            if i in self._norms:
                inputs = self._normalised(inputs, self._norms[i], training=streams is not None)
            inputs = _activated(inputs, activation)
            if i < last:
                inputs = _dropped(inputs, self._layout.dropout, streams)
        return inputs

    def _normalised(self, values: torch.Tensor, norm: list[torch.Tensor], *, training: bool) -> torch.Tensor:
        torch = torch_module()
        scale, shift, mean, variance = norm
        if not training:
            return (values - mean) * (scale / torch.sqrt(variance + _TINY)) + shift
        rows, own = values.shape[1], values.mean(1, keepdim=True)
        centred = values - own
        spread = (centred**2).mean(1, keepdim=True)
        with torch.no_grad():
            mean.lerp_(own, _MOMENTUM)
            variance.lerp_(spread * rows / max(rows - 1, 1), _MOMENTUM)
        return centred * (scale / torch.sqrt(spread + _TINY)) + shift

    def state(self) -> list[torch.Tensor]:
        """Copies of everything, (B, …) each: what :meth:`restore` takes."""
        return [part.detach().clone() for part in self._all()]

    def restore(self, state: list[torch.Tensor]) -> None:
        """Put back what :meth:`state` gave."""
        with torch_module().no_grad():
            for part, kept in zip(self._all(), state, strict=True):
                part.copy_(kept)

    def _all(self) -> list[torch.Tensor]:
        return [*self._weights, *self._biases, *(part for norm in self._norms.values() for part in norm)]

    def layers(self, member: int) -> tuple[Dense, ...]:
        """One member as NumPy layers; batch normalisation is folded into them."""
        found = []
        every = zip(self._weights, self._biases, self._layout.activations(), strict=True)
        for i, (weights, biases, activation) in enumerate(every):
            weight, bias = _numbers(weights[member]), _numbers(biases[member])[0]
            if i in self._norms:
                scale, shift, mean, variance = (_numbers(part[member])[0] for part in self._norms[i])
                factor = scale / (variance + _TINY) ** 0.5
                weight, bias = weight * factor, (bias - mean) * factor + shift
            found.append(Dense(weight, bias, activation))
        return tuple(found)


def _linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    if weight.shape[2] == 1:  # products of matrices and single columns are slow in a batch
        return (inputs * weight.mT).sum(-1, keepdim=True) + bias
    found: torch.Tensor = torch_module().baddbmm(bias, inputs, weight)
    return found


def _activated(values: torch.Tensor, name: str) -> torch.Tensor:
    """In the place of the values, which nothing else needs: large tensors cost more to make than to fill."""
    if name == "linear":
        return values
    assert name in ACTIVATIONS, name
    package = torch_module()
    place = package if hasattr(package, f"{name}_") else package.nn.functional
    found: torch.Tensor = getattr(place, f"{name}_")(values)
    return found


def _dropped(values: torch.Tensor, share: float, streams: Streams | None) -> torch.Tensor:
    if streams is None or not share:
        return values
    return values * streams.uniform(*values.shape[1:]).lt_(1 - share).div_(1 - share)


def _numbers(tensor: Any) -> Any:
    return tensor.detach().cpu().double().numpy()

"""A feed-forward network of (t, x) with dense layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ivbridge.iv_ml.predictors import Parts
from ivbridge.records import FloatArray

__all__ = ["ACTIVATIONS", "Dense", "Feedforward", "layer_parts", "layers_of", "run_layers"]

#: By name; torch has the same ones under the same names.
ACTIVATIONS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "linear": lambda a: a,
    "relu": lambda a: np.maximum(a, 0),
    "tanh": lambda a: np.asarray(np.tanh(a)),
    "elu": lambda a: np.where(a > 0, a, np.expm1(np.minimum(a, 0))),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "sigmoid": lambda a: np.asarray(0.5 * (1 + np.tanh(0.5 * a))),
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One layer: activation(inputs · weight + bias), with weight (in, out) and bias (out,)."""

    weight: FloatArray
    bias: FloatArray
    activation: str

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[1:] or self.activation not in ACTIVATIONS:
            raise ValueError(f"a layer of {self.weight.shape}, {self.bias.shape} and {self.activation[:20]!r}")


def run_layers(layers: tuple[Dense, ...], inputs: FloatArray) -> FloatArray:
    """Outputs (n, out) of a stack of layers for inputs (n, in)."""
    for layer in layers:
        inputs = ACTIVATIONS[layer.activation](inputs @ layer.weight + layer.bias)
    return inputs


def layer_parts(layers: tuple[Dense, ...], name: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a stack of layers, under names that begin with ``name``."""
    found: dict[str, npt.NDArray[Any]] = {f"{name}/activations": np.array([layer.activation for layer in layers])}
    for i, layer in enumerate(layers):
        found[f"{name}/{i}/weight"], found[f"{name}/{i}/bias"] = layer.weight, layer.bias
    return found


def layers_of(parts: Parts, name: str) -> tuple[Dense, ...]:
    """The stack of layers again."""
    activations = [str(text) for text in parts[f"{name}/activations"]]
    return tuple(Dense(parts[f"{name}/{i}/weight"], parts[f"{name}/{i}/bias"], a) for i, a in enumerate(activations))


@dataclass(frozen=True, slots=True, eq=False)
class Feedforward:
    """The first output of a network whose inputs are t and then the columns of x."""

    layers: tuple[Dense, ...]
    kind: ClassVar[str] = "feedforward"

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        return np.asarray(run_layers(self.layers, np.column_stack([t, x]))[:, 0], dtype=np.float64)

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """Weights, biases and names of activations."""
        return layer_parts(self.layers, "layers")

    @classmethod
    def of(cls, parts: Parts) -> Feedforward:
        """Make it again."""
        return cls(layers_of(parts, "layers"))

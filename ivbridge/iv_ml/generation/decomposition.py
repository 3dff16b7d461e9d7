"""The networks of AutoIV and the three things that are done to them in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from ivbridge.iv_ml.computing import Streams, torch_module
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.training import descend

if TYPE_CHECKING:
    import torch

__all__ = ["Decomposition", "Gaussian", "Sizes"]

#: The learning rate is multiplied by the second number after as many steps as the first.
_DECAY = (100, 0.95)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Columns of X, of each representation, and of the treatment's embedding."""

    covariates: int
    dimension: int
    embedding: int


class Gaussian:
    """q(v | u): normal with a mean and a log variance in (-1, 1) that networks of u give.

    Parameters
    ----------
    inputs, hidden, outputs : int
        Columns of u, of both networks' hidden layer (0: u is not seen), and of v.
    streams : Streams
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, streams: Streams) -> None:
        widths, self._sees = ((hidden, outputs) if hidden else (outputs,)), hidden > 0
        self._mean = Networks(inputs, Layout(widths, "elu", start="glorot"), streams)
        self._spread = Networks(inputs, Layout(widths, "elu", "tanh", start="glorot"), streams)

    @property
    def parameters(self) -> list[torch.Tensor]:
        """Everything that is learnt."""
        return [*self._mean.parameters, *self._spread.parameters]

    def surprise(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """-2 log q(v | u) up to a constant, mean over the rows: (B,)."""
        mean, spread = self._moments(u)
        return ((v - mean) ** 2 * (-spread).exp() + spread).sum(2).mean(1)

    def information(
        self, u: torch.Tensor, v: torch.Tensor, shuffled: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Twice the sampled bound on I(u; v), (B,): how much more likely v is than the v of another row.

        ``weights`` (B, n, 1) say how much each row's pair counts; all alike where there are none.
        """
        mean, spread = self._moments(u)
        gains = (((mean - shuffled) ** 2 - (mean - v) ** 2) * (-spread).exp()).sum(2, keepdim=True)
        return gains.mean((1, 2)) if weights is None else (gains * weights).sum((1, 2))

    def _moments(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        u = u if self._sees else torch_module().zeros_like(u)
        return self._mean(u), self._spread(u)


class Decomposition:
    """All networks of B members.

    Parameters
    ----------
    sizes : Sizes
    streams : Streams
        Starting weights, and the permutations of rows in each step.
    bandwidth, penalty : float

    Attributes
    ----------
    instrument : Networks
        X to z.
    """

    def __init__(self, sizes: Sizes, streams: Streams, bandwidth: float, penalty: float) -> None:
        d, e = sizes.dimension, sizes.embedding
        self._streams, self._bandwidth, self._penalty = streams, bandwidth, penalty

        def network(inputs: int, *widths: int) -> Networks:
            return Networks(inputs, Layout(widths, "elu", start="glorot"), streams)

        self.instrument = network(sizes.covariates, d, d)
        self._confounder = network(sizes.covariates, d, d)
        self._treatment = network(2 * d, d, 1)
        self._embedding = network(1, e, e)
        self._outcome = network(d + e, max((d + e) // 2, 1), 1)
        outputs = {"zt": 1, "zy": 1, "ct": 1, "cy": 1, "zc": d}
        self._predicting = {name: Gaussian(d, d // 2, width, streams) for name, width in outputs.items()}

    def steps(self, rate: float) -> Callable[..., torch.Tensor]:
        """One step for each aim, on y, t (B, n, 1) and x (B, n, m): what ``training.train`` calls."""
        predicting = list(chain.from_iterable(one.parameters for one in self._predicting.values()))
        representing = self.instrument.parameters + self._confounder.parameters
        stages = [*representing, *chain.from_iterable(one.parameters for one in self._regressing())]
        opts = [_Decaying(part, rate) for part in (predicting, representing, stages)]

        def step(y: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            z, c = self.instrument(x), self._confounder(x)
            opts[0](self._surprises(z.detach(), c.detach(), t, y))
            opts[1](self._aims(z, c, t, y) + self._weight())
            return opts[2](self._errors(self.instrument(x), self._confounder(x), t, y) + self._weight())

        return step

    def _regressing(self) -> tuple[Networks, ...]:
        return self._treatment, self._embedding, self._outcome

    def _surprises(self, z: torch.Tensor, c: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        ways = {"zt": (z, t), "zy": (z, y), "ct": (c, t), "cy": (c, y), "zc": (z, c)}
        return torch_module().stack([self._predicting[name].surprise(*way) for name, way in ways.items()]).sum(0)

    def _aims(self, z: torch.Tensor, c: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        order = self._streams.orders(t.shape[1])
        near = (-((t - _rows(t, order)) ** 2) / (2 * self._bandwidth**2)).exp().softmax(1)
        given_t = self._predicting["zy"].information(z, y, _rows(y, order), near)
        rising = self._informed("zt", z, t) + self._informed("ct", c, t) + self._informed("cy", c, y)
        return given_t + self._informed("zc", z, c) - rising

    def _informed(self, name: str, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self._predicting[name].information(u, v, _rows(v, self._streams.orders(v.shape[1])))

    def _errors(self, z: torch.Tensor, c: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        torch = torch_module()
        treatment = self._treatment(torch.cat([z, c], 2))
        outcome = self._outcome(torch.cat([c, self._embedding(treatment)], 2))
        return ((t - treatment) ** 2).mean((1, 2)) + ((y - outcome) ** 2).mean((1, 2))

    def _weight(self) -> torch.Tensor:
        networks = (self.instrument, self._confounder, *self._regressing())
        squares = [(weight**2).sum((1, 2)) for one in networks for weight in one.weights]
        return torch_module().stack(squares).sum(0) * (self._penalty / (2 * len(networks)))


def _rows(values: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """(B, n, …) in each member's own order (B, n)."""
    return values[torch_module().arange(len(order), device=order.device)[:, None], order]


class _Decaying:
    """Adam with a rate that falls in steps."""

    def __init__(self, parameters: list[torch.Tensor], rate: float) -> None:
        torch = torch_module()
        self._optimizer = torch.optim.Adam(parameters, lr=rate)
        self._schedule = torch.optim.lr_scheduler.StepLR(self._optimizer, *_DECAY)

    def __call__(self, losses: torch.Tensor) -> torch.Tensor:
        found = descend(self._optimizer, losses)
        self._schedule.step()
        return found

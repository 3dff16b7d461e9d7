"""Does a contrastive encoder with an orthogonality penalty make 2SLS robust to a broken exclusion restriction?

Users are described by covariates and by what was logged after the mail was sent. The encoder learns four features by
noise contrast: two noisy views of one user are to be nearer than views of different users (InfoNCE: van den Oord, Li
and Vinyals 2018, Eq. 4). The penalty is the squared correlation of each feature with the part of the email that the
covariates do not explain. The features then join the controls of 2SLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivbridge import batch
from ivbridge.iv_ml.computing import Computing, Streams, deterministic, torch_module
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.training import Schedule, Stage, descend, train
from ivbridge.marketing.checks import falsification, residuals, sargan
from ivbridge.marketing.exclusion import LEVEL
from ivbridge.marketing.records import Average, Encoded, Share
from ivbridge.marketing.worlds import Campaign, Panel, panel
from ivbridge.records import FloatArray

__all__ = ["ENCODERS", "Encoder", "encoded"]

#: The violation of the second world.
VIOLATION = 0.5


@dataclass(frozen=True, slots=True)
class Encoder:
    """How features are learnt; ``penalty`` None stands for no features at all.

    Parameters
    ----------
    name : str
    penalty : float or None
        Weight of the orthogonality penalty beside the contrastive loss.
    features : int, default 4
    hidden : int, default 32
    epochs : int, default 10
    batch : int, default 200
    rate : float, default 0.003
    noise : float, default 0.3
        Standard deviation of what is added to standardised inputs for a view.
    temperature : float, default 0.2
    """

    name: str
    penalty: float | None
    features: int = 4
    hidden: int = 32
    epochs: int = 10
    batch: int = 200
    rate: float = 3e-3
    noise: float = 0.3
    temperature: float = 0.2

    def learn(self, data: Panel, seed: int = 0) -> FloatArray:
        """Features (B, n, features) of every user."""
        torch = torch_module()
        seen = np.stack([np.column_stack([draw.x, draw.log]) for draw in data.draws])
        seen = (seen - seen.mean(axis=1, keepdims=True)) / seen.std(axis=1, keepdims=True)
        rest = residuals(data.email, data.controls)
        computing = Computing()
        with deterministic():
            streams = Streams([seed * 10_007 + i for i in range(len(seen))], computing)
            inputs, mail = computing.tensor(list(seen)), computing.tensor(list(rest))
            networks = Networks(inputs.shape[2], Layout((self.hidden, self.features), "tanh"), streams)
            optimizer = torch.optim.Adam(networks.parameters, lr=self.rate)

            def step(rows: Any, mail: Any) -> Any:
                views = [networks(rows + self.noise * streams.normal(*rows.shape[1:])) for _ in range(2)]
                loss = _contrast(views[0], views[1], self.temperature)
                return descend(optimizer, loss + (self.penalty or 0.0) * _leak(networks(rows), mail))

            train(step, (inputs, mail), Schedule(self.epochs, self.batch), Stage("encoder", ()), streams)
            return np.asarray(networks(inputs).detach().cpu().double().numpy())


def _contrast(one: Any, other: Any, temperature: float) -> Any:
    """InfoNCE, (B,): the log share of a user's own second view among all second views of the batch."""
    torch = torch_module()
    unit = [torch.nn.functional.normalize(view, dim=2) for view in (one, other)]
    logits = unit[0] @ unit[1].transpose(1, 2) / temperature
    own = torch.diagonal(logits, dim1=1, dim2=2)
    return (torch.logsumexp(logits, dim=2) - own).mean(1)


def _leak(features: Any, mail: Any) -> Any:
    """Sum of squared correlations of features (B, r, k) with the email's residual (B, r): (B,)."""
    centred = features - features.mean(1, keepdim=True)
    rest = (mail - mail.mean(1, keepdim=True))[:, :, None]
    size = (centred**2).sum(1) * (rest**2).sum(1) + 1e-12
    return (((centred * rest).sum(1)) ** 2 / size).sum(1)


#: What is compared.
ENCODERS = (
    Encoder("no features", None),
    Encoder("contrastive features", 0.0),
    Encoder("contrastive features, orthogonal", 100.0),
)


def encoded(n: int, draws: int, encoders: Sequence[Encoder] = ENCODERS, seed: int = 1) -> list[Encoded]:
    """2SLS with each encoder's features among the controls, in a valid world and in one with a violation of 0.5.

    ``leak`` is the mean R² of the email on the features, given x; the slope is that of the estimate per unit of
    violation, with the features as they are; F, correlation and Sargan's rejections are of the violated world.
    """
    worlds = [Campaign(confounding=1.0, second=0.6, violation=v) for v in (0.0, VIOLATION)]
    valid, violated = (panel(world, n, range(seed, seed + draws)) for world in worlds)
    return [_row(one, valid, violated) for one in encoders]


def _row(encoder: Encoder, valid: Panel, violated: Panel) -> Encoded:
    # neither covariates nor log depend on the violation: one training serves both worlds
    extra = None if encoder.penalty is None else encoder.learn(valid)
    controls = valid.controls if extra is None else np.concatenate([valid.controls, extra], axis=2)
    estimates = [
        batch.fit(data.conversions, controls, data.exposure, data.email[:, :, None]).coef[:, -1]
        for data in (valid, violated)
    ]
    first = batch.fit(
        valid.exposure, np.concatenate([controls, valid.email[:, :, None]], axis=2), None, None, "HC1", "ols"
    )
    left = [(residuals(valid.email, columns) ** 2).sum(1) for columns in (valid.controls, controls)]
    return Encoded(
        name=encoder.name,
        leak=float(np.mean(1 - left[1] / left[0])),
        valid=Average.of(estimates[0]),
        violated=Average.of(estimates[1]),
        slope=Average.of((estimates[1] - estimates[0]) / VIOLATION),
        f=float(np.median(first.coef[:, -1] ** 2 / first.cov[:, -1, -1])),
        correlation=float(np.abs(falsification(violated, extra)).max()),
        sargan=Share.of(sargan(violated, extra) < LEVEL),
    )

"""Other estimators of the same equation: LIML, Fuller, one- and two-step GMM, jackknife instruments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np

from ivbridge.explainer.matrices import added, chosen
from ivbridge.explainer.records import Step, World
from ivbridge.kclass import decomposed
from ivbridge.linear import scaled
from ivbridge.method import LIML, Fuller, Method, TwoStage
from ivbridge.records import FloatArray, IntArray

__all__ = ["k_class", "moments"]


def k_class(world: World) -> Iterator[World]:
    """Two-stage least squares, LIML or Fuller instead of the question's estimator."""
    seen = world.seen
    if not seen.endog_names:
        return
    methods: list[tuple[str, Method]] = [("estimator.2sls", TwoStage())]
    methods += [("estimator.liml", LIML())] if len(seen.z_names) > len(seen.x_names) else []
    for key, method in [*methods, ("estimator.fuller", Fuller(1.0)), ("estimator.fuller", Fuller(4.0))]:
        if method != world.method:
            yield world.after(Step(key, f"the estimator is {method.heading}"), seen, method=method)


def moments(world: World) -> Iterator[World]:
    """GMM with one or two steps, or jackknifed instruments, instead of two-stage least squares."""
    if world.seen.endog_names and isinstance(world.method, TwoStage):
        yield from _jackknife(world)
        if len(world.seen.z_names) > len(world.seen.x_names):
            yield from _moments(world)


def _instrumented(world: World, step: Step, values: FloatArray) -> World:
    """Exactly identified by instruments (n, k); those of exogenous regressors carry names of their own, too."""
    seen = world.seen
    names = tuple(f"instrument for {name}" for name in seen.x_names)
    return world.after(step, replace(seen, z=np.asfortranarray(values), z_names=names), method=TwoStage())


def _moments(world: World) -> Iterator[World]:
    """GMM with a weighting matrix W: instruments ZW·Z'X give its coefficients."""
    seen = world.seen
    w = np.ones(len(seen.y)) if seen.weights is None else seen.weights
    weighted = seen.x * w[:, None]
    one = Step("estimator.gmm_identity", "the estimator is GMM with the identity as weighting matrix")
    yield _instrumented(world, one, seen.z @ (seen.z.T @ weighted))
    z = seen.z / np.linalg.norm(seen.z, axis=0)  # two steps do not depend on units, but rounding does
    first = decomposed(seen, TwoStage()).residuals * w
    for key, text, meat in _meats(z * first[:, None], seen.groups):
        with suppress(np.linalg.LinAlgError):
            yield _instrumented(world, Step(key, text), z @ np.linalg.solve(meat, z.T @ weighted))


def _meats(scores: FloatArray, groups: Mapping[str, IntArray]) -> Iterator[tuple[str, str, FloatArray]]:
    """Covariances of the moments, (l, l), from the scores (n, l)."""
    yield "estimator.gmm", "the estimator is two-step GMM with a robust weighting matrix", scores.T @ scores
    centred = scores - scores.mean(axis=0)
    yield "estimator.gmm_centred", "the estimator is two-step GMM with centred moments", centred.T @ centred
    for name, codes in groups.items():
        sums = np.zeros((int(codes.max()) + 1, scores.shape[1]))
        np.add.at(sums, codes, scores)
        if len(sums) > scores.shape[1]:
            text = f"the estimator is two-step GMM with a weighting matrix clustered by {name}"
            yield "estimator.gmm_clustered", text, sums.T @ sums


def _jackknife(world: World) -> Iterator[World]:
    """JIVE1 of Angrist, Imbens & Krueger (1999): fitted values that leave the own row out."""
    seen = world.seen
    q = np.linalg.qr(scaled(seen.z, seen.weights)).Q
    own = np.sum(q**2, axis=1)[:, None]
    if own.max() < 1 - 1e-8:
        x = scaled(seen.x[:, [seen.x_names.index(name) for name in seen.endog_names]], seen.weights)
        fitted = (q @ (q.T @ x) - own * x) / (1 - own)
        fitted = fitted if seen.weights is None else fitted / np.sqrt(seen.weights)[:, None]
        named = {f"jackknifed {name}": fitted[:, j] for j, name in enumerate(seen.endog_names)}
        exog = chosen(seen, z=[name for name in seen.z_names if name in seen.x_names])
        step = Step("estimator.jive", "the estimator is the jackknife instrumental-variable estimator JIVE1")
        yield world.after(step, added(exog, named, x=False, z=True))

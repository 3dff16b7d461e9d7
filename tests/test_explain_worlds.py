"""Every convention about the coefficients, against the same convention carried out by hand (worlds_by_hand.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import worlds_by_hand
from worlds_by_hand import PLANTS, Plant

from ivbridge.design import build
from ivbridge.engines.native import seen_of
from ivbridge.explainer import worlds
from ivbridge.explainer.records import World
from ivbridge.kclass import estimated
from ivbridge.spec import IVSpec


def asked(plant: Plant) -> World:
    """The question of a plant, as it was asked."""
    data = worlds_by_hand.data()
    spec = IVSpec.from_formula(plant.formula, **{"vcov": "classical", **plant.options})
    return World(seen_of(build(spec, data)), spec, data, spec.method)


def one_step(world: World) -> Iterator[World]:
    for convention in worlds.WORLDS:
        yield from convention(world)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: f"{p.key} {p.note}".strip())
def test_a_world_has_the_coefficients_that_its_convention_gives_by_hand(plant: Plant) -> None:
    coefs = plant.coefs(worlds_by_hand.data())
    question = asked(plant)
    near = []
    for world in one_step(question):
        if world.steps[0].key == plant.key and set(world.seen.x_names) == set(coefs):
            found = dict(zip(world.seen.x_names, estimated(world.seen, world.method).coef, strict=True))
            near.append(max(abs(found[name] - value) / (abs(value) + 1e-6) for name, value in coefs.items()))
    assert near, f"no world of {plant.key} has the terms {sorted(coefs)}"
    assert min(near) < 1e-9

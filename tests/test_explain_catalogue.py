"""Every convention about covariances, distributions and tests is planted without ivbridge, and named."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

import explain_by_hand
import numpy as np
import pytest
import worlds_by_hand
from explain_by_hand import FORMULA, PLANTS, Plant

import ivbridge
from ivbridge.explainer import Explanation, Observed, asked_world, explain, explain_observed
from ivbridge.spec import IVSpec

MILLIONTH = 1 + 1e-6


def explained(plant: Plant, change: float = 1.0) -> Explanation:
    """What the explainer says about a plant, of which one number may be changed."""
    data = explain_by_hand.data()
    options = {"vcov": "classical", **plant.options}
    if plant.arrays is not None:
        vcov = options.pop("vcov")
        reference = ivbridge.fit(FORMULA, data, vcov, **options)
        arrays = {name: values.copy() for name, values in plant.arrays().items()}
        arrays["residuals"][7] *= change
        return explain(reference, dataclasses.replace(reference, **arrays), data)
    numbers = dict(plant.numbers())
    numbers[plant.spoiled] *= change
    world = asked_world(IVSpec.from_formula(FORMULA, **options), data)
    return explain_observed(world, Observed(numbers, {}, "the plant"))


def named(plant: Plant) -> str:
    return f"{plant.key} {plant.note}".strip()


#: One plant of each convention.
FIRST = {plant.key: plant for plant in reversed(PLANTS)}.values()


@pytest.mark.parametrize(
    "plant", [p if p in FIRST else pytest.param(p, marks=pytest.mark.slow) for p in PLANTS], ids=named
)
def test_a_planted_convention_is_named(plant: Plant) -> None:
    found = explained(plant)
    assert found.verdict == "convention", found.reason
    assert sorted(step.key for step in found.steps) == plant.keys, found.reason


#: One of each stage; a search that finds nothing takes longest.
FEW = ("factor.n1_nk", "sigma.n", "sargan.f")


@pytest.mark.parametrize(
    "plant", [p if p.key in FEW else pytest.param(p, marks=pytest.mark.slow) for p in PLANTS], ids=named
)
def test_a_millionth_more_is_not_explained(plant: Plant) -> None:
    found = explained(plant, MILLIONTH)
    assert found.verdict == "none" and found.unexplained, found.reason


def test_a_spoiled_number_is_finite_and_not_zero() -> None:
    """Else a millionth of it would change nothing."""
    for plant in PLANTS:
        if plant.arrays is None:
            value = plant.numbers()[plant.spoiled]
            assert np.isfinite(value) and value, plant
        else:
            assert plant.arrays()["residuals"][7]


@cache
def texts(path: Path) -> frozenset[str]:
    """The texts of a test module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in statements)
    return frozenset(node.value for node in constants if isinstance(node.value, str))


def named_in(name: str) -> frozenset[str]:
    """The conventions that the cases of a test module name."""
    plants = {"test_explain_catalogue.py": PLANTS, "test_explain_worlds.py": worlds_by_hand.PLANTS}
    if name in plants:
        return frozenset(key for plant in plants[name] for key in (plant.key, *getattr(plant, "also", ())))
    return texts(Path(__file__).with_name(name))


def sources() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("catalogue.toml", "catalogue_worlds.toml"):
        text = files("ivbridge.explainer").joinpath(name).read_text(encoding="utf-8")
        found |= {key: entry["source"] for key, entry in tomllib.loads(text).items()}
    return found


def test_who_is_said_to_measure_a_convention_does() -> None:
    for key, source in sources().items():
        claimed = re.findall(r"\btests/(test_\w+\.py)", source.partition("Measured by ")[2])
        assert claimed, f"nothing measures {key}"
        for name in claimed:
            assert key in named_in(name), f"{name} has no case of {key}"

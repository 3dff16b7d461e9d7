"""The catalogue of known conventions: catalogue.toml and catalogue_worlds.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

__all__ = ["Entry", "catalogue"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One known convention.

    Attributes
    ----------
    title, about, source : str
    stage : {"world", "covariance", "inference", "test"}
        What it changes first.
    packages : tuple of str
        Who has it.
    mistake : bool, default False
        Whether no program does it on purpose.
    """

    title: str
    about: str
    stage: Literal["world", "covariance", "inference", "test"]
    source: str
    packages: tuple[str, ...] = ()
    mistake: bool = False


@cache
def catalogue() -> Mapping[str, Entry]:
    """Every convention by the key that a :class:`~ivbridge.explainer.records.Step` has."""
    found: dict[str, Entry] = {}
    for name in ("catalogue_worlds.toml", "catalogue.toml"):
        text = resources.files("ivbridge.explainer").joinpath(name).read_text(encoding="utf-8")
        for key, entry in tomllib.loads(text).items():
            found[key] = Entry(**{**entry, "packages": tuple(entry["packages"])})
    return found

"""The mistakes that are looked for, as ``checks.toml`` lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ivbridge.audit.records import Check

__all__ = ["catalogue"]


@cache
def catalogue() -> Mapping[str, Check]:
    """All checks by their name, in the order of the list."""
    listed = tomllib.loads((Path(__file__).parent / "checks.toml").read_text(encoding="utf-8"))
    return {name: Check(name, **entry) for name, entry in listed.items()}

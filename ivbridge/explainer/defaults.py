"""What programs print by default: a small table (defaults.toml), and the answer that each of them gives."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal

from ivbridge.design import Design
from ivbridge.diagnostics import coefficient_table
from ivbridge.engines import Available, Supported, engine
from ivbridge.errors import UnsupportedError
from ivbridge.results import Estimate
from ivbridge.vcov_text import parse_inference, parse_vcov

__all__ = ["Default", "default_named", "defaults"]


@dataclasses.dataclass(frozen=True, slots=True)
class Default:
    """One way to call a program, and the conventions that come with it.

    Attributes
    ----------
    name : str
        ``"linearmodels"``, ``"Stata, robust"``.
    call, says, source : str
        What the user writes, how a sentence names it, and where it is documented or measured.
    vcov, inference : str
        The same in ivbridge's words.
    divisor : {"n-k", "n"}, default "n-k"
        Of the residual variance.
    engine : str, default "native"
        The engine that runs the program itself, where there is one.
    aliases : tuple of str
    """

    name: str
    call: str
    says: str
    source: str
    vcov: str
    inference: str
    divisor: Literal["n-k", "n"] = "n-k"
    engine: str = "native"
    aliases: tuple[str, ...] = ()

    def answer(self, design: Design) -> Estimate:
        """The answer of the program, run if it can be run here, else computed by the native engine.

        Parameters
        ----------
        design : Design
            Its vcov and inference are replaced by the program's.

        Raises
        ------
        IvbridgeError
            As the engine's.
        """
        spec = dataclasses.replace(design.spec, vcov=parse_vcov(self.vcov), inference=parse_inference(self.inference))
        asked = dataclasses.replace(design, spec=spec)
        chosen = engine(self.engine)
        able = isinstance(chosen.available(), Available) and isinstance(chosen.supports(spec), Supported)
        estimate = (chosen if able else engine("native")).fit(asked)
        return dataclasses.replace(_divided_by_n(estimate) if self.divisor == "n" else estimate, engine=self.name)


def _divided_by_n(estimate: Estimate) -> Estimate:
    """The same with the residual variance divided by n; joint tests, which would change with it, are left out."""
    cov = estimate.cov * (estimate.df_resid / estimate.n)
    coefs = coefficient_table(estimate.terms, estimate.coefs.estimate, cov, estimate.df_resid, estimate.spec.inference)
    left_out = ("sigma", "first stage", *(f"test {key}" for key in estimate.tests))
    lacks = {**estimate.lacks, **dict.fromkeys(left_out, "only the table of coefficients is known")}
    return dataclasses.replace(estimate, coefs=coefs, cov=cov, lacks=lacks)


@cache
def defaults() -> Mapping[str, Default]:
    """All of them by name, in the order of the table."""
    text = resources.files("ivbridge.explainer").joinpath("defaults.toml").read_text(encoding="utf-8")
    return {
        name: Default(name, **{**entry, "aliases": tuple(entry.get("aliases", ()))})
        for name, entry in tomllib.loads(text).items()
    }


def default_named(name: str) -> Default:
    """The default of that name or alias; case does not matter.

    Raises
    ------
    UnsupportedError
        If there is none.
    """
    wanted = name.strip().casefold()
    for entry in defaults().values():
        if wanted in (alias.casefold() for alias in (entry.name, *entry.aliases)):
            return entry
    raise UnsupportedError(f"There is no program {name!r} in the table of defaults.", available="; ".join(defaults()))

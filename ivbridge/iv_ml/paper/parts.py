"""What the paper's tables are made of: worlds, instruments (the rows) and regressions (the columns), by name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ivbridge import iv_ml
from ivbridge.errors import UnsupportedError
from ivbridge.iv_ml.generated import Generator
from ivbridge.iv_ml.method import IVRegression
from ivbridge.iv_ml.mixture_gaussian import PROGRAM
from ivbridge.iv_ml.scenarios.fusion import Fusion, FusionDraw
from ivbridge.iv_ml.scenarios.rules import SHAPES, Reading
from ivbridge.iv_ml.scenarios.semisynthetic import SOURCES, SemiSynthetic

__all__ = ["GROUPS", "INSTRUMENTS", "METHODS", "Instrument", "Method", "World", "draw", "regression", "world"]

World = Fusion | SemiSynthetic

#: Numbers of groups that the paper's program tries.
GROUPS = (2, 3, 5, 10)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A row of the tables.

    Attributes
    ----------
    name : str
        As printed; rows that the paper does not have say in brackets what differs.
    maker : str
        In :data:`ivbridge.iv_ml.GENERATORS`; empty for the true label, "oracle" for the most probable source.
    settings : tuple of (str, object)
        Its hyper-parameters.
    groups : {"", "true", "chosen", "own"}
        The number of groups, where there are groups: that of the world; the one of :data:`GROUPS` at which the
        criterion MMD is smallest on average over the replications, as in the paper's program; or what the maker
        chooses in each replication.
    onehot : bool
        One column a group; otherwise the group's number in one column, as in the paper's program.
    known : bool
        The groups are looked for in X + f(X), Eq. 14, with f known, instead of X.
    """

    name: str
    maker: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    groups: str = ""
    onehot: bool = False
    known: bool = False

    def generator(self, groups: int | None = None) -> Generator:
        """The maker, with so many groups."""
        settings = dict(self.settings) | ({} if groups is None else {"groups": groups})
        made: Generator = iv_ml.generator_class(self.maker)(**settings)
        return made


_PROGRAM: tuple[tuple[str, Any], ...] = (("distribution", "gmm"), ("start", "kmeans"), ("search", PROGRAM))
_FACTOR = (*_PROGRAM, ("representation", "polynomial"))
_PLAIN = (*_PROGRAM, ("representation", "identity"))

#: Rows by name. GIV_EM is what the published program computes: a plain Gaussian mixture of (R, T).
INSTRUMENTS: Mapping[str, Instrument] = {
    row.name: row
    for row in (
        Instrument("NoneIV", "none_iv"),
        Instrument("UAS", "uas"),
        Instrument("WAS", "was"),
        Instrument("ModeIV", "mode_iv", (("by", "loss"),)),
        Instrument("AutoIV", "auto_iv", (("dimension", 1), ("embedding", 1), ("standardize", False))),
        Instrument("GIV_KM", "meta_km", groups="chosen"),
        Instrument("GIV_KM*", "meta_km", groups="true"),
        Instrument("GIV_EM", "meta_em", _FACTOR, groups="chosen"),
        Instrument("GIV_EM*", "meta_em", _FACTOR, groups="true"),
        Instrument("GIV_EM (default)", "meta_em", groups="own"),
        Instrument("GIV_EM (default, one-hot)", "meta_em", groups="own", onehot=True),
        Instrument("TrueIV", groups="true"),
        Instrument("TrueIV (one-hot)", groups="true", onehot=True),
        Instrument("EM", "meta_em", _PLAIN, groups="true"),
        Instrument("Meta-EM", "meta_em", _FACTOR, groups="true"),
        Instrument("Fun-EM", "meta_em", _PLAIN, groups="true", known=True),
        Instrument("Meta-EM (default)", "meta_em", groups="true"),
        Instrument("Oracle", "oracle", groups="true"),
    )
}


@dataclass(frozen=True, slots=True)
class Method:
    """A column of the tables.

    Attributes
    ----------
    title : str
        As printed.
    seconds : float
        CPU time of one replication, roughly: tasks that take long come first.
    settings : mapping
        Where the paper's program differs from the defaults.
    components : bool
        It has a mixture with as many components as there are sources.
    kind : str
        Its name in :data:`ivbridge.iv_ml.METHODS`, where that is not the column's.
    """

    title: str
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    components: bool = False
    kind: str = ""


#: Columns, in the order in which they are printed, then those that the paper does not have.
METHODS: Mapping[str, Method] = {
    "poly2sls": Method("Poly2SLS", 0.02),
    "nn2sls": Method("NN2SLS", 11),
    "kernel_iv": Method("KernelIV", 0.2, {"rows": 1000}),
    "dual_iv": Method("DualIV", 0.02, {"rows": 100, "dual": "outcome"}),
    "deep_iv": Method("DeepIV", 3, {"loss": "bound"}, components=True),
    "one_siv": Method("OneSIV", 6),
    "dfiv": Method("DFIV", 7),
    "deep_gmm": Method("DeepGMM", 6),
    "agmm": Method("AGMM", 5),
    "dual_iv (default)": Method("DualIV (default)", 4, kind="dual_iv"),
}


def regression(key: str, sources: int) -> IVRegression:
    """A method as the paper's program runs it: in the units of the data, for a fixed number of epochs."""
    about = METHODS[key]
    kind = iv_ml.method_class(about.kind or key)
    names = {field.name for field in dataclasses.fields(kind)}
    settings = {"standardize": False, **about.settings}
    settings |= {"stopping": None} if "stopping" in names else {}
    settings |= {"components": sources} if about.components else {}
    made: IVRegression = kind(**settings)
    return made


def world(name: str, reading: Reading = "code", folder: str | None = None) -> World:
    """``Linear-3-3``, ``IHDP``, ``PM-CMR`` or ``Stand-in``.

    Raises
    ------
    UnsupportedError
        If there is no such world.
    """
    for covariates in ("ihdp", "pm_cmr", "standin"):
        made = SemiSynthetic(covariates, reading=reading, folder=folder)
        if made.name == name:
            return made
    found = re.fullmatch(r"([A-Z][a-z]+)-(\d+)-(\d+)", name)
    if found is None or found[1].lower() not in SHAPES:
        worlds = ", ".join(["Linear-3-3 and its like", *(source.title for source in SOURCES.values()), "Stand-in"])
        raise UnsupportedError(f"A world {name!r} was asked.", available=worlds)
    return Fusion(found[1].lower(), int(found[2]), int(found[3]), reading)  # type: ignore[arg-type]


def draw(place: World, seed: int) -> FusionDraw:
    """One replication: 3000 rows a sample in the synthetic worlds, the split units in the others."""
    return place.draw(seed=seed)

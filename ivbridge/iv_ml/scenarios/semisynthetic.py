"""Real covariates, synthetic treatments and outcomes: the IHDP and PM-CMR worlds of Table 3.

The covariates of real units take the place of X in the rules of the synthetic family (Eqs. 14 and 16), so that the true
curve is known. Here the unobserved confounder does not depend on the covariates. No data come with the package:
:data:`SOURCES` says where each file is found, and a copy that differs is refused.

Without any file there is ``"standin"``: six covariates drawn to be like IHDP's, correlated, skewed and clipped.

>>> draw = SemiSynthetic("standin").draw(seed=1)
>>> [sample.data.n for sample in (draw.train, draw.valid, draw.test)]
[470, 201, 76]
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.iv_ml.scenarios import rules
from ivbridge.iv_ml.scenarios.fusion import FusionDraw, drawn
from ivbridge.iv_ml.scenarios.rules import Reading
from ivbridge.records import FloatArray

__all__ = ["FOLDER", "SOURCES", "Covariates", "SemiSynthetic", "Source", "covariates"]

Covariates = Literal["ihdp", "pm_cmr", "standin"]

#: Environment variable that names the folder with the files.
FOLDER = "IVBRIDGE_DATA"

#: Shares of the units to learn from and to tune with; the rest is to judge by.
_TRAIN, _VALID = 0.63, 0.27
#: Covariates in standard deviations are cut off here, as the paper's program does.
_CLIP = 3.0


@dataclass(frozen=True, slots=True)
class Source:
    """Where covariates are found.

    Attributes
    ----------
    title : str
        As the paper writes it.
    file : str
        Name in the folder.
    columns : tuple of str
    units : int
    sha256 : str
        Of the values, rounded to ten decimals, as little-endian doubles row by row: however a file writes them.
    place : str
        Where it can be downloaded.
    """

    title: str
    file: str
    columns: tuple[str, ...]
    units: int
    sha256: str
    place: str


SOURCES: Mapping[str, Source] = {
    "ihdp": Source(
        "IHDP", "ihdp_continuous6.csv", ("x1", "x2", "x3", "x4", "x5", "x6"), 747,
        "24623d84ade02ed33ef948a631cdd8607f19ae55bb5798cdb4274638689f6914",
        "columns 6 to 11 of datasets/IHDP/csv/ihdp_npci_1.csv in https://github.com/AMLab-Amsterdam/CEVAE at commit "
        "9081f863, below a line with the names x1 to x6",
    ),
    "pm_cmr": Source(
        "PM-CMR", "pm_cmr_counties.csv",
        tuple(f"{name}_2000" for name in (
            "civil_unemploy", "median_HH_inc", "eduattain_HS", "femaleHH_ns_pct", "vacant_HHunit", "owner_occ_pct"
        )), 2132,
        "023f486cf2e34f3a3ab0513ad58dd348e21bdf52e525f6b44a541c690dd68718",
        "the file of county variables in https://pasteur.epa.gov/uploads/10.23719/1506014/SES_PM25_CMR_data.zip, "
        "doi 10.23719/1506014 (Wyatt et al. 2020, Data in Brief 30)",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SemiSynthetic:
    """A world with the covariates of real units.

    Parameters
    ----------
    covariates : {"ihdp", "pm_cmr", "standin"}
    groups : int, default 2
        K, 1 to 5; the published accuracies are those of two sources.
    reading : {"code", "paper"}, default "code"
        See :mod:`ivbridge.iv_ml.scenarios.rules`.
    folder : str, optional
        Where the file is; default the environment variable ``IVBRIDGE_DATA``.

    Raises
    ------
    DataError
        If there is no such world.
    """

    covariates: Covariates
    groups: int = 2
    reading: Reading = "code"
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.covariates not in get_args(Covariates) or self.reading not in get_args(Reading):
            asked = f"Covariates {self.covariates!r}, reading {self.reading!r}, were asked."
            raise DataError(asked, available=f"{', '.join(get_args(Covariates))}; readings code, paper")
        if not 1 <= self.groups <= 5:
            raise DataError(f"{self.groups} sources were asked.", available="1 to 5")

    @property
    def name(self) -> str:
        """As the paper writes it: ``IHDP`` or ``PM-CMR``."""
        return SOURCES[self.covariates].title if self.covariates in SOURCES else "Stand-in"

    def draw(self, seed: int = 1) -> FusionDraw:
        """Split the units at random, 63, 27 and 10 %, and draw sources, treatments and outcomes.

        Raises
        ------
        DataError
            If the file is not found or is another one.
        """
        x = covariates(self.covariates, self.folder)
        random = np.random.default_rng([seed, self.groups, len(x)])
        order = random.permutation(len(x))
        first = int(_TRAIN * len(x))
        cuts = np.split(order, [first, first + int(_VALID * len(x))])
        parts = [(x[rows], random.standard_normal(len(rows))) for rows in cuts]
        w = rules.weights(self.groups, x.shape[1], self.reading, random)
        return drawn(parts, w, "linear", self.reading, random)


def covariates(name: Covariates, folder: str | Path | None = None) -> FloatArray:
    """Covariates (units, 6), each with mean 0 and standard deviation 1, then cut off at ±3.

    Raises
    ------
    DataError
        If the file is not found, or its values are not those of the study.
    """
    if name == "standin":
        return _standin()
    source = SOURCES[name]
    given = folder or os.environ.get(FOLDER)
    download = f"download {source.place}; save it as {source.file} in a folder, and name that with --data or {FOLDER}"
    if not given:
        raise DataError(f"The covariates of {source.title} do not come with the package.", do=f"{download}.")
    path = Path(given) / source.file
    try:
        table = pd.read_csv(path, usecols=list(source.columns))
        values = table[list(source.columns)].to_numpy(np.float64)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.", do=f"{download}.") from None
    found = checksum(values)
    if found != source.sha256:
        seen = f"{path} has {len(values)} units with the checksum {found[:12]}…"
        raise DataError(f"{seen}", available=f"{source.units} units, {source.sha256[:12]}…", do=f"{download}.")
    return _scaled(values)


def checksum(values: FloatArray) -> str:
    """SHA-256 of values (n, m), rounded to ten decimals: the same for all texts that stand for the same numbers."""
    return hashlib.sha256((np.round(values, 10) + 0.0).astype("<f8").tobytes()).hexdigest()


def _scaled(values: FloatArray) -> FloatArray:
    return np.asarray(np.clip((values - values.mean(axis=0)) / values.std(axis=0), -_CLIP, _CLIP))


@cache
def _standin() -> FloatArray:
    """747 units: normal variables, correlated .85 between the first two and .3 otherwise; two skewed, two in steps."""
    random = np.random.default_rng(747)
    correlation = np.full((6, 6), 0.3) + 0.7 * np.eye(6)
    correlation[0, 1] = correlation[1, 0] = 0.85
    values = random.standard_normal((747, 6)) @ np.linalg.cholesky(correlation).T
    values[:, 2] = np.exp(0.5 * values[:, 2])
    values[:, 3] = np.floor(values[:, 3])
    values[:, 4] = -np.exp(0.4 * values[:, 4])
    values[:, 5] = np.round(2 * values[:, 5])
    found = _scaled(values)
    found.setflags(write=False)
    return found

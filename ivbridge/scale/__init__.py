"""The same estimates from data that no memory holds, or that lie on several machines.

>>> import polars as pl
>>> from ivbridge import load, scale
>>> estimate = scale.fit("Q ~ P + D | D + F + A", pl.from_pandas(load("kmenta").frame), vcov="classical")
>>> estimate.params.round(5)["P"]
np.float64(-0.24356)
"""

from __future__ import annotations

from ivbridge.scale.checking import ScaleCheck, check
from ivbridge.scale.cluster import Distributed
from ivbridge.scale.fitting import fit, plan

__all__ = ["Distributed", "ScaleCheck", "check", "fit", "plan"]

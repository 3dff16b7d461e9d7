"""K-means of representation and treatment: what Meta-EM is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final, get_args

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, DesignError
from ivbridge.iv_ml.clusters import kmeans, nearest
from ivbridge.iv_ml.data import IVData, check_treatment
from ivbridge.iv_ml.generated import Coding, Generated, Generator, coded
from ivbridge.iv_ml.group_number import mmd
from ivbridge.iv_ml.representation import FORMS, Form, Representation, represented
from ivbridge.iv_ml.settings import check_choice, check_sizes, seed_of
from ivbridge.records import FloatArray
from ivbridge.threads import one_thread

__all__ = ["MetaKM"]


@dataclass(frozen=True, slots=True, eq=False)
class _Nearest:
    represent: Representation
    centers: FloatArray
    coding: Coding

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        labels = nearest(np.column_stack([t, self.represent(x)]), self.centers)
        return coded(labels, len(self.centers), self.coding)


@final
@dataclass(frozen=True, kw_only=True)
class MetaKM(Generator):
    """K-means of (T, R) as the instrument.

    Parameters
    ----------
    groups : int, optional
        K. Default: the one of ``candidates`` with the smallest MMD.
    candidates : tuple of int, default (2, 3, 5, 10)
        Those of the paper's Figure 4.
    representation : {"polynomial", "identity", "powers", "splines"}, default "polynomial"
    starts : int, default 10
    coding : {"onehot", "label"}, default "onehot"

    Notes
    -----
    R has standard deviation 1, T is taken in its own units: where they are small the groups are those of R, where they
    are large those of T.

    **Known failure.** K-means separates values of T, not rules of assignment: the groups differ in T *and in X and ε*,
    so that they are no valid instrument. It is here because the paper compares with it.

    Source: Wu et al. (2023), Learning instrumental variable from data fusion, footnote 3 and the released program.
    """

    name: ClassVar[str] = "meta_km"
    groups: int | None = None
    candidates: tuple[int, ...] = (2, 3, 5, 10)
    representation: Form = "polynomial"
    starts: int = 10
    coding: Coding = "onehot"

    def __post_init__(self) -> None:
        check_sizes(starts=self.starts, groups=2 if self.groups is None else self.groups)
        check_sizes(several=True, candidates=self.candidates)
        if min(self.candidates if self.groups is None else (self.groups,)) < 2:
            raise DataError(f"groups={self.groups}, candidates={self.candidates} was asked.", available="2 or more")
        check_choice(representation=(self.representation, FORMS), coding=(self.coding, get_args(Coding)))

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """The nearest of K centres.

        Raises
        ------
        DesignError
            If the treatment is constant, no covariate varies, or there are too few different rows.
        """
        check_treatment(data)
        seed = seed_of(seed)
        t, x = data.endog, data.exog
        with one_thread():
            represent = represented(self.representation, x, t)
            values = np.column_stack([t, represent(x)])
            tried = self.candidates if self.groups is None else (self.groups,)
            different = len(np.unique(values, axis=0))
            found = {k: kmeans(values, k, seed, self.starts) for k in tried if k <= different and k < data.n}
        if not found:
            raise DesignError(f"{different} different rows are too few for {min(tried)} groups.", do="ask for fewer.")
        balance = {k: mmd(x, labels, k) for k, (labels, _) in found.items()}
        groups = min(balance, key=lambda k: balance[k])
        labels, centers = found[groups]
        history = pd.DataFrame({"groups": list(balance), "mmd": list(balance.values())})
        return Generated(
            self.name,
            coded(labels, groups, self.coding),
            _Nearest(represent, centers, self.coding),
            labels,
            history=history,
        )

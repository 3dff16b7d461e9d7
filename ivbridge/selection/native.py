"""The native LASSO engine: glmstar, glmnet's own C++ for Python, under our mirror of ``cv.glmnet``.

glmstar's traps that this module steps around: ``fit(sample_weight=)`` is ignored (weights go in by name), an object
keeps ``lambda_min_ratio`` and ``covariance`` of its first fit (a new one for each fit), fatal errors of the solver are
not raised, and its own cross-validation is not R's.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, MissingExtraError
from ivbridge.selection import cv
from ivbridge.selection.cv import Problem
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.mirror import MirrorLasso
from ivbridge.selection.records import LassoPath

__all__ = ["NativeLasso"]

INSTALL = "pip install 'ivbridge[glmnet]'"
#: Other packages that install a module called ``glmnet``; pip lets them overwrite each other's files.
RIVALS = ("python-glmnet", "glmnet")


class NativeLasso(MirrorLasso):
    """glmstar's ``GaussNet`` and ``LogNet`` under the mirror of ``cv.glmnet``."""

    name: ClassVar[str] = "native"
    packages: ClassVar[tuple[str, ...]] = ("glmstar", "numpy", "scipy", "pandas")

    def require(self) -> None:
        """Raise MissingExtraError if glmstar is not installed, or another package's module stands in its place."""
        _glmstar()

    def check(self, design: LassoDesign) -> None:
        """Every question that a LassoSpec can ask is answered."""

    def solve(self, problem: Problem) -> tuple[LassoPath, list[str]]:
        """One path by glmstar with the settings that equal R's ``glmnet``, and the texts of its warnings.

        Raises
        ------
        DataError
            If no candidate varies.
        """
        fitted = _estimator(problem)
        weighted = problem.weights is not None
        response = pd.DataFrame({"y": problem.y, "w": problem.weights}) if weighted else problem.y
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted.fit(problem.x, response)
        lambdas = np.array(fitted.lambda_values_, dtype=np.float64)
        if not np.isfinite(lambdas).all():
            raise DataError("No candidate with a penalty varies over the rows that are fitted.")
        path = LassoPath(
            lambdas,
            np.array(fitted.intercepts_, dtype=np.float64).reshape(-1),
            np.array(fitted.coefs_, dtype=np.float64),
            np.array(fitted.summary_["Fraction Deviance Explained"], dtype=np.float64),
        )
        return path, [str(one.message) for one in caught]


def _estimator(problem: Problem) -> Any:
    """A new GaussNet or LogNet."""
    spec, glmnet = problem.spec, _glmstar()
    options: dict[str, Any] = {} if problem.weights is None else {"response_id": "y", "weight_id": "w"}
    if problem.lambdas is not None:
        options["lambda_values"] = np.array(problem.lambdas)
    kind = glmnet.GaussNet if spec.family == "gaussian" else glmnet.LogNet
    return kind(
        alpha=spec.alpha,
        standardize=spec.standardize,
        fit_intercept=spec.intercept,
        penalty_factor=np.array(problem.penalty),
        lambda_min_ratio=problem.smallest,
        nlambda=cv.NLAMBDA,
        control=glmnet.paths.fastnet.FastNetControl(thresh=spec.threshold, maxit=problem.max_passes),
        **options,
    )


@cache
def _glmstar() -> Any:
    """The module ``glmnet`` of glmstar.

    Raises
    ------
    MissingExtraError
        If it is not installed, or another package's module of that name stands in its place.
    """
    present = [name for name in RIVALS if _installed(name)]
    rivals = f" The package {present[0]} is installed and has a module of the same name, glmnet." if present else ""
    do = f"pip uninstall -y {' '.join(present)} glmstar && {INSTALL}" if present else INSTALL
    if not _installed("glmstar"):
        raise MissingExtraError(f"The native LASSO engine needs the package glmstar.{rivals}", do=do)
    try:
        import glmnet
        import glmnet.paths.fastnet
    except ImportError as error:
        raise MissingExtraError(f"glmstar cannot be loaded: {error}.{rivals}", do=do) from error
    if not hasattr(glmnet, "GaussNet"):
        raise MissingExtraError(f"The module glmnet is not glmstar's.{rivals}", do=do)
    return glmnet


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True

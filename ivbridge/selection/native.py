"""The native LASSO engine: glmstar, glmnet's own C++ for Python, under our mirror of ``cv.glmnet``.

glmstar's traps that this module steps around: ``fit(sample_weight=)`` is ignored (weights go in by name), an object
keeps ``lambda_min_ratio`` and ``covariance`` of its first fit (a new one for each fit), fatal errors of the solver are
not raised, and its own cross-validation is not R's.
"""

from __future__ import annotations

import hashlib
import platform
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ivbridge.engines import Available, Unavailable
from ivbridge.errors import DataError, MissingExtraError
from ivbridge.records import FloatArray, Provenance
from ivbridge.selection import compressed, cv, losses
from ivbridge.selection.cv import Problem
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.records import LassoFit, LassoPath
from ivbridge.selection.spec import LassoSpec

__all__ = ["NativeLasso", "Warned", "glmstar_path"]

INSTALL = "pip install 'ivbridge[glmnet]'"
#: Other packages that install a module called ``glmnet``; pip lets them overwrite each other's files.
RIVALS = ("python-glmnet", "glmnet")


class NativeLasso:
    """glmstar's ``GaussNet`` and ``LogNet`` under the mirror of ``cv.glmnet``."""

    name: ClassVar[str] = "native"

    def available(self) -> Available | Unavailable:
        """Whether glmstar is installed and whole."""
        try:
            _glmstar()
        except MissingExtraError as error:
            return Unavailable(error.message, error.do)
        return Available()

    def versions(self) -> Mapping[str, str]:
        """Python and the packages that the numbers depend on."""
        packages = ("glmstar", "numpy", "scipy", "pandas")
        return {"python": platform.python_version(), **{name: version(name) for name in packages}}

    def path(self, design: LassoDesign, lambdas: FloatArray | None = None) -> LassoPath:
        """Solutions on all rows; ``lambdas`` overrides the question's penalties.

        Raises
        ------
        MissingExtraError
            If glmstar is not installed.
        UnsupportedError, DataError
            If glmnet would refuse the question.
        """
        _glmstar()
        cv.check_design(design)
        asked = design.spec.lambdas if lambdas is None else lambdas
        wanted = None if asked is None else np.sort(np.asarray(asked, dtype=np.float64))[::-1]
        return _source(design, Warned()).fit(None, wanted)

    def cv(self, design: LassoDesign) -> LassoFit:
        """The path with its cross-validation.

        Raises
        ------
        MissingExtraError
            If glmstar is not installed.
        UnsupportedError, DataError
            If glmnet would refuse the question.
        """
        _glmstar()
        solve = Warned()
        found = cv.cross_validate(design, _source(design, solve))
        return LassoFit(
            spec=design.spec,
            engine=self.name,
            names=design.names,
            path=found.path,
            cvm=found.curve.cvm,
            cvsd=found.curve.cvsd,
            index_min=found.index_min,
            index_1se=found.index_1se,
            n=design.n,
            data_sha256=design.sha256,
            provenance=Provenance(
                engine=self.name,
                versions=self.versions(),
                platform=platform.platform(),
                script_sha256=_own_sha256(),
                recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
                calls=_calls(design.spec),
            ),
            notes=design.notes,
            warnings=(*found.warnings, *solve.texts),
        )


class Warned:
    """:func:`glmstar_path` with the texts of its warnings kept."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, problem: Problem, ratio: float | None = None) -> LassoPath:
        """Solve one path."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = glmstar_path(problem, ratio=ratio)
        self.texts += [str(one.message) for one in caught]
        return found


def glmstar_path(problem: Problem, *, ratio: float | None = None) -> LassoPath:
    """One path by glmstar with the settings that equal R's ``glmnet``.

    Parameters
    ----------
    problem : Problem
    ratio : float, optional
        Smallest λ over the largest; default by the rule of R for the problem's rows.

    Raises
    ------
    DataError
        If no candidate varies.
    """
    spec, glmnet = problem.spec, _glmstar()
    control = glmnet.paths.fastnet.FastNetControl(thresh=spec.threshold, maxit=problem.max_passes)
    kind = glmnet.GaussNet if spec.family == "gaussian" else glmnet.LogNet
    options: dict[str, Any] = {} if problem.weights is None else {"response_id": "y", "weight_id": "w"}
    if problem.lambdas is not None:
        options["lambda_values"] = np.array(problem.lambdas)
    fitted = kind(
        alpha=spec.alpha,
        standardize=spec.standardize,
        fit_intercept=spec.intercept,
        penalty_factor=np.array(problem.penalty),
        lambda_min_ratio=cv.smallest_ratio(*problem.x.shape) if ratio is None else ratio,
        nlambda=cv.NLAMBDA,
        control=control,
        **options,
    ).fit(problem.x, problem.y if problem.weights is None else pd.DataFrame({"y": problem.y, "w": problem.weights}))
    lambdas = np.array(fitted.lambda_values_, dtype=np.float64)
    if not np.isfinite(lambdas).all():
        raise DataError("No candidate with a penalty varies over the rows that are fitted.")
    share = np.array(fitted.summary_["Fraction Deviance Explained"], dtype=np.float64)
    intercepts = np.array(fitted.intercepts_, dtype=np.float64).reshape(-1)
    return LassoPath(lambdas, intercepts, np.array(fitted.coefs_, dtype=np.float64), share)


def _source(design: LassoDesign, solve: Warned) -> cv.Source:
    rows = cv.Rows(design, solve)
    return compressed.Compressed(design, solve, rows) if compressed.worthwhile(design) else rows


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
    undo = f"pip uninstall -y {' '.join(present)} glmstar; " if present else ""
    if not _installed("glmstar"):
        raise MissingExtraError(f"The native LASSO engine needs the package glmstar.{rivals}", do=undo + INSTALL)
    try:
        import glmnet
        import glmnet.paths.fastnet
    except ImportError as error:
        raise MissingExtraError(f"glmstar cannot be loaded: {error}.{rivals}", do=undo + INSTALL) from error
    if not hasattr(glmnet, "GaussNet"):
        raise MissingExtraError(f"The module glmnet is not glmstar's.{rivals}", do=undo + INSTALL)
    return glmnet


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


@cache
def _own_sha256() -> str:
    """Hash of the modules that compute the native numbers."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *(Path(str(module.__file__)) for module in (compressed, cv, losses))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _calls(spec: LassoSpec) -> tuple[str, ...]:
    return (
        "from ivbridge.selection.design import build_lasso",
        "from ivbridge.selection.engines import lasso_engine",
        f"lasso_engine('native').cv(build_lasso({spec!r}, data))",
    )

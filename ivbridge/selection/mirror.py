"""What the two Python engines share: a solver of paths, put under the mirror of ``cv.glmnet``."""

from __future__ import annotations

import hashlib
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np

from ivbridge.engines import Available, Unavailable
from ivbridge.errors import MissingExtraError
from ivbridge.records import FloatArray, Provenance
from ivbridge.selection.compressed import Compressed, worthwhile
from ivbridge.selection.cv import Problem, Rows, Source, check_design, cross_validate
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.records import LassoFit, LassoPath, LassoSeen

__all__ = ["MirrorLasso"]


class MirrorLasso(ABC):
    """An engine that solves paths in Python. Subclasses say which package does and how."""

    name: ClassVar[str]
    #: Distributions whose versions the numbers depend on.
    packages: ClassVar[tuple[str, ...]]

    @abstractmethod
    def require(self) -> None:
        """Raise MissingExtraError if the engine's package is not there."""

    @abstractmethod
    def check(self, design: LassoDesign) -> None:
        """Raise UnsupportedError if the engine does not offer what the question asks."""

    @abstractmethod
    def solve(self, problem: Problem) -> tuple[LassoPath, list[str]]:
        """Solutions of one path, and the texts of warnings."""

    def available(self) -> Available | Unavailable:
        """Whether the engine's package is installed and whole."""
        try:
            self.require()
        except MissingExtraError as error:
            return Unavailable(error.message, error.do)
        return Available()

    def versions(self) -> Mapping[str, str]:
        """Python and the packages that the numbers depend on."""
        return {"python": platform.python_version(), **{name: version(name) for name in self.packages}}

    def path(self, design: LassoDesign, lambdas: FloatArray | None = None) -> LassoPath:
        """Solutions on all rows, R's ``glmnet``; ``lambdas`` overrides the question's penalties.

        Raises
        ------
        MissingExtraError
            If the engine's package is not installed.
        UnsupportedError, DataError
            If glmnet would refuse the question, or the engine does not offer it.
        """
        asked = design.spec.lambdas if lambdas is None else lambdas
        wanted = None if asked is None else np.sort(np.asarray(asked, dtype=np.float64))[::-1]
        return self._source(design, []).fit(None, wanted)

    def cv(self, design: LassoDesign) -> LassoFit:
        """The path with its cross-validation, R's ``cv.glmnet``.

        Raises
        ------
        MissingExtraError
            If the engine's package is not installed.
        UnsupportedError, DataError
            If glmnet would refuse the question, or the engine does not offer it.
        """
        texts: list[str] = []
        found = cross_validate(design, self._source(design, texts))
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
            provenance=self._provenance(design),
            notes=design.notes,
            warnings=(*found.warnings, *texts),
            seen=LassoSeen(design.rows, design.foldid, design.levels),
        )

    def _source(self, design: LassoDesign, texts: list[str]) -> Source:
        self.require()
        check_design(design)
        self.check(design)

        def solve(problem: Problem) -> LassoPath:
            path, warned = self.solve(problem)
            texts.extend(warned)
            return path

        rows = Rows(design, solve)
        return Compressed(design, solve, rows) if worthwhile(design) else rows

    def _provenance(self, design: LassoDesign) -> Provenance:
        return Provenance(
            engine=self.name,
            versions=self.versions(),
            platform=platform.platform(),
            script_sha256=_own_sha256(),
            recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
            calls=(
                "from ivbridge.selection.design import build_lasso",
                "from ivbridge.selection.engines import lasso_engine",
                f"lasso_engine({self.name!r}).cv(build_lasso({design.spec!r}, data))",
            ),
        )


@cache
def _own_sha256() -> str:
    """Hash of the modules that compute the numbers around the solver."""
    digest = hashlib.sha256()
    for name in ("mirror", "cv", "losses", "compressed"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()

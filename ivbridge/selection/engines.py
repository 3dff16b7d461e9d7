"""LASSO engines: each one answers a :class:`~ivbridge.selection.design.LassoDesign`.

:data:`LASSO_ENGINES` names where each one lives; nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import ClassVar, Protocol

from ivbridge.engines import Available, Unavailable
from ivbridge.errors import UnsupportedError
from ivbridge.records import FloatArray
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.records import LassoFit, LassoPath

__all__ = ["LASSO_ENGINES", "LassoEngine", "lasso_engine"]


class LassoEngine(Protocol):
    """What a LASSO engine has to offer."""

    name: ClassVar[str]

    def available(self) -> Available | Unavailable:
        """Whether the engine can run on this machine."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Versions of everything that the numbers depend on."""
        ...

    def path(self, design: LassoDesign, lambdas: FloatArray | None = None) -> LassoPath:
        """Solutions on all rows, R's ``glmnet``; ``lambdas`` overrides the question's penalties.

        Fewer than two penalties may be given here.
        """
        ...

    def cv(self, design: LassoDesign) -> LassoFit:
        """The path with its cross-validation, R's ``cv.glmnet``."""
        ...


LASSO_ENGINES: dict[str, str] = {
    "native": "ivbridge.selection.native:NativeLasso",
    "r": "ivbridge.selection.r:RLasso",
    "sklearn": "ivbridge.selection.scikit:ScikitLasso",
}


def lasso_engine(name: str) -> LassoEngine:
    """The LASSO engine of that name.

    Raises
    ------
    UnsupportedError
        If no engine has that name.
    """
    if name not in LASSO_ENGINES:
        raise UnsupportedError(f"There is no LASSO engine {name!r}.", available=", ".join(sorted(LASSO_ENGINES)))
    module, _, attribute = LASSO_ENGINES[name].partition(":")
    found: LassoEngine = getattr(importlib.import_module(module), attribute)()
    return found

"""Nonlinear instrumental variables: estimators with networks and kernels, and instruments that were never recorded.

A method is a record of hyper-parameters; ``fit(data)`` returns a :class:`~ivbridge.iv_ml.curves.Curve`.

>>> from ivbridge import iv_ml
>>> sorted(iv_ml.METHODS)  # doctest: +ELLIPSIS
['agmm', ...]

Nothing is imported before it is used: methods without networks need no PyTorch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ivbridge.errors import UnsupportedError

__all__ = ["GENERATORS", "METHODS", "Curve", "IVData", "generator_class", "method_class"]

#: IV regressions by name: module and class.
METHODS: Mapping[str, str] = {
    "agmm": "agmm.AGMM",
    "deep_gmm": "deep_gmm.DeepGMM",
    "deep_iv": "deep_iv.DeepIV",
    "dfiv": "dfiv.DFIV",
    "dml_iv": "dml_iv.DMLIV",
    "dual_iv": "dual_iv.DualIV",
    "kernel_iv": "kernel_iv.KernelIV",
    "linear_2sls": "linear_2sls.Linear2SLS",
    "mode_ensemble": "mode_ensemble.ModeEnsemble",
    "nn2sls": "nn2sls.NN2SLS",
    "one_siv": "one_siv.OneSIV",
    "poly2sls": "poly2sls.Poly2SLS",
}

#: Instruments made from T and X by name: module and class.
GENERATORS: Mapping[str, str] = {
    "auto_iv": "auto_iv.AutoIV",
    "meta_em": "meta_em.MetaEM",
    "meta_km": "meta_km.MetaKM",
    "mode_iv": "mode_iv.ModeIV",
    "none_iv": "none_iv.NoneIV",
    "uas": "allele_scores.UAS",
    "was": "allele_scores.WAS",
}

_HOMES = {"Curve": "curves", "IVData": "data"}


def method_class(name: str) -> Any:
    """The class of an IV regression, a subclass of :class:`~ivbridge.iv_ml.method.IVRegression`.

    Raises
    ------
    UnsupportedError
        If there is none of this name.
    """
    return _found(name, METHODS, "regression")


def generator_class(name: str) -> Any:
    """The class of a maker of instruments, a subclass of :class:`~ivbridge.iv_ml.generated.Generator`.

    Raises
    ------
    UnsupportedError
        If there is none of this name.
    """
    return _found(name, GENERATORS, "generation")


def _found(name: str, table: Mapping[str, str], folder: str) -> Any:
    if name not in table:
        raise UnsupportedError(f"There is no {folder} {name!r}.", available=", ".join(sorted(table)))
    module, _, wanted = table[name].partition(".")
    return getattr(importlib.import_module(f"{__name__}.{folder}.{module}"), wanted)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    for table, folder in ((METHODS, "regression"), (GENERATORS, "generation")):
        for key, place in table.items():
            if place.partition(".")[2] == name:
                return _found(key, table, folder)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

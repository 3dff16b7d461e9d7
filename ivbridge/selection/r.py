"""The R engine: ``glmnet::cv.glmnet`` in a worker process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from ivbridge.engines import Available, Unavailable
from ivbridge.engines.limits import timeout_now
from ivbridge.engines.process import RWorker, default_worker
from ivbridge.errors import RNotAvailableError
from ivbridge.records import FloatArray, Provenance
from ivbridge.resources import scripts_dir
from ivbridge.selection.cv import check_design
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.records import LassoFit, LassoPath, LassoSeen
from ivbridge.selection.spec import FoldColumn, LassoSpec

__all__ = ["RLasso"]

PACKAGES = ("glmnet", "Matrix")
#: Seconds that R may take unless `r_limits` says otherwise: a path at a threshold of 1e-14 is a matter of minutes.
SECONDS = 3600.0

_facts: WeakKeyDictionary[RWorker, Mapping[str, Any]] = WeakKeyDictionary()


class RLasso:
    """``glmnet::cv.glmnet`` and ``glmnet::glmnet`` in a process of its own.

    Random folds are R's own: it runs ``set.seed(seed); cv.glmnet(x, y, nfolds = k)``, and the folds that it drew come
    back in :attr:`LassoFit.seen`.
    """

    name: ClassVar[str] = "r"

    def available(self) -> Available | Unavailable:
        """Whether R, glmnet and rpy2 work together here; starts the worker."""
        try:
            self.versions()
        except RNotAvailableError as error:
            return Unavailable(error.message, error.do)
        return Available()

    def versions(self) -> Mapping[str, str]:
        """R, glmnet and Matrix.

        Raises
        ------
        RNotAvailableError
            If one of them is missing; the message says ``ivbridge setup-r``.
        """
        worker = default_worker()
        if worker not in _facts:
            found = worker.call("ivb_provenance", packages=list(PACKAGES)).value
            _check_installed(found["packages"])
            _facts[worker] = found
        found = _facts[worker]
        return {"R": found["r"][0], **{name: value[0] for name, value in found["packages"].items()}}

    def path(self, design: LassoDesign, lambdas: FloatArray | None = None) -> LassoPath:
        """``glmnet::glmnet(x, y, …)``.

        Raises
        ------
        RNotAvailableError
            If R, glmnet or rpy2 is missing.
        DataError, UnsupportedError
            If glmnet would refuse the data; in the words of the other engines.
        RError, RTimeoutError, RDiedError
            If R fails while it works.
        """
        self.versions()
        check_design(design)
        options = _options(design)
        if lambdas is not None:
            options["lambda"] = np.sort(np.asarray(lambdas, dtype=np.float64))[::-1].copy()
        reply = default_worker().call(
            "ivb_glmnet_path", timeout=timeout_now(SECONDS), **_matrices(design), options=options
        )
        return _path(reply.value)

    def cv(self, design: LassoDesign) -> LassoFit:
        """``glmnet::cv.glmnet(x, y, …)``.

        Raises
        ------
        RNotAvailableError
            If R, glmnet or rpy2 is missing.
        DataError, UnsupportedError
            If glmnet would refuse the data; in the words of the other engines.
        RError, RTimeoutError, RDiedError
            If R fails while it works.
        """
        versions = self.versions()
        check_design(design)
        arguments = {**_matrices(design), "folds": _folds(design), "options": _options(design)}
        arguments["type.measure"] = design.spec.type_measure
        reply = default_worker().call("ivb_cv_glmnet", timeout=timeout_now(SECONDS), **arguments)
        value = reply.value
        return LassoFit(
            spec=design.spec,
            engine=self.name,
            names=tuple(value["names"]),
            path=_path(value),
            cvm=value["cvm"],
            cvsd=value["cvsd"],
            index_min=int(value["index_min"][0]) - 1,
            index_1se=int(value["index_1se"][0]) - 1,
            n=int(value["n"][0]),
            data_sha256=design.sha256,
            provenance=_provenance(design.spec, versions),
            notes=design.notes,
            warnings=reply.remarks,
            seen=LassoSeen(design.rows, value["foldid"].astype(np.int64), _levels(design.levels, value["classes"])),
        )


def _check_installed(packages: Mapping[str, Sequence[str | None]]) -> None:
    missing = [name for name in PACKAGES if packages[name][0] is None]
    if missing:
        raise RNotAvailableError(
            f"The R package {missing[0]!r} is not installed.",
            do=f'run `ivbridge setup-r`, or in R: install.packages("{missing[0]}").',
        )


def _matrices(design: LassoDesign) -> dict[str, Any]:
    """x, y and the names of x; a sparse x as the four parts that R's ``sparseMatrix`` takes."""
    x: Any = design.x
    if sparse.issparse(x):
        dim = np.array(x.shape, dtype=np.int32)
        x = {"i": x.indices.astype(np.int32), "p": x.indptr.astype(np.int32), "x": x.data, "dim": dim}
    return {"x": x, "y": _response(design), "names": list(design.names)}


def _response(design: LassoDesign) -> Any:
    """y; for binomial the values themselves, so that R finds the levels and their order itself."""
    if not design.levels:
        return design.y
    values = _values(design.levels)
    dtype = {bool: np.bool_, float: np.float64}.get(type(values[0]), object)
    return np.array(values, dtype=dtype)[design.y.astype(np.int64)]


def _values(levels: Sequence[str]) -> list[Any]:
    """The two levels as the logical values or numbers that they are the text of, if they are."""
    if set(levels) == {"False", "True"}:
        return [level == "True" for level in levels]
    try:
        numbers = [float(level) for level in levels]
    except ValueError:
        return list(levels)
    # "10" before "9": such a column was text
    return list(numbers) if numbers == sorted(numbers) else list(levels)


def _levels(levels: Sequence[str], classes: Sequence[str] | None) -> tuple[str, ...]:
    """R's class names in R's order, written as the design writes them."""
    shown = {
        {True: "TRUE", False: "FALSE"}[value] if isinstance(value, bool)
        else f"{value:.15g}" if isinstance(value, float)
        else value: level
        for value, level in zip(_values(levels), levels, strict=True)
    }  # fmt: skip
    return tuple(shown.get(name, name) for name in classes or ())


def _folds(design: LassoDesign) -> dict[str, Any]:
    folds = design.spec.folds
    if isinstance(folds, FoldColumn):
        return {"foldid": design.foldid.astype(np.int32)}
    return {"k": folds.k, "seed": folds.seed, "sample.kind": folds.sample_kind}


def _options(design: LassoDesign) -> dict[str, Any]:
    spec = design.spec
    return {
        "weights": design.weights,
        "penalty.factor": None if spec.penalty_factor is None else design.penalty,
        "lambda": None if spec.lambdas is None else np.array(spec.lambdas),
        "alpha": spec.alpha,
        "standardize": spec.standardize,
        "intercept": spec.intercept,
        "family": spec.family,
        "thresh": spec.threshold,
    }


def _path(value: Mapping[str, Any]) -> LassoPath:
    return LassoPath(value["lambda"], value["a0"], np.ascontiguousarray(value["beta"].T), value["dev_ratio"])


def _provenance(spec: LassoSpec, versions: Mapping[str, str]) -> Provenance:
    facts = _facts[default_worker()]
    return Provenance(
        engine=RLasso.name,
        versions=versions,
        platform=f"{facts['platform'][0]} ({facts['system'][0]})",
        blas=facts["blas"][0] or facts["lapack"][0] or "unknown",
        threads="1",
        script_sha256=hashlib.sha256((scripts_dir() / "cv_glmnet.R").read_bytes()).hexdigest(),
        recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
        calls=_calls(spec),
    )


def _calls(spec: LassoSpec) -> tuple[str, ...]:
    """R that gives the same numbers by hand; arguments at their defaults are left out."""
    arguments = []
    if spec.weights:
        arguments.append(f"weights = used[[{_quoted(spec.weights)}]]")
    if spec.penalty_factor is not None:
        arguments.append(f"penalty.factor = c({', '.join(f'{one:.17g}' for one in spec.penalty_factor)})")
    if spec.lambdas is not None:
        arguments.append(f"lambda = c({', '.join(f'{one:.17g}' for one in spec.lambdas)})")
    changed = {"alpha": (spec.alpha, 1), "thresh": (spec.threshold, 1e-7)}
    arguments += [f"{name} = {value:.17g}" for name, (value, default) in changed.items() if value != default]
    arguments += ["maxit = 1e8"] if spec.threshold < 1e-7 else []
    switches = {"standardize": spec.standardize, "intercept": spec.intercept}
    arguments += [f"{name} = FALSE" for name, on in switches.items() if not on]
    arguments += [f'family = "{spec.family}"'] if spec.family != "gaussian" else []
    arguments += [f'type.measure = "{spec.type_measure}"'] if spec.type_measure != "default" else []
    seed: tuple[str, ...] = ()
    if isinstance(spec.folds, FoldColumn):
        arguments.append(f"foldid = used[[{_quoted(spec.folds.column)}]]")
    else:
        arguments.append(f"nfolds = {spec.folds.k}")
        kind = f', sample.kind = "{spec.folds.sample_kind}"' if spec.folds.sample_kind != "Rejection" else ""
        seed = (f"set.seed({spec.folds.seed}{kind})",)
    columns = ", ".join(map(_quoted, spec.columns))
    return (
        "library(glmnet)",
        f"used <- na.omit(data[c({columns})])",
        f"x <- as.matrix(used[c({', '.join(map(_quoted, spec.candidates))})])",
        *seed,
        f"fit <- cv.glmnet(x, used[[{_quoted(spec.dependent)}]], {', '.join(arguments)})",
        f'coef(fit, s = "lambda.{spec.rule}")',
    )


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)

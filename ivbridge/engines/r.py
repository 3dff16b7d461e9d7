"""The R engine: AER::ivreg with sandwich and lmtest, and R code of our own for the k-class, in a worker process."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from ivbridge import diagnostics
from ivbridge.asked import asked_vcov, seen_of
from ivbridge.design import Design
from ivbridge.engines import Available, Supported, Unavailable, Unsupported, without_effects
from ivbridge.engines.memory import give_back
from ivbridge.engines.process import RReply, RWorker, default_worker
from ivbridge.engines.r_calls import by_hand, departures, r_vcov
from ivbridge.errors import DesignError, RError, RNotAvailableError
from ivbridge.method import Fuller, TwoStage
from ivbridge.records import Coefficients, FirstStage, FloatArray, IntArray, NotApplicable, Provenance, Seen, Test
from ivbridge.resources import scripts_dir
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.vcov import Z

__all__ = ["REngine", "ask", "inference_call"]

PACKAGES = ("AER", "sandwich", "lmtest", "car", "Formula")


#: Rows from which the memory of a question is worth a millisecond.
LARGE = 100_000


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What R keeps for one question, and what it said of it; without its matrices where they are the design's."""

    key: str
    value: Mapping[str, Any]
    warnings: tuple[str, ...]


_loaded: WeakKeyDictionary[RWorker, _Loaded] = WeakKeyDictionary()
_provenance: WeakKeyDictionary[RWorker, Mapping[str, Any]] = WeakKeyDictionary()


class REngine:
    """``AER::ivreg`` (``summary.ivreg``, ``sandwich``, ``lmtest``) in a process of its own."""

    name: ClassVar[str] = "r"

    def available(self) -> Available | Unavailable:
        """Whether R, its packages and rpy2 work together here; starts the worker."""
        try:
            self._facts(default_worker())
        except RNotAvailableError as error:
            return Unavailable(error.message, error.do)
        return Available()

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Every question that an :class:`IVSpec` can ask, but for absorbed fixed effects."""
        return without_effects(spec)

    def versions(self) -> Mapping[str, str]:
        """R and the packages that the numbers depend on."""
        versions: Mapping[str, str] = self._facts(default_worker())["versions"]
        return versions

    def fit(self, design: Design) -> Estimate:
        """Answer the question.

        Raises
        ------
        RNotAvailableError
            If R, a package or rpy2 is missing.
        RError, RTimeoutError, RDiedError
            If R fails while it works.
        UnsupportedError, DataError, DesignError
            As the native engine's, in the same words.
        """
        vcov = asked_vcov(design.spec)
        native = seen_of(design)
        inapplicable = diagnostics.inapplicable(native, design.spec.method, vcov)
        spec = design.spec
        function, arguments = inference_call(spec, inapplicable)
        inferred = ask(design, function, **arguments)
        worker = default_worker()
        loaded, facts = _loaded[worker], self._facts(worker)
        provenance = Provenance(
            engine=self.name,
            versions=facts["versions"],
            platform=facts["platform"],
            blas=facts["blas"],
            threads="1",
            script_sha256=_scripts_sha256(spec),
            recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
            calls=by_hand(design, vcov),
        )
        warnings = (*loaded.warnings, *inferred.remarks)
        seen = _seen(loaded.value, native)
        tests = _tests(seen, inferred.value, inapplicable)
        found = _estimate(design, seen, tests, {**loaded.value, **inferred.value}, provenance, warnings)
        return dataclasses.replace(found, notes=(*found.notes, *departures(design, vcov)))

    def _facts(self, worker: RWorker) -> Mapping[str, Any]:
        if worker not in _provenance:
            found = _facts(worker.call("ivb_provenance", packages=list(PACKAGES)).value)
            found["versions"]["bridge"] = worker.connection
            _provenance[worker] = found
        return _provenance[worker]


def _facts(value: Mapping[str, Any]) -> dict[str, Any]:
    packages = {name: found[0] for name, found in value["packages"].items()}
    return {
        "versions": {"R": value["r"][0], **packages},
        "platform": f"{value['platform'][0]} ({value['system'][0]})",
        "blas": value["blas"][0] or value["lapack"][0] or "unknown",
    }


def _load(worker: RWorker, design: Design) -> _Loaded:
    """Send the data unless R already holds this question; R builds its own matrices from frame and formula."""
    formula = design.spec.to_r()
    key = hashlib.sha256("\0".join((design.sha256, formula, design.spec.weights or "")).encode()).hexdigest()
    known = _loaded.get(worker)
    if known is None or known.key != key:
        reply = worker.call("ivb_load", key=key, formula=formula, data=design.frame, weights=design.spec.weights)
        known = _loaded[worker] = _Loaded(key, _without_copies(reply.value, design), reply.remarks)
    return known


def _without_copies(value: Mapping[str, Any], design: Design) -> dict[str, Any]:
    """What R loaded; matrices that have the names and the bits of the design's are left out: one copy is enough."""
    mine = {"y": design.y, "x": design.x, "z": design.z, "weights": design.weights}
    same_names = (tuple(value["x_names"]), tuple(value["z_names"])) == (design.x_names, design.z_names)
    same = [name for name, array in mine.items() if same_names and _same_bits(array, value[name])]
    # all arrays of a large answer are parts of one block of memory: what stays is copied, so that the rest can go
    return {name: np.array(item) if isinstance(item, np.ndarray) else item for name, item in value.items()
            if name not in same}  # fmt: skip


def _same_bits(mine: FloatArray | None, found: FloatArray | None) -> bool:
    if mine is None or found is None or mine.shape != found.shape or found.dtype != mine.dtype:
        return mine is found is None
    # one column at a time: no copy of a whole matrix, whatever its memory layout
    pairs = zip(mine.reshape(len(mine), -1).T, found.reshape(len(found), -1).T, strict=True)
    return all(np.array_equal(_bits(one), _bits(other)) for one, other in pairs)


def _bits(column: FloatArray) -> IntArray:
    return np.ascontiguousarray(column).view(np.int64)


def inference_call(spec: IVSpec, inapplicable: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The function of the R scripts that answers a question about loaded data, and its arguments but ``key``.

    Parameters
    ----------
    spec : IVSpec
        Names a vcov.
    inapplicable : collection of str
        Keys of the tests that have no value.
    """
    arguments: dict[str, Any] = {
        "vcov": r_vcov(asked_vcov(spec)),
        "df": math.inf if isinstance(spec.inference, Z) else spec.inference.df,
        "skip": [key for key in inapplicable if key not in ("sargan", "anderson_rubin")],
    }
    if isinstance(spec.method, TwoStage):
        return "ivb_infer", arguments
    return "ivb_kclass", {"fuller": spec.method.a if isinstance(spec.method, Fuller) else 0.0, **arguments}


def ask(design: Design, function: str, **arguments: Any) -> RReply:
    """Call a function of the R scripts on a question, which is sent first unless R holds it.

    Parameters
    ----------
    design : Design
    function : str
        Its first argument is ``key``, which names the question.
    **arguments
        As for :meth:`ivbridge.engines.process.RWorker.call`.

    Raises
    ------
    RNotAvailableError, RError, RTimeoutError, RDiedError
        As for that method.
    DesignError
        If prewhitening fails.
    """
    worker = default_worker()
    for _ in range(2):
        loaded = _load(worker, design)
        if len(design.rows) >= LARGE:
            give_back()
        try:
            return worker.call(function, key=loaded.key, **arguments)
        except RError as error:
            if "ivb_prewhitening" in error.classes:
                raise DesignError(error.message, do="ask with prewhite=0.") from error
            if "ivb_stale" not in error.classes:
                raise
            _loaded.pop(worker, None)  # the worker was replaced or now holds another question
    raise RError("R lost the fitted model between two calls.", do="run the command again.")


def _scripts_sha256(spec: IVSpec) -> str:
    """Hash of the R scripts that compute the numbers."""
    names = ("covariance.R", "ivreg.R", *(() if isinstance(spec.method, TwoStage) else ("kclass.R",)))
    return hashlib.sha256(b"".join((scripts_dir() / name).read_bytes() for name in names)).hexdigest()


def _table(value: Mapping[str, Any]) -> Coefficients:
    names = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")
    return Coefficients(tuple(value["terms"]), *(np.asarray(value[name], dtype=float) for name in names))


def _scalar(value: Any) -> float:
    return float(np.asarray(value, dtype=float).ravel()[0])


def _seen(loaded: Mapping[str, Any], native: Seen) -> Seen:
    """R's side of the handshake; cluster codes are the design's, since sandwich only needs their partition."""
    matrices: dict[str, Any] = {name: loaded.get(name, getattr(native, name)) for name in ("y", "x", "z", "weights")}
    found: dict[str, Any] = {
        "rows": np.asarray(loaded["rows"], dtype=np.int64) - 1,
        "x_names": tuple(loaded["x_names"]),
        "z_names": tuple(loaded["z_names"]),
        "aliased": tuple(loaded["aliased"] or ()),
        "aliased_instruments": tuple(loaded["aliased_instruments"] or ()),
        "levels": {name: tuple(levels) for name, levels in (loaded["levels"] or {}).items()},
        **{name: None if value is None else np.asarray(value, dtype=float) for name, value in matrices.items()},
    }
    return dataclasses.replace(native, **found)


def _estimate(
    design: Design, seen: Seen, tests: Mapping[str, Test | NotApplicable], value: Mapping[str, Any],
    provenance: Provenance, warnings: tuple[str, ...],
) -> Estimate:  # fmt: skip
    n = len(seen.rows)
    stages = (value["first_stages"] or {}).items()
    return Estimate(
        spec=design.spec,
        engine=REngine.name,
        coefs=_table(value["coefs"]),
        cov=np.atleast_2d(np.asarray(value["cov"], dtype=float)),
        residuals=np.asarray(value["residuals"], dtype=float),
        fitted=np.asarray(value["fitted"], dtype=float),
        n=n,
        df_resid=int(_scalar(value["df_resid"])),
        sigma=_scalar(value["sigma"]),
        r2=_scalar(value["r2"]),
        r2_adj=_scalar(value["r2_adj"]),
        tests=tests,
        first_stages=tuple(_first_stage(name, stage, n, tests[f"weak_instruments:{name}"]) for name, stage in stages),
        seen=seen,
        data_sha256=design.sha256,
        provenance=provenance,
        notes=design.notes,
        warnings=warnings,
        kappa=_scalar(value["kappa"]) if "kappa" in value else None,
    )


def _tests(
    seen: Seen, inferred: Mapping[str, Any], inapplicable: Mapping[str, NotApplicable]
) -> dict[str, Test | NotApplicable]:
    """AER's diagnostics matrix (rows: weak instruments, Wu–Hausman, Sargan; columns df1, df2, statistic, p)."""
    endog = seen.endog_names
    titles = {
        f"weak_instruments:{x}": f"Weak instruments ({x})" if len(endog) > 1 else "Weak instruments" for x in endog
    }
    titles |= {"wu_hausman": "Wu-Hausman", "sargan": "Sargan"} if endog else {}
    titles |= {"anderson_rubin": diagnostics.OVERID} if "kappa" in inferred else {}
    found: dict[str, Test | NotApplicable] = {}
    for i, (key, title) in enumerate(titles.items()):
        df1, df2, statistic, p_value = np.asarray(inferred["diagnostics"], dtype=float)[i].tolist()
        chi2 = key in ("sargan", "anderson_rubin")
        found[key] = Test(title, statistic, p_value, df1, math.inf if chi2 else df2, "chi2" if chi2 else "F")
    found["wald"] = _wald(inferred["wald"])
    return {**found, **inapplicable}


def _wald(value: Any) -> Test | NotApplicable:
    if value is None:
        return NotApplicable("Wald test", diagnostics.SINGULAR)
    statistic, p_value, df1, *df2 = (float(cell) for cell in np.asarray(value, dtype=float))
    return Test("Wald test", statistic, p_value, df1, df2[0] if df2 else math.inf, "F" if df2 else "chi2")


def _first_stage(name: str, value: Mapping[str, Any], n: int, weak: Test | NotApplicable) -> FirstStage:
    return FirstStage(
        endog=name,
        coefs=_table(value["coefs"]),
        cov=np.atleast_2d(np.asarray(value["cov"], dtype=float)),
        n=n,
        df_resid=int(_scalar(value["df_resid"])),
        r2=_scalar(value["r2"]),
        r2_adj=_scalar(value["r2_adj"]),
        sigma=_scalar(value["sigma"]),
        weak=weak,
    )

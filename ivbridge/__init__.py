"""Does my Python number equal R's, and if not, why? Instrumental-variable estimates from both, and one verdict.

>>> import ivbridge
>>> data = ivbridge.load("kmenta").frame
>>> ivbridge.fit("Q ~ P + D | D + F + A", data, vcov="classical").params.round(5)["P"]
np.float64(-0.24356)

Nothing is imported before it is used; in particular neither R nor rpy2 is needed for ``engine="native"``.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ivbridge.api": ("fit",),
    "ivbridge.agreement": ("Agreement", "Comparison"),
    "ivbridge.compare": ("agree", "crosscheck"),
    "ivbridge.data": ("Dataset", "datasets", "load", "read"),
    "ivbridge.encouragement.analysis": ("encourage",),
    "ivbridge.encouragement.options": ("EncourageOptions",),
    "ivbridge.encouragement.reading": ("read_users",),
    "ivbridge.encouragement.report": ("EncourageReport",),
    "ivbridge.encouragement.simulated": ("SimulatedUsers", "simulated_users"),
    "ivbridge.errors": (
        "DataError",
        "DesignError",
        "DisagreementError",
        "EngineError",
        "FormulaError",
        "IvbridgeError",
        "MissingExtraError",
        "RDiedError",
        "RError",
        "RNotAvailableError",
        "RTimeoutError",
        "UnsupportedError",
    ),
    "ivbridge.method": ("Fuller", "LIML", "Method", "TwoStage"),
    "ivbridge.post": ("PostResult", "post_figures"),
    "ivbridge.records": ("Coefficients", "FirstStage", "NotApplicable", "Provenance", "Test"),
    "ivbridge.rrandom": ("RRandom",),
    "ivbridge.selection.check": ("LassoAgreement", "agree_lasso", "crosscheck_lasso"),
    "ivbridge.selection.checked": ("SelectionAgreement", "crosscheck_selection"),
    "ivbridge.selection.design": ("LassoDesign", "build_lasso"),
    "ivbridge.selection.engines": ("lasso_engine",),
    "ivbridge.selection.fragility": ("NearTie", "fragility"),
    "ivbridge.selection.records": ("LassoFit", "LassoPath"),
    "ivbridge.simulate": ("SCENARIOS",),
    "ivbridge.results": ("Estimate",),
    "ivbridge.selection.question": ("SelectOptions", "SelectionSpec"),
    "ivbridge.selection.select": ("select_instruments",),
    "ivbridge.selection.selected": ("Selection",),
    "ivbridge.selection.spec": ("FoldColumn", "Folds", "LassoSpec"),
    "ivbridge.spec": ("IVSpec", "from_arrays"),
    "ivbridge.vcov": (
        "HC0",
        "HC1",
        "HC2",
        "HC3",
        "HC4",
        "HC5",
        "Andrews",
        "Bekker",
        "Bootstrap",
        "Classical",
        "Clustered",
        "DriscollKraay",
        "HC4m",
        "NeweyWest",
        "PanelCorrected",
        "T",
        "Vcov",
        "Z",
    ),
    "ivbridge.vcov_text": ("parse_vcov",),
    "ivbridge.weak_records": ("ConfidenceSet", "EffectiveF"),
    "ivbridge.weakiv": ("anderson_rubin", "confidence_set", "effective_f"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "HC0",
    "HC1",
    "HC2",
    "HC3",
    "HC4",
    "HC5",
    "LIML",
    "SCENARIOS",
    "Agreement",
    "Andrews",
    "Bekker",
    "Bootstrap",
    "Classical",
    "Clustered",
    "Coefficients",
    "Comparison",
    "ConfidenceSet",
    "DataError",
    "Dataset",
    "DesignError",
    "DisagreementError",
    "DriscollKraay",
    "EffectiveF",
    "EncourageOptions",
    "EncourageReport",
    "EngineError",
    "Estimate",
    "FirstStage",
    "FoldColumn",
    "Folds",
    "FormulaError",
    "Fuller",
    "HC4m",
    "IVSpec",
    "IvbridgeError",
    "LassoAgreement",
    "LassoDesign",
    "LassoFit",
    "LassoPath",
    "LassoSpec",
    "Method",
    "MissingExtraError",
    "NearTie",
    "NeweyWest",
    "NotApplicable",
    "PanelCorrected",
    "PostResult",
    "Provenance",
    "RDiedError",
    "RError",
    "RNotAvailableError",
    "RRandom",
    "RTimeoutError",
    "SelectOptions",
    "Selection",
    "SelectionAgreement",
    "SelectionSpec",
    "SimulatedUsers",
    "T",
    "Test",
    "TwoStage",
    "UnsupportedError",
    "Vcov",
    "Z",
    "__version__",
    "agree",
    "agree_lasso",
    "anderson_rubin",
    "build_lasso",
    "confidence_set",
    "crosscheck",
    "crosscheck_lasso",
    "crosscheck_selection",
    "datasets",
    "effective_f",
    "encourage",
    "fit",
    "fragility",
    "from_arrays",
    "lasso_engine",
    "load",
    "parse_vcov",
    "post_figures",
    "read",
    "read_users",
    "select_instruments",
    "simulated_users",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ivbridge' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__

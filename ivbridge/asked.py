"""What every engine looks at first: the covariance estimator that a question names, and its side of the handshake."""

from __future__ import annotations

from ivbridge import sandwich
from ivbridge.design import Design
from ivbridge.errors import UnsupportedError
from ivbridge.method import TwoStage, check_vcov
from ivbridge.records import Seen
from ivbridge.spec import IVSpec
from ivbridge.vcov import T, Vcov

__all__ = ["asked_vcov", "options_text", "seen_of"]


def asked_vcov(spec: IVSpec) -> Vcov:
    """The question's vcov, which has no silent default.

    Raises
    ------
    UnsupportedError
        If the question names none, or one that has no definition for its method.
    """
    if spec.vcov is None:
        raise UnsupportedError(
            "The question names no vcov, and engines' defaults differ (linearmodels HC0, summary.ivreg classical, "
            "vcovHC HC3).",
            available='"classical", "HC1", "cluster(state)", …',
            do='pass vcov="HC1", for example.',
        )
    check_vcov(spec.method, spec.vcov)
    return spec.vcov


def options_text(spec: IVSpec) -> str:
    """Weights, inference and method as arguments of a call, where they are not the default ones."""
    extras = {
        "weights": spec.weights,
        "inference": None if spec.inference == T() else str(spec.inference),
        "method": None if isinstance(spec.method, TwoStage) else str(spec.method),
    }
    return "".join(f", {name}={value!r}" for name, value in extras.items() if value)


def seen_of(design: Design) -> Seen:
    """What an engine that computes from the design has seen; checks that the groupings can carry the vcov.

    Raises
    ------
    DataError
        If they cannot.
    """
    vcov = asked_vcov(design.spec)
    groups = {name: design.groups(name) for name in vcov.columns}
    sandwich.check_groups(vcov, groups)
    shared = ("rows", "x_names", "z_names", "aliased", "aliased_instruments", "levels", "y", "x", "z", "weights")
    return Seen(groups=groups, exact=design.exact, **{name: getattr(design, name) for name in shared})

"""Everything that follows from coefficients and their covariance matrix, each number explained on its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ivbridge.diagnostics import numbers
from ivbridge.errors import IvbridgeError
from ivbridge.explainer.bounds import Tolerance
from ivbridge.explainer.covariances import Option
from ivbridge.explainer.inference import Distribution, distributions, implied_df, tables
from ivbridge.explainer.records import Observed, Step, World
from ivbridge.explainer.tests_ import Case, versions
from ivbridge.explainer.vcovs import label_of
from ivbridge.gaps import Key, cov_keys, flatten, is_lacking
from ivbridge.linear import Linear, least_squares, scaled
from ivbridge.records import FloatArray, IntArray
from ivbridge.sandwich import covariance
from ivbridge.vcov import HC0, HC1, Classical, Inference, T, Vcov

__all__ = ["Rest", "explained"]

Numbers = Mapping[Key, float]


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """One combination of world and covariance.

    Attributes
    ----------
    world : World
    model : Linear
    option : Option
    asked : Vcov
        The question's.
    groups : mapping of column name to (n,) codes
    tolerance : Tolerance
    """

    world: World
    model: Linear
    option: Option
    asked: Vcov
    groups: Mapping[str, IntArray]
    tolerance: Tolerance

    @property
    def inference(self) -> Inference:
        """The question's."""
        return T() if self.world.spec is None else self.world.spec.inference


class _Ledger:
    """Steps taken so far and numbers that nothing reproduces."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.missed: dict[Key, float] = {}

    def new(self, steps: Iterable[Step]) -> list[Step]:
        """Those that were not taken before; a distribution is one step, whatever table it stands in."""
        kinds = {step.key for step in self.steps if step.key.startswith("inference.")}
        return [step for step in steps if step not in self.steps and step.key not in kinds]

    def take(self, choices: Iterable[tuple[tuple[Step, ...], dict[Key, float]]]) -> int | None:
        """Of several versions with their gaps take the one with the fewest new steps; else note the closest."""
        best: tuple[int, int] | None = None
        chosen: tuple[Step, ...] = ()
        closest: dict[Key, float] | None = None
        for i, (steps, gaps) in enumerate(choices):
            if gaps:
                closest = gaps if closest is None or len(gaps) < len(closest) else closest
                continue
            cost = len(self.new(steps))
            if best is None or cost < best[0]:
                best, chosen = (cost, i), steps
            if cost == 0:
                break
        if best is None:
            self.missed |= closest or {}
            return None
        self.steps += self.new(chosen)
        return best[1]


def explained(
    rest: Rest, observed: Observed, arrays: Mapping[Key, FloatArray], complete: bool, lacks: Mapping[str, str]
) -> tuple[tuple[Step, ...], dict[Key, float]]:
    """The steps that reproduce the remaining numbers, and those that no step reproduces.

    Parameters
    ----------
    rest : Rest
    observed : Observed
    arrays : mapping of Key to (n,) array
    complete : bool
        Whether every number of the combination should have been observed.
    lacks : mapping of str to str
        What is known not to be reported.
    """
    ledger, values = _Ledger(), observed.values
    error = _errors(rest.option.matrix)
    distribution = _coefficient_table(rest, values, error, ledger)
    _scalars(rest, values, ledger)
    _arrays(rest, arrays, ledger)
    _tests(rest, values, distribution, complete, ledger)
    for endog in rest.world.seen.endog_names:
        _first_stage(rest, endog, values, distribution, ledger)
    handled = {key for key in values if _is_known(key, rest)}
    ledger.missed |= {key: math.nan for key in values if key not in handled}
    if complete and not ledger.missed:
        ledger.missed |= _unsaid(rest, values, lacks)
    return tuple(ledger.steps), ledger.missed


def _errors(cov: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(np.diag(cov)))


def _close(first: float, second: float, within: float) -> bool:
    return abs(first - second) <= within or (math.isnan(first) and math.isnan(second)) or first == second


_STAGES = ("estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high", "cov")
_SCALARS = ("sigma", "r.squared", "adj.r.squared", "df.residual", "kappa", "n")


def _is_known(key: Key, rest: Rest) -> bool:
    quantity, term = key
    names = rest.model.names
    if quantity == "cov":
        return all(part in cov_terms(names) for part in (term,))
    if quantity in _STAGES:
        return term in names
    if quantity.startswith("first stage "):
        return term.split(" ~ ")[0] in rest.world.seen.endog_names
    return quantity in _SCALARS or quantity.startswith("test ")


def cov_terms(names: tuple[str, ...]) -> set[str]:
    """Terms of the covariance keys of a table."""
    return {term for _, term in cov_keys("", names)}


def _coefficient_table(rest: Rest, values: Numbers, error: FloatArray, ledger: _Ledger) -> Distribution:
    names = [name for name in rest.model.names if ("p.value", name) in values] or [""]
    typed = [value for key, value in values.items() if key == ("df.residual", "")]
    if ("p.value", names[0]) in values and ("p.value", names[0]) not in rest.tolerance.within:
        implied = (implied_df(values.get(("statistic", name), math.nan), values["p.value", name]) for name in names)
        typed += [df for df in implied if df is not None][:1]
    choices = distributions(rest.inference, rest.model.n, rest.model.k, rest.groups, typed)
    return _table(rest, "", rest.model.names, rest.model.coef, error, choices, values, ledger)


def _table(
    rest: Rest, stage: str, names: tuple[str, ...], coef: FloatArray, error: FloatArray,
    choices: list[Distribution], values: Numbers, ledger: _Ledger,
) -> Distribution:  # fmt: skip
    """Statistics, p-values and limits; returns the distribution that was chosen."""
    at = {name: j for j, name in enumerate(names)}
    tolerance = rest.tolerance

    def gaps(predicted: Numbers, df: float) -> dict[Key, float]:
        found: dict[Key, float] = {}
        for key, value in predicted.items():
            if key not in values:
                continue
            j = at[key[1]]
            t = coef[j] / error[j] if error[j] else math.nan
            if key[0].endswith("statistic"):
                within = tolerance.of_statistic(key, value, error[j])
            elif key[0].endswith("p.value"):
                within = tolerance.of_p_value(key, value, df, t, error[j])
            else:
                within = tolerance.of_limit(key, abs(value - coef[j]), abs(coef[j]) + error[j])
            if not _close(values[key], value, within):
                found[key] = abs(values[key] - value)
        return found

    columns: dict[str, list[tuple[tuple[Step, ...], Numbers, float]]] = {}
    for column, steps, predicted, df in tables(stage, names, coef, error, choices):
        columns.setdefault(column, []).append((steps, predicted, df))
    chosen = choices[0]
    for column, listed in columns.items():
        if not any(key in values for key in listed[0][1]):
            continue
        taken = ledger.take((steps, gaps(predicted, df)) for steps, predicted, df in listed)
        if taken is not None and column != "statistic":
            chosen = next(one for one in choices if one.df == listed[taken][2])
    return chosen


def _scalars(rest: Rest, values: Numbers, ledger: _Ledger) -> None:
    for name in _SCALARS:
        key = (name, "")
        if key in values:
            ledger.take(
                (steps, _gap(key, values[key], value, rest.tolerance.of_estimate(key, abs(value))))
                for steps, value in _scalar_versions(name, rest)
            )


def _gap(key: Key, observed: float, value: float, within: float) -> dict[Key, float]:
    return {} if _close(observed, value, within) else {key: abs(observed - value)}


def _scalar_versions(name: str, rest: Rest) -> Iterator[tuple[tuple[Step, ...], float]]:
    model, n, k = rest.model, rest.model.n, rest.model.k
    constant = "(Intercept)" in rest.world.seen.x_names
    if name == "sigma":
        yield (), model.sigma
        yield (
            (Step("sigma.n", "sigma divides the sum of squared residuals by n instead of n − k"),),
            math.sqrt(model.rss / n),
        )
        yield (Step("sigma.squared", "sigma is given as a variance"),), model.sigma**2
    elif name in ("r.squared", "adj.r.squared"):
        adjusted = name.startswith("adj")
        yield (), model.r2(intercept=constant)[adjusted]
        yield (
            (Step("r2.centring", f"R² is {'not ' if constant else ''}centred"),),
            model.r2(intercept=not constant)[adjusted],
        )
        if adjusted:
            r2 = model.r2(intercept=constant)[0]
            yield (Step("r2.adjustment", "adjusted R² is 1 − (1 − R²)·n/(n − k)"),), 1 - (1 - r2) * n / (n - k)
            yield (Step("r2.not_adjusted", "R² stands for adjusted R²"),), r2
    elif name == "df.residual":
        yield (), float(n - k)
        yield (Step("df.n", "the residual degrees of freedom are n"),), float(n)
        for label, codes in rest.groups.items():
            yield (Step("df.groups", f"the residual degrees of freedom are G − 1 of {label}"),), float(codes.max())
    elif name == "n":
        yield (), float(n)
    elif model.k_class is not None:
        yield (), model.k_class.kappa


def _arrays(rest: Rest, arrays: Mapping[Key, FloatArray], ledger: _Ledger) -> None:
    model = rest.model
    second = model.projected @ model.coef
    own = {
        "resid": ((), model.residuals), "fitted": ((), model.fitted),
    }  # fmt: skip
    by_hand = (Step("residuals.reported", "residuals and fitted values are those of the second stage, X̂β"),)
    weighted = (Step("residuals.weighted", "residuals are multiplied by the square roots of the weights"),)
    for key, observed in arrays.items():
        steps, value = own[key[0]]
        other = second if key[0] == "fitted" else model.y - second
        choices = [(steps, value), (by_hand, other), (weighted, scaled(value, model.weights))]
        size = model.sigma if key[0] == "resid" else float(np.abs(model.fitted).max())
        within = rest.tolerance.of_estimate(key, size)
        ledger.take((s, _array_gap(key, observed, v, within)) for s, v in choices)


def _array_gap(key: Key, observed: FloatArray, value: FloatArray, within: float) -> dict[Key, float]:
    if observed.shape != value.shape:
        return {key: math.nan}
    furthest = float(np.abs(observed - value).max(initial=0.0))
    return {} if furthest <= within else {key: furthest}


def _tests(rest: Rest, values: Numbers, distribution: Distribution, complete: bool, ledger: _Ledger) -> None:
    case = Case(rest.world, rest.model, rest.option, distribution, rest.asked, rest.groups)
    keys = dict.fromkeys(term for quantity, term in values if quantity.startswith("test "))
    for key in keys:
        said = {q.removeprefix("test "): v for (q, term), v in values.items() if term == key and q.startswith("test ")}
        failed = {(f"test {part}", key): math.nan for part in said}

        def gaps(
            found: Mapping[str, float], lost: float, key: str = key, said: dict[str, float] = said
        ) -> dict[Key, float]:
            if not said.keys() <= found.keys() or (complete and said.keys() != found.keys()):
                return {(f"test {part}", key): math.nan for part in said}
            within = rest.tolerance.of_test(key, found, lost)
            return {
                (f"test {part}", key): abs(value - found[part])
                for part, value in said.items()
                if not _close(value, found[part], within[part])
            }

        before = len(ledger.missed)
        taken = ledger.take((one.steps, gaps(one.values, one.lost)) for one in versions(key, case))
        if taken is None and len(ledger.missed) == before:
            ledger.missed |= failed


def _first_stage(rest: Rest, endog: str, values: Numbers, distribution: Distribution, ledger: _Ledger) -> None:
    prefix = f"{endog} ~ "
    own = {
        k: v
        for k, v in values.items()
        if k[0].startswith("first stage ") and (k[1] == endog or k[1].startswith(prefix))
    }
    if not own or rest.model.instruments is None:
        ledger.missed |= dict.fromkeys(own, math.nan)
        return
    seen = rest.world.seen
    fit = least_squares(seen.x[:, seen.x_names.index(endog)], rest.model.instruments, seen.z_names)
    names = tuple(prefix + name for name in seen.z_names)
    tolerance = rest.tolerance
    r2, r2_adj = fit.r2(intercept="(Intercept)" in seen.z_names)
    scalars = {"sigma": fit.sigma, "r.squared": r2, "adj.r.squared": r2_adj, "df.residual": float(fit.df_resid)}
    for name, value in scalars.items():
        key = (f"first stage {name}", endog)
        if key in own:
            ledger.take([((), _gap(key, own[key], value, tolerance.of_estimate(key, abs(value))))])
    covs = list(_stage_covariances(rest, fit, endog))
    found = ledger.take((steps, _stage_gaps(prefix, fit, cov, own, tolerance)) for steps, cov in covs)
    if found is None:
        return
    choices = distributions(rest.inference, fit.n, fit.k, rest.groups, [distribution.df])
    _table(rest, "first stage ", names, fit.coef, _errors(covs[found][1]), choices, own, ledger)


def _stage_covariances(rest: Rest, fit: Linear, endog: str) -> Iterator[tuple[tuple[Step, ...], FloatArray]]:
    """The covariance of a first stage: like the coefficients', or another one."""
    with suppress(IvbridgeError, np.linalg.LinAlgError):
        yield (), rest.option.applied(fit, rest.groups)
        if rest.option.factor.names:  # the factor may belong to the coefficients' standard errors alone
            yield (), rest.option.estimator.covariance(fit, rest.groups)
    for vcov in dict.fromkeys([rest.asked, Classical(), HC0(), HC1(), rest.option.estimator.like]):
        try:
            cov = covariance(fit, vcov, rest.groups)
        except (IvbridgeError, np.linalg.LinAlgError):
            continue
        other = Step("first_stage.vcov", f"the first stage of {endog} has {label_of(vcov)} standard errors")
        yield () if vcov == rest.asked else (other,), cov


def _stage_gaps(prefix: str, fit: Linear, cov: FloatArray, own: Numbers, tolerance: Tolerance) -> dict[Key, float]:
    error, found = _errors(cov), dict[Key, float]()
    for j, name in enumerate(fit.names):
        key = ("first stage estimate", prefix + name)
        if key in own:
            found |= _gap(key, own[key], float(fit.coef[j]), tolerance.of_estimate(key, abs(fit.coef[j]) + error[j]))
        key = ("first stage std.error", prefix + name)
        if key in own:
            found |= _gap(key, own[key], float(error[j]), tolerance.of_error(key, error[j]))
    places = zip(*(at.tolist() for at in np.tril_indices(fit.k)), strict=True)
    for key, (i, j) in zip(cov_keys(prefix, fit.names), places, strict=True):
        if key in own:
            within = tolerance.within.get(
                key, 2 * tolerance.of_error(("first stage std.error", ""), error[i] * error[j])
            )
            found |= _gap(key, own[key], float(cov[i, j]), within)
    return found


def _unsaid(rest: Rest, values: Numbers, lacks: Mapping[str, str]) -> dict[Key, float]:
    """Numbers that the combination has and that should have been observed."""
    seen = rest.world.seen
    like = rest.option.estimator.like
    try:
        import dataclasses

        grouped = dataclasses.replace(seen, groups={name: rest.groups[name] for name in like.columns})
        flat = flatten(numbers(grouped, rest.model, rest.option.matrix, like, rest.inference))
    except (IvbridgeError, np.linalg.LinAlgError):
        return {}
    expected = (key for key, value in flat.items() if not isinstance(value, np.ndarray) and key[0] != "test df2")
    return {key: math.nan for key in expected if key not in values and not is_lacking(key, lacks)}

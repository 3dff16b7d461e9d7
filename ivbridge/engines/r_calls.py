"""The R code that a reader can run: the calls that give an estimate's numbers, and where plain calls give others."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ivbridge.design import Design
from ivbridge.expr import quote_name
from ivbridge.method import Fuller, TwoStage
from ivbridge.spec import IVSpec
from ivbridge.vcov import Bootstrap, DriscollKraay, Vcov, Z

__all__ = ["by_hand", "departures", "r_call", "r_vcov"]

_HC_KEYWORDS = ("HC0", "HC1", "HC2", "HC3", "HC4", "HC4m", "HC5")


def r_vcov(vcov: Vcov) -> dict[str, Any]:
    """The estimator as the named list that ``ivb_infer`` takes."""
    fields = {field.name: getattr(vcov, field.name) for field in dataclasses.fields(vcov)}
    if vcov.keyword in _HC_KEYWORDS:
        return {"kind": "HC", "type": vcov.keyword}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    return {"kind": vcov.keyword, **{name: value for name, value in plain.items() if value is not None}}


def departures(design: Design, vcov: Vcov) -> list[str]:
    """Where AER and sandwich themselves, asked in the plainest way, would answer something else."""
    spec, notes = design.spec, []
    if spec.offset is not None and isinstance(spec.method, TwoStage):
        notes.append(
            "AER leaves the offset out of its residuals, which changes every standard error; "
            "here it is subtracted from the dependent variable"
        )
    if (design.aliased or design.aliased_instruments) and vcov.keyword in _HC_KEYWORDS[2:]:
        notes.append(
            f"with columns left out AER's hat values, and {vcov.keyword}, are wrong; here R's model is without them"
        )
    if isinstance(vcov, DriscollKraay) and not vcov.aggregate:
        notes.append("vcovPL() takes the number of the last row's unit for the number of units; here it is that number")
    return notes


def by_hand(design: Design, vcov: Vcov) -> tuple[str, ...]:
    """R that gives the same numbers by hand."""
    spec = design.spec
    weights = f", weights = {quote_name(spec.weights)}" if spec.weights else ""
    if spec.weights and (design.frame[spec.weights] == 0).any():
        weights += f", subset = {quote_name(spec.weights)} != 0"
    df = "Inf" if isinstance(spec.inference, Z) else None if spec.inference.df is None else f"{spec.inference.df:g}"
    if not isinstance(spec.method, TwoStage):
        return _kclass_calls(spec, vcov)
    if spec.offset is not None:  # AER leaves it out of the residuals
        spec = dataclasses.replace(spec, dependent=f"{spec.dependent} - ({spec.offset})", offset=None)
    on_x = r_call(vcov).replace("fit", "x", 1)
    seed = f"set.seed({vcov.seed}); " if isinstance(vcov, Bootstrap) else ""
    summary = f"summary(fit, vcov. = function(x) {on_x}{', df = Inf' if df == 'Inf' else ''}, diagnostics = TRUE)"
    return (
        "library(AER)",
        f"fit <- ivreg({spec.to_r()}, data = data{weights})",
        *(["fit <- update(fit, data = data[names(residuals(fit)), ])  # draws from the rows in use"] if seed else []),
        *(["used <- data[names(residuals(fit)), ]  # the rows without missing values"] if vcov.columns else []),
        *_renumbered(vcov),
        f"{seed}coeftest(fit, vcov. = {r_call(vcov)}{'' if df is None else f', df = {df}'})",
        *([] if seed else [summary]),
    )


def _renumbered(vcov: Vcov) -> list[str]:
    """Without aggregation vcovPL() takes the number of the last row's unit for the number of units."""
    if not isinstance(vcov, DriscollKraay) or vcov.aggregate:
        return []
    units, times = (f"used[[{json.dumps(name, ensure_ascii=False)}]]" for name in (vcov.cluster, vcov.order_by))
    last = f"last <- {units}[order({times})][nrow(used)]  # the unit that gets the last number"
    return [last, f"{units} <- match({units}, c(setdiff({units}, last), last))"]


def _kclass_calls(spec: IVSpec, vcov: Vcov) -> tuple[str, ...]:
    """The same for LIML and Fuller, which AER does not have."""
    weights = f", weights = {json.dumps(spec.weights, ensure_ascii=False)}" if spec.weights else ""
    fuller = f", fuller = {spec.method.a!r}" if isinstance(spec.method, Fuller) else ""
    df = "Inf" if isinstance(spec.inference, Z) else None if spec.inference.df is None else f"{spec.inference.df:g}"
    return (
        'source("kclass.R")  # the scripts are in the folder that ivbridge.resources.scripts_dir() names',
        f"fit <- ivb_kclass_model({spec.to_r()}, data{weights}{fuller})",
        *(["used <- data[names(residuals(fit)), ]  # the rows without missing values"] if vcov.columns else []),
        f"coeftest(fit, vcov. = {r_call(vcov)}{'' if df is None else f', df = {df}'})",
        "fit$kappa",
    )


def r_call(vcov: Vcov) -> str:
    """The R call on ``fit`` that gives this covariance."""
    heads = {"classical": "vcov", "cluster": "vcovCL", "nw": "NeweyWest", "andrews": "kernHAC", "dk": "vcovPL",
             "pc": "vcovPC", "bootstrap": "vcovBS", "bekker": "ivb_bekker"}  # fmt: skip
    if vcov.keyword in _HC_KEYWORDS:
        return f'vcovHC(fit, type = "{vcov.keyword}")'
    arguments = []
    for key, value in r_vcov(vcov).items():
        if key in ("kind", "seed"):
            continue
        if key in vcov.column_fields:
            # a formula would not do: the models of summary's diagnostics do not hold these columns
            columns = [
                json.dumps(column, ensure_ascii=False) for column in (value if isinstance(value, list) else [value])
            ]
            text = f"used[{columns[0]}]" if len(columns) == 1 else f"used[c({', '.join(columns)})]"
            text = text.replace("[", "[[").replace("]", "]]") if key == "order_by" else text
            key = "cluster" if key == "by" else "order.by" if key == "order_by" else key
        else:
            text = f"{value:g}" if not isinstance(value, bool | str) else str(value).upper()
            text = f'"{value}"' if isinstance(value, str) else text
        arguments.append(f"{key} = {text}")
    return f"{heads[vcov.keyword]}({', '.join(['fit', *arguments])})"

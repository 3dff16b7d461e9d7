"""Sentences about an effect that the text and the page share."""

from __future__ import annotations

import math

from ivbridge.causal.analysis import UNADJUSTED, Analysis
from ivbridge.causal.refute.protocol import Refutation

__all__ = ["assumption", "headline", "measured", "refutation_row", "value_sentence"]


def measured(value: float) -> str:
    """Four significant digits, and all digits before the point; a dash where there is no number."""
    if math.isnan(value):
        return "–"
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def headline(found: Analysis) -> str:
    """What the leading method says, in one sentence."""
    lead = found.lead
    low, high = lead.conf_int()
    interval = "" if math.isnan(low) else f", 95 % interval {measured(low)} to {measured(high)}"
    return f"{lead.title}: {measured(lead.estimate)} ({measured(lead.std_error)}){interval}"


def assumption(found: Analysis) -> str:
    """What no number here can show."""
    question = found.data.question
    if question.instruments and question.estimand == "LATE":
        names = " and ".join(question.instruments)
        given = f" given {', '.join(question.covariates)}" if question.covariates else ""
        through = f"acts on {question.dependent} through {question.treatment} alone"
        return (f"It is the effect on those whom {names} moves, if {names} is as good as random{given}, {through}, "
                "and moves nobody the other way.")  # fmt: skip
    if not question.covariates:
        return f"It is the effect if {question.treatment} was drawn at random."
    if found.lead.method == UNADJUSTED:
        return (f"It is the effect if {question.treatment} was drawn at random: nothing is done about "
                f"{', '.join(question.covariates)}.")  # fmt: skip
    whom = "the treated" if question.estimand == "ATT" else "all units"
    return (
        f"It is the effect on {whom} if nothing but {', '.join(question.covariates)} moves both "
        f"{question.treatment} and {question.dependent}. No number here can show that."
    )


def refutation_row(one: Refutation) -> tuple[str, str, str, str]:
    """Title, verdict, what was found, and what it cannot show."""
    p = "" if math.isnan(one.p_value) else f", p = {one.p_value:.3g}"
    number = "" if math.isnan(one.statistic) else f"{one.found.measured}: {one.statistic:.4g}{p}."
    told = " ".join(part for part in (one.done, number, *one.reasons) if part)
    return one.title, one.verdict, told, one.cannot


def value_sentence(found: Analysis) -> str:
    """What treating the first of the ranking is worth, on the units that were held out."""
    if found.ranking is None or not found.ranking.judged.values:
        return ""
    parts = [
        f"the first {value.share:.0%} of it {measured(value.effect)} ({measured(value.effect_error)})"
        for value in found.ranking.judged.values
    ]
    return f"Mean effects on units that were held out: {', '.join(parts)}."

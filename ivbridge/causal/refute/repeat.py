"""The same method on other data: other rows, or another treatment. And what a ratio of standard errors says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.refute.protocol import Found, verdict_of
from ivbridge.errors import DataError, IvbridgeError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["Repeated", "judge_spread", "repeat", "units", "with_treatment"]

#: A repeated standard error within these multiples of the reported one counts as the same.
RATIO = (0.8, 1.25)
#: Coverage of the Monte Carlo interval of a ratio.
SURE = 0.99
#: Standard errors of bias that are let pass; a quarter takes a 95 % interval down to 94.3 %.
BIAS = 0.25
#: Share of repetitions in which a method may fail.
FAILING = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Repeated:
    """Estimates and standard errors of repetitions; those that failed are left out and counted.

    Attributes
    ----------
    estimates, std_errors : (m,) arrays
    failed : int
    why : str
        The first failure's message.
    """

    estimates: FloatArray
    std_errors: FloatArray
    failed: int
    why: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence if repetitions failed."""
        if not self.failed:
            return ()
        whole = self.failed + len(self.estimates)
        return (f"The method failed in {self.failed} of {whole} repetitions: {self.why}",)

    @property
    def too_many(self) -> bool:
        """Whether so many failed that the rest says little."""
        return self.failed > FAILING * (self.failed + len(self.estimates))


def repeat(
    method: CausalMethod, worlds: Iterable[CausalData], seed: int, total: int, progress: Progress | None
) -> Repeated:
    """Fit the method in each world.

    Raises
    ------
    DataError
        If it fails in all but one of them.
    """
    estimates, errors, failed, why = [], [], 0, ""
    for done, data in enumerate(worlds):
        if progress is not None:
            progress(done, total, method.title)
        try:
            effect = method.fit(data.question, data, seed)
        except IvbridgeError as error:
            failed, why = failed + 1, why or str(error)
            continue
        estimates.append(effect.estimate)
        errors.append(effect.std_error)
    if len(estimates) < 2:
        raise DataError(f"{method.title} failed in {failed} of {total} repetitions: {why}")
    return Repeated(np.array(estimates), np.array(errors), failed, why)


def with_treatment(data: CausalData, t: FloatArray) -> CausalData:
    """The same units with another treatment."""
    return replace(data, t=t, frame=data.frame.assign(**{data.question.treatment: t}))


def units(data: CausalData) -> tuple[int, Callable[[IntArray], IntArray]]:
    """How many units are drawn, clusters where the question names them; and the rows of drawn units."""
    name = data.question.clusters
    if name is None:
        return data.n, lambda drawn: drawn
    codes = np.unique(data.frame[name].to_numpy(), return_inverse=True)[1]
    members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    return len(members), lambda drawn: np.concatenate([members[one] for one in drawn])


def judge_spread(done: str, what: str, effect: EffectEstimate, found: Repeated, factor: float = 1.0) -> Found:
    """A verdict on the reported standard error and on bias, by repetitions whose spread is known in theory.

    The spread of B independent repetitions is uncertain by its chi-squared interval. The verdict is "failed" where
    that interval (of coverage :data:`SURE`) lies wholly outside :data:`RATIO`, where the bias is above :data:`BIAS`
    standard errors by more than its Monte Carlo error, or where too many repetitions failed.

    Parameters
    ----------
    done, what : str
        Sentence, and name of the standard error by repetition.
    effect : EffectEstimate
    found : Repeated
    factor : float, default 1
        Standard error over the standard deviation of repetitions, in theory; its square holds for the bias.
    """
    free, reported = len(found.estimates) - 1, effect.std_error
    spread = factor * float(found.estimates.std(ddof=1))
    bias = factor**2 * float(found.estimates.mean() - effect.estimate)
    bias_error = factor * spread / math.sqrt(free + 1)
    parts = {what: spread, "reported": reported, "bias": bias, "bias error": bias_error,
             "smallest": float(found.estimates.min()), "largest": float(found.estimates.max()),
             "failed": float(found.failed)}  # fmt: skip
    reasons, verdict = list(found.reasons), verdict_of(found.too_many)
    if not reported > 0:
        reasons.append(f"The method reports no standard error; {what} gives {spread:.4g}.")
        return Found(done, f"{what} over the reported one", math.nan, math.nan, "not done", found.estimates, parts,
                     tuple(reasons))  # fmt: skip
    ratio = spread / reported
    low, high = (ratio * math.sqrt(free / stats.chi2.isf(tail, free)) for tail in ((1 - SURE) / 2, (1 + SURE) / 2))
    if low > RATIO[1] or high < RATIO[0]:
        verdict = "failed"
        reasons.append(f"The reported standard error is {reported:.4g}; {what} gives {spread:.4g}.")
    if abs(bias) - float(stats.norm.isf((1 - SURE) / 2)) * bias_error > BIAS * reported:
        verdict = "failed"
        reasons.append(f"The repetitions point to a bias of {bias:.4g}, {bias / reported:.2g} standard errors.")
    tails = stats.chi2.sf(free * ratio**2, free), stats.chi2.cdf(free * ratio**2, free)
    parts |= {"ratio low": low, "ratio high": high}
    return Found(done, f"{what} over the reported one", ratio, min(1.0, 2 * float(min(tails))), verdict,
                 found.estimates, parts, tuple(reasons))  # fmt: skip

"""What every causal method has in common.

A method is a frozen record of its choices. A subclass writes `answer`, which computes, and `reference`, which lets R
compute the same from the same arrays; :func:`ivbridge.causal.agreement.crosscheck` compares the two.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.records import Answer, EffectEstimate
from ivbridge.errors import DataError, MissingExtraError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray
from ivbridge.threads import one_thread

__all__ = ["CausalMethod"]


@dataclass(frozen=True, kw_only=True)
class CausalMethod:
    """An estimator of the effect of a 0/1 treatment.

    ``name`` is its key in :data:`ivbridge.causal.METHODS`; ``estimands`` are those it can estimate; ``needs`` are the
    roles it cannot do without; ``packages`` are the Python packages it computes with and ``extra`` the extra of
    ivbridge that installs them; ``r_call`` is the R function it is held against, empty where R has none here, and
    ``why_no_r`` says why then. ``relative`` is the largest relative gap to R that rounding explains, ``why_relative``
    the reason for that number. ``takes_clusters`` says that standard errors allow for the question's clusters; where a
    method's do not, a warning says so.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    estimands: ClassVar[tuple[str, ...]] = ("ATE",)
    needs: ClassVar[tuple[str, ...]] = ("covariates",)
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    extra: ClassVar[str] = ""
    r_call: ClassVar[str] = ""
    why_no_r: ClassVar[str] = ""
    takes_clusters: ClassVar[bool] = False
    relative: ClassVar[float] = 1e-10
    why_relative: ClassVar[str] = "closed forms on scaled columns: a few thousand roundings of 1e-16"

    def bound(self) -> float:
        """The largest relative gap to R that rounding explains, given the choices of this record."""
        return self.relative

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """Compute the effect."""
        raise NotImplementedError

    def reference(self, data: CausalData, seed: int) -> Answer:
        """Let R compute the same; raises UnsupportedError where R has nothing to hold the method against."""
        raise UnsupportedError(f"{self.title} has no reference in R here: {self.why_no_r}")

    def effects(self, learn: CausalData, judge: CausalData, seed: int = 0) -> FloatArray:
        """(m,) effects of the m units of `judge`, whom the method has not seen: it learns from `learn` alone.

        Raises
        ------
        UnsupportedError
            If the method has one effect for all units.
        """
        raise UnsupportedError(f"{self.title} has one effect for all units.", do="take a learner or a causal forest.")

    @one_thread()
    def fit(
        self, question: CausalQuestion, data: Any, seed: int = 0, progress: Progress | None = None
    ) -> EffectEstimate:
        """Estimate the effect.

        Parameters
        ----------
        question : CausalQuestion
        data : table of n rows, or CausalData that was built for this question
        seed : int, default 0
            Of whatever the method draws: folds, trees, bootstrap samples.
        progress : callable, optional
            Called with (done, total, what).

        Raises
        ------
        UnsupportedError
            If the method cannot estimate this estimand.
        DataError, DesignError
            If the data cannot answer; see :func:`ivbridge.causal.question.build`.
        MissingExtraError
            If a package is missing; the message holds the command that installs it.
        """
        self.check(question)
        built = data if isinstance(data, CausalData) else build(question, data)
        if built.question != question:
            raise DataError("These data were built for another question.")
        if seed < 0:
            raise DataError(f"seed={seed} was asked.", available="0, 1, 2, …")
        found = self.answer(built, seed, progress)
        if question.clusters is not None and not self.takes_clusters:
            ignored = f"The standard error takes units for independent: it ignores the clusters {question.clusters!r}."
            found = replace(found, warnings=(*found.warnings, ignored))
        treated = int(built.treated.sum())
        return EffectEstimate(question, self.name, self.title, built.n, treated, found, seed)

    def check(self, question: CausalQuestion) -> None:
        """Refuse a question that the method cannot answer, and say what is missing here.

        Raises
        ------
        UnsupportedError, DataError, MissingExtraError
            As :meth:`fit`.
        """
        if question.estimand not in self.estimands:
            raise UnsupportedError(
                f"{self.title} cannot estimate the {question.estimand}.", available=", ".join(self.estimands)
            )
        for role in self.needs:
            if not getattr(question, role):
                raise DataError(f"{self.title} needs {role}, and the question names none.", do=f"name the {role}.")
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                do = f'pip install "ivbridge[{self.extra}]"' if self.extra else f"pip install {package}"
                raise MissingExtraError(f"{self.title} needs the Python package {package}.", do=do)

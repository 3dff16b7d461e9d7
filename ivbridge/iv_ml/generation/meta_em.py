"""Meta-EM: the lost label of the source, found again from how the treatment depends on the covariates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final, get_args

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, DesignError
from ivbridge.iv_ml.alternating import Alternation
from ivbridge.iv_ml.data import IVData, check_treatment
from ivbridge.iv_ml.doubts import doubts
from ivbridge.iv_ml.generated import Coding, Generated, Generator
from ivbridge.iv_ml.group_number import Criterion, mmd
from ivbridge.iv_ml.grouping import Assignment, Grouping, by_rule
from ivbridge.iv_ml.mixture_gaussian import PROGRAM, Start, gaussian_mixture
from ivbridge.iv_ml.mixture_regression import regression_mixture
from ivbridge.iv_ml.mixtures import Mixture, Search
from ivbridge.iv_ml.representation import FORMS, Form, Representation, represented
from ivbridge.iv_ml.settings import check_choice, check_sizes, seed_of
from ivbridge.records import FloatArray
from ivbridge.threads import one_thread

__all__ = ["Distribution", "MetaEM"]

Distribution = Literal["regression", "gmm"]

#: What BIC chooses from. It cannot judge `polynomial`, which has looked at T.
_CHOICE: tuple[Form, ...] = ("identity", "powers", "splines")


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """One candidate; probabilities are in the mixture's own order."""

    groups: int
    form: str
    represent: Representation
    mixture: Mixture
    probabilities: FloatArray
    mmd: float

    @property
    def bic(self) -> float:
        return self.mixture.bic(len(self.probabilities))


@final
@dataclass(frozen=True, kw_only=True)
class MetaEM(Generator):
    """The group that a row most probably belongs to, by a mixture over (T, R) with R = f(X), as the instrument.

    Parameters
    ----------
    groups : int, optional
        K. Default: chosen from ``candidates`` by ``criterion``.
    candidates : tuple of int, default (2, 3, 4, 5)
        The paper's program tries 2, 3, 5 and 10. Those with too many parameters for the rows are left out.
    criterion : {"bic", "mmd"}, default "bic"
        "mmd" is the paper's.
    distribution : {"regression", "gmm"}, default "regression"
        The mixture: linear regressions of T on R (what follows if R has one distribution in all groups), or joint
        Gaussians (the paper's Eqs. 5-12).
    representation : {"auto", "identity", "polynomial", "powers", "splines", "neural"}, default "auto"
        See :mod:`ivbridge.iv_ml.representation`. "auto": of identity, powers and splines the one with the best BIC; for
        "gmm", whose BIC depends on the units of R, it is "polynomial". "neural" goes on from there with a network, see
        :class:`~ivbridge.iv_ml.alternating.Alternation`.
    start : {"moments", "kmeans"}, default "moments"
        Of "gmm": Eq. 6, or K-means as in the paper's program.
    equal : bool, default True
        One noise variance for all groups; for "regression" only.
    assignment : {"hard", "sampled", "soft"}, default "hard"
        The most probable group; a group drawn with the probabilities, as the paper has it (its program does not); or
        the probabilities themselves as the instruments.
    coding : {"onehot", "label"}, default "onehot"
        The paper's program has the label, as one number. Groups are numbered so that neighbours have like rules.
    search : Search
        How the largest likelihood is looked for.
    alternation : Alternation
        How "neural" learns.

    Notes
    -----
    **Assumption.** Sources differ in how X leads to T, and in nothing else: units came to them at random. This cannot
    be tested wholly; :func:`ivbridge.iv_ml.trust.trust` shows what can.

    T is taken in its own units. "gmm" adds 1e-6 to each variance, as the paper's program does: a treatment whose
    standard deviation is far below 1 is lost beside that. A mean of more than a million standard deviations is lost in
    rounding.

    **Known failure.** The label is found with the help of T, so that where it is wrong it depends on the noise of T and
    through it on ε. The error is small where groups are well apart.

    Source: Wu et al. (2023), Learning instrumental variable from data fusion for treatment effect estimation, AAAI.
    """

    name: ClassVar[str] = "meta_em"
    groups: int | None = None
    candidates: tuple[int, ...] = (2, 3, 4, 5)
    criterion: Criterion = "bic"
    distribution: Distribution = "regression"
    representation: Form | Literal["auto", "neural"] = "auto"
    start: Start = "moments"
    equal: bool = True
    assignment: Assignment = "hard"
    coding: Coding = "onehot"
    search: Search = field(default_factory=Search)
    alternation: Alternation = field(default_factory=Alternation)

    @classmethod
    def published(cls, groups: int | None = None) -> MetaEM:
        """What the published tables were made with: the released program, not the text."""
        return cls(
            groups=groups, candidates=(2, 3, 5, 10), criterion="mmd", distribution="gmm", representation="polynomial",
            start="kmeans", coding="label", search=PROGRAM,
        )  # fmt: skip

    def __post_init__(self) -> None:
        check_choice(
            criterion=(self.criterion, get_args(Criterion)), distribution=(self.distribution, get_args(Distribution)),
            representation=(self.representation, ("auto", *FORMS, "neural")), start=(self.start, get_args(Start)),
            assignment=(self.assignment, get_args(Assignment)), coding=(self.coding, get_args(Coding)),
        )  # fmt: skip
        check_sizes(groups=2 if self.groups is None else self.groups)
        check_sizes(several=True, candidates=self.candidates)
        if min(self._tried) < 2:
            raise DataError(f"groups={self.groups}, candidates={self.candidates} was asked.", available="2 or more")
        if self.assignment == "soft" and self.coding == "label":
            raise DataError("Probabilities were asked as one label.", do='take coding="onehot", or assignment="hard".')

    @property
    def _tried(self) -> tuple[int, ...]:
        return self.candidates if self.groups is None else (self.groups,)

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """Fit the mixture and assign the rows.

        The history has one row for each candidate (K and representation), and for "neural" one for each epoch after
        them. The notes hold what speaks against the groups, see :func:`ivbridge.iv_ml.doubts.doubts`.

        Raises
        ------
        DesignError
            If the treatment is constant, no covariate varies, or there are too few rows for the groups.
        EngineError
            If a network's training diverges.
        MissingExtraError
            If PyTorch is needed and not installed.
        """
        check_treatment(data)
        seed = seed_of(seed)
        with one_thread():
            fits = self._fits(data, seed)
            best = self._chosen(fits)
            history = [_table(fits, best)]
            if self.representation == "neural":
                best, rounds = self._refined(best, data, seed)
                history.append(rounds)
            alone = self._mixture(best.represent(data.exog), data.endog, 1, seed, np.ones((data.n, 1)))
        order = by_rule(best.probabilities, best.represent(data.exog), data.endog)
        grouping = Grouping(best.represent, best.mixture, order, self.assignment, self.coding, seed)
        probabilities = best.probabilities[:, order]
        return Generated(
            self.name, grouping.instruments(probabilities), grouping, grouping.labels(probabilities), probabilities,
            pd.concat(history, ignore_index=True), doubts(best.mixture, alone, best.probabilities, data.endog),
        )  # fmt: skip

    def _fits(self, data: IVData, seed: int) -> list[_Fit]:
        found, refused = [], None
        for form in self._forms():
            represent = represented(form, data.exog, data.endog)
            for groups in self._tried:
                try:
                    found.append(self._fit(groups, form, represent, data, seed))
                except DesignError as error:
                    refused = refused or error
        if refused is not None and not found:
            raise refused
        return found

    def _forms(self) -> tuple[Form, ...]:
        if self.representation in FORMS:
            return (self.representation,)
        return _CHOICE if self.distribution == "regression" else ("polynomial",)

    def _fit(self, groups: int, form: str, represent: Representation, data: IVData, seed: int) -> _Fit:
        r = represent(data.exog)
        mixture = self._mixture(r, data.endog, groups, seed, None)
        return self._judged(groups, form, represent, mixture, data)

    def _judged(self, groups: int, form: str, represent: Representation, mixture: Mixture, data: IVData) -> _Fit:
        probabilities = mixture.probabilities(represent(data.exog), data.endog)
        return _Fit(
            groups, form, represent, mixture, probabilities, mmd(data.exog, probabilities.argmax(axis=1), groups)
        )

    def _mixture(self, r: FloatArray, t: FloatArray, groups: int, seed: int, weights: FloatArray | None) -> Mixture:
        if self.distribution == "regression":
            return regression_mixture(r, t, groups, seed, equal=self.equal, search=self.search, weights=weights)
        return gaussian_mixture(r, t, groups, seed, start=self.start, search=self.search, weights=weights)

    def _chosen(self, fits: list[_Fit]) -> _Fit:
        """The form by BIC for each number of groups, then the number of groups by the criterion."""
        best = [min((f for f in fits if f.groups == k), key=lambda f: f.bic) for k in {f.groups: None for f in fits}]
        return min(best, key=lambda f: f.bic if self.criterion == "bic" else f.mmd)

    def _refined(self, start: _Fit, data: IVData, seed: int) -> tuple[_Fit, pd.DataFrame]:
        """Go on with a network for the representation."""

        def regroup(r: FloatArray, weights: FloatArray) -> Mixture:
            return self._mixture(r, data.endog, start.groups, seed, weights)

        found = self.alternation.run(data, start.probabilities, regroup, seed)
        return self._judged(start.groups, "neural", found.represent, found.mixture, data), found.history


def _table(fits: list[_Fit], best: _Fit) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "groups": [f.groups for f in fits],
            "representation": [f.form for f in fits],
            "loglik": [f.mixture.loglik for f in fits],
            "free": [f.mixture.free for f in fits],
            "bic": [f.bic for f in fits],
            "mmd": [f.mmd for f in fits],
            "chosen": [f is best for f in fits],
        }
    )

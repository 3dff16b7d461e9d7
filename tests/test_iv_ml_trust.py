"""What is said of groups that were found, against formulas written down anew; and the search for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import chi2

from ivbridge.errors import DataError, DesignError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.doubts import doubts
from ivbridge.iv_ml.generated import Generated, Generator, coded
from ivbridge.iv_ml.generation.auto_iv import AutoIV
from ivbridge.iv_ml.generation.meta_em import MetaEM
from ivbridge.iv_ml.generation.meta_km import MetaKM
from ivbridge.iv_ml.mixture_regression import regression_mixture
from ivbridge.iv_ml.mixtures import Family, Parameters, Search, climb
from ivbridge.iv_ml.trust import Trust, trust
from ivbridge.records import FloatArray


@final
@dataclass(frozen=True, kw_only=True)
class Cut(Generator):
    """Groups by the size of T, of which the first ``moved[seed]`` rows go to the next one; or one group for all."""

    name: ClassVar[str] = "cut"
    groups: int = 3
    moved: tuple[int, ...] = (0, 10, 60, 20)
    one: bool = False

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        labels = np.searchsorted(np.quantile(data.endog, np.arange(1, self.groups) / self.groups), data.endog)
        labels[: self.moved[seed]] = (labels[: self.moved[seed]] + 1) % self.groups
        labels = np.zeros_like(labels) if self.one else labels
        values = coded(labels, self.groups, "onehot")
        probabilities = np.tile([0.5, 0.3, 0.2], (data.n, 1)) if self.one else None
        return Generated(self.name, values, lambda t, x: values, labels, probabilities)


def world(n: int = 300) -> IVData:
    random = np.random.default_rng(3)
    x = random.standard_normal((n, 2))
    t = x @ [1.0, -1.0] + 0.3 * random.standard_normal(n)
    return IVData(t, t, np.column_stack([x, x.sum(axis=1)]), np.zeros(n))  # the third column is the sum of two


def test_the_first_stage_is_the_f_test_of_a_regression() -> None:
    """Group dummies and their products with X against (1, X): statsmodels, without the column that is a sum."""
    data, maker = world(), Cut()
    made = maker.generate(data)
    assert made.labels is not None
    base = np.column_stack([np.ones(data.n), data.exog[:, :2]])
    full = np.column_stack([base, *(base * (made.labels == k)[:, None] for k in (1, 2))])
    expected = sm.OLS(data.endog, full).fit().compare_f_test(sm.OLS(data.endog, base).fit())[0]
    found = trust(maker, data, made, placebos=0, refits=0)
    assert found.first_stage_f == pytest.approx(expected, rel=1e-9)  # rounding of two ways to solve


def test_the_balance_test_has_as_many_degrees_as_moments_that_are_free() -> None:
    """Two groups beside the first times two covariates; the third covariate adds nothing."""
    data, maker = world(), Cut()
    labels = np.random.default_rng(8).integers(0, 3, data.n)
    made = replace(maker.generate(data), labels=labels)
    x = data.exog[:, :2] - data.exog[:, :2].mean(axis=0)
    own = [(labels == k) - (labels == k).mean() for k in (1, 2)]
    moments = np.column_stack([one[:, None] * x for one in own])
    mean = moments.mean(axis=0)
    statistic = data.n * mean @ np.linalg.solve(np.cov(moments.T, bias=True), mean)
    found = trust(maker, data, made, placebos=0, refits=0)
    assert 0.05 < found.balance_p < 0.95
    assert found.balance_p == pytest.approx(chi2.sf(statistic, 4), rel=1e-6)  # a pseudo-inverse drops what is left of 0
    lowest, highest = np.sort([x[labels == k].mean(axis=0) for k in range(3)], axis=0)[[0, -1]]
    assert found.balance["difference"][:2].to_numpy() == pytest.approx((highest - lowest) / x.std(axis=0))


def test_stability_is_the_worst_of_the_other_seeds() -> None:
    data, maker = world(), Cut()
    made = maker.generate(data)
    assert trust(maker, data, made, placebos=0, refits=3).stability == pytest.approx(1 - 60 / 300)
    assert trust(maker, data, made, placebos=0, refits=1).stability == pytest.approx(1 - 10 / 300)
    assert trust(maker, data, made, placebos=0, refits=0).stability == 1


def test_one_group_explains_nothing() -> None:
    data, maker = world(), Cut(one=True)
    found = trust(maker, data, maker.generate(data), placebos=4, refits=0)
    assert math.isnan(found.first_stage_f)
    assert found.placebo_p == 1
    assert "Data without groups" in found.concerns[0]


class Hill(Family):
    """One number w for each start: the log-likelihood is w, and a step moves it half of the way to .99, from .5 on."""

    def log_joint(self, parameters: Parameters) -> FloatArray:
        (w,) = parameters
        return np.asarray(w[:, None, None] + np.log(np.stack([w, 1 - w], axis=1))[:, :, None])

    def maximize(self, weights: FloatArray) -> Parameters:
        w = weights[:, 0, 0]
        return (np.where(w < 0.5, w, (w + 0.99) / 2),)


def test_the_best_starts_are_followed_until_none_gains() -> None:
    starts = (np.array([0.1, 0.3, 0.2]),)
    assert climb(Hill(), starts, Search(starts=3, short=2, kept=1)).loglik == pytest.approx(0.3)
    found = climb(Hill(), (np.array([0.2, 0.6]),), Search(starts=2, short=0, kept=2))
    assert found.loglik == pytest.approx(0.99, abs=1e-5)  # the last step is shorter than 1e-6, those left are as long
    assert found.parameters[0] == pytest.approx(found.loglik)


def test_few_placebos_say_little() -> None:
    """With 9 of them none can be below p = .1, which is not the same as that one of them has an F as large."""
    found = Trust(2, 50.0, np.full(9, 2.0), pd.DataFrame({"difference": [0.0]}), 0.5, 0.9, 1.0)
    assert found.placebo_p == 0.1
    assert [sentence[:16] for sentence in found.concerns] == ["None of the 9 da"]
    assert "Data without groups" in replace(found, placebo_f=np.array([2.0] * 8 + [60.0])).concerns[0]
    assert replace(found, placebo_f=np.full(19, 2.0)).concerns == ()


# ---- what the mixture itself says ------------------------------------------------------------------------------------

FAST = Search(starts=6, short=5, kept=2, steps=60)


def sources(kind: str, n: int = 300) -> IVData:
    random = np.random.default_rng(7)
    x, noise = random.standard_normal((2, n, 2))
    t = x.sum(axis=1) + 0.5 * noise[:, 0]
    if kind == "two":
        t = np.where(noise[:, 1] > 0, t, x @ [-1.0, 2.0])
    if kind == "binary":
        t = (t > 0).astype(float)
    return IVData(t, t, x, np.zeros(n))


@pytest.mark.parametrize("distribution", ["regression", "gmm"])
@pytest.mark.parametrize(("kind", "said"), [("one", ["One group for all rows has the smaller BIC"]), ("two", [])])
def test_one_source_is_told_from_two(kind: str, said: list[str], distribution: Any) -> None:
    """Gaussian noise around one regression: K = 2 gains less than the log(n) / 2 that each parameter costs."""
    notes = MetaEM(distribution=distribution, candidates=(2,), search=FAST).generate(sources(kind)).notes
    assert len(notes) == len(said)
    assert all(note.startswith(text) for note, text in zip(notes, said, strict=True))


def test_a_treatment_with_two_values_is_its_own_group() -> None:
    data = sources("binary")
    made = MetaEM(groups=2, search=FAST).generate(data)
    assert made.labels is not None
    assert (made.labels == data.endog).all()
    assert any("answer is that of ordinary regression" in note for note in made.notes)


def test_groups_without_rows_are_named() -> None:
    data = sources("one")
    alone = regression_mixture(data.exog, data.endog, 1)
    mixture = regression_mixture(data.exog, data.endog, 3, search=FAST)
    sure = np.eye(3)[np.zeros(data.n, int)]
    assert any(
        "nothing varies that could be an instrument" in note for note in doubts(mixture, alone, sure, data.endog)
    )
    sure[:9] = [0, 1, 0]
    assert any(
        note == "1 of the 3 groups is the most probable of no row." for note in doubts(mixture, alone, sure, data.endog)
    )


def test_a_small_treatment_is_lost_beside_what_a_gaussian_mixture_adds() -> None:
    data = sources("two")
    small = replace(data, endog=1e-4 * data.endog)
    maker = MetaEM(groups=2, distribution="gmm", search=FAST)
    assert any("another unit" in note for note in maker.generate(small).notes)
    assert not any("another unit" in note for note in maker.generate(data).notes)


@pytest.mark.parametrize("maker", [MetaEM(groups=2), MetaKM(groups=2)])
def test_a_constant_treatment_has_no_groups(maker: Generator) -> None:
    with pytest.raises(DesignError, match="treatment is constant"):
        maker.generate(replace(sources("one"), endog=np.full(300, 0.1)))


@pytest.mark.parametrize("maker", [MetaEM(groups=2), MetaKM(groups=2), AutoIV()])
@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_seeds_of_makers_are_integers_from_0(maker: Generator, seed: Any) -> None:
    with pytest.raises(DataError, match=r"seed .* was asked"):
        maker.generate(sources("two"), seed)


@pytest.mark.parametrize(
    ("maker", "wrong"),
    [
        (MetaEM, {"groups": 2.5}), (MetaEM, {"candidates": 3}), (MetaEM, {"coding": "none"}), (MetaKM, {"groups": "2"}),
        (MetaKM, {"representation": "cubes"}), (MetaKM, {"coding": "none"}), (MetaKM, {"starts": 2.5}),
        (AutoIV, {"dimension": 2.5}), (AutoIV, {"rate": math.nan}), (AutoIV, {"bandwidth": math.inf}),
        (Search, {"starts": 2.5}), (Search, {"tolerance": math.nan}),
    ],
)  # fmt: skip
def test_makers_refuse_settings_that_they_do_not_have(maker: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(wrong))}=.* was asked"):
        maker(**wrong)


def test_too_few_rows_are_told_of_the_fewest_groups() -> None:
    data = sources("one").rows(slice(8))
    with pytest.raises(DesignError, match="8 rows are too few for 2 groups"):
        MetaEM().generate(data)


def test_k_means_leaves_out_more_groups_than_there_are_different_rows() -> None:
    six = sources("one").rows(np.arange(60) % 6)
    made = MetaKM().generate(six)
    assert made.history is not None
    assert made.history["groups"].tolist() == [2, 3, 5]
    with pytest.raises(DesignError, match="6 different rows are too few for 7 groups"):
        MetaKM(groups=7).generate(six)

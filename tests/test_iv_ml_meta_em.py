"""Meta-KM and Meta-EM: groups that were never recorded, against true labels, scikit-learn and closed forms."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture as Reference

from ivbridge.errors import DataError, DesignError
from ivbridge.iv_ml import generator_class, mixture_gaussian
from ivbridge.iv_ml.alternating import Alternation
from ivbridge.iv_ml.clusters import kmeans
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generation.meta_em import MetaEM
from ivbridge.iv_ml.generation.meta_km import MetaKM
from ivbridge.iv_ml.group_number import mmd
from ivbridge.iv_ml.grouping import by_rule
from ivbridge.iv_ml.matching import agreement
from ivbridge.iv_ml.mixture_gaussian import gaussian_mixture
from ivbridge.iv_ml.mixture_regression import regression_mixture, whitened
from ivbridge.iv_ml.mixtures import Search
from ivbridge.iv_ml.regression.poly2sls import Poly2SLS
from ivbridge.iv_ml.representation import represented
from ivbridge.iv_ml.scenarios import rules
from ivbridge.iv_ml.scenarios.fusion import Fusion, FusionDraw, Sample
from ivbridge.iv_ml.training import Schedule
from ivbridge.iv_ml.trust import trust
from ivbridge.records import FloatArray, IntArray


def draw(shape: str = "linear", groups: int = 2, covariates: int = 5, seed: int = 1, n: int = 3000) -> FusionDraw:
    return Fusion(shape, groups=groups, covariates=covariates).draw(n=n, seed=seed)  # type: ignore[arg-type]


def oracle(one: FusionDraw, shape: str) -> float:
    """Accuracy of the most probable source for the true parameters; E[ε | X] is .1 ΣX in these worlds."""
    t, x = one.train.data.endog, one.train.data.exog
    every = [np.full(len(x), k) for k in range(len(one.weights))]
    means = [rules.treatment(x, k, one.weights, shape, "code") + 0.02 * x.sum(axis=1) for k in every]  # type: ignore[arg-type]
    nearest = np.abs(t - np.array(means)).argmin(axis=0)
    return agreement(nearest, one.train.labels)


def accuracy(maker: MetaEM | MetaKM, one: Sample, seed: int = 1) -> float:
    labels = maker.generate(one.data, seed).labels
    assert labels is not None
    return agreement(labels, one.labels)


def two_lines(n: int = 400, seed: int = 5) -> tuple[FloatArray, FloatArray, IntArray]:
    """R (n, 2), T, labels: slopes (1, 0) and (-1, 1)."""
    random = np.random.default_rng(seed)
    r, labels = random.standard_normal((n, 2)), random.integers(0, 2, n)
    t = np.einsum("ij,ij->i", r, np.array([[1.0, 0.0], [-1.0, 1.0]])[labels]) + 0.3 * random.standard_normal(n)
    return r, t, labels


def loglik(coefficients: FloatArray, variances: FloatArray, shares: FloatArray, r: FloatArray, t: FloatArray) -> float:
    """Of a mixture of regressions, from scipy's densities."""
    means = coefficients[:, 0] + r @ coefficients[:, 1:].T
    return float(logsumexp(norm.logpdf(t[:, None], means, np.sqrt(variances)) + np.log(shares), axis=1).sum())


def test_the_generators_are_found_by_name() -> None:
    assert generator_class("meta_em") is MetaEM
    assert generator_class("meta_km") is MetaKM


# ---- accuracy, clusters, MMD


def test_agreement_does_not_depend_on_names() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert agreement(labels, np.array([2, 2, 0, 0, 1, 1])) == 1
    assert agreement(labels, np.array([0, 0, 0, 0, 1, 1])) == 4 / 6  # one group has no partner
    with pytest.raises(DataError, match="6 labels came with 1"):
        agreement(labels, np.array([1]))


def test_k_means_finds_the_smallest_sum_of_squares() -> None:
    random = np.random.default_rng(3)
    values = random.standard_normal((300, 2)) + 3 * random.integers(0, 3, (300, 1))
    labels, centers = kmeans(values, 4, seed=1)
    other = KMeans(4, n_init=10, random_state=0).fit(values)
    ours = float(((values - centers[labels]) ** 2).sum())
    assert ours <= other.inertia_ * 1.001  # two searches from 10 random starts each may end beside each other
    with pytest.raises(DesignError, match="3 different rows"):
        kmeans(np.repeat(np.eye(3), 5, axis=0), 4)


def test_mmd_is_a_mean_over_pairs() -> None:
    x = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    assert mmd(x, np.array([0, 1, 2]), 3) == pytest.approx((4 + 9 + 13) / 3)
    assert mmd(x, np.array([0, 1, 1]), 3) == np.inf
    with pytest.raises(DataError, match="no pairs"):
        mmd(x, np.array([0, 0, 0]), 1)


# ---- mixtures


def test_one_group_is_ordinary_regression() -> None:
    r, t, _ = two_lines()
    found = regression_mixture(r, t, 1)
    design = np.column_stack([np.ones(len(t)), r])
    expected = np.linalg.lstsq(design, t, rcond=None)[0]
    residuals = t - design @ expected
    np.testing.assert_allclose(found.coefficients[0], expected, atol=1e-6)  # a ridge of 1e-8 holds the system up
    assert found.loglik == pytest.approx(norm.logpdf(residuals, 0, residuals.std()).sum(), rel=1e-9)
    assert found.free == 4


@pytest.mark.parametrize("equal", [True, False])
def test_the_likelihood_of_the_regressions_is_at_a_maximum(equal: bool) -> None:
    """By central differences of a likelihood that is written down anew; EM stops where a step adds 1e-6 a row."""
    r, t, labels = two_lines()
    found = regression_mixture(r, t, 2, equal=equal, search=Search(tolerance=1e-12))
    c, v, s = found.coefficients, found.variances, found.shares
    assert found.loglik == pytest.approx(loglik(c, v, s, r, t), rel=1e-9)
    assert agreement(found.probabilities(r, t).argmax(axis=1), labels) > 0.85
    h = 1e-5
    for place in np.ndindex(c.shape):
        up, down = c.copy(), c.copy()
        up[place] += h
        down[place] -= h
        slope = (loglik(up, v, s, r, t) - loglik(down, v, s, r, t)) / (2 * h)
        assert abs(slope) < 0.01  # the curvature is about n/s² = 4000: the maximum is 2.5e-6 away at most
    scaled = [(loglik(c, v * f, s, r, t) - found.loglik) for f in (0.98, 1.02)]
    assert max(scaled) < 0


def test_em_never_loses_likelihood() -> None:
    r, t, _ = two_lines()
    steps = [regression_mixture(r, t, 2, search=Search(1, 0, 1, k)).loglik for k in range(1, 12)]
    assert np.diff(steps).min() > -1e-6  # the ridge of 1e-8 may cost as much as it weighs
    gaussians = [gaussian_mixture(r, t, 2, search=Search(1, 0, 1, k)).loglik for k in range(1, 12)]
    assert np.diff(gaussians).min() > -1e-2  # 1e-6 is added to the variances in each step


def test_groups_do_not_depend_on_units_collinear_columns_or_the_order_of_rows() -> None:
    r, t, _ = two_lines()
    usual = regression_mixture(r, t, 2).probabilities(r, t)
    mixed = np.column_stack([100 * r[:, 0] - r[:, 1], r[:, 1], r.sum(axis=1)])
    order = np.random.default_rng(1).permutation(len(t))
    moved = regression_mixture(mixed, 10 * t, 2).probabilities(mixed, 10 * t)
    assert agreement(usual.argmax(axis=1), moved.argmax(axis=1)) == 1
    shuffled = regression_mixture(r[order], t[order], 2).probabilities(r[order], t[order])
    assert agreement(usual[order].argmax(axis=1), shuffled.argmax(axis=1)) == 1


def test_the_gaussians_are_those_of_scikit_learn() -> None:
    """Both from the same labels, both to the end; scikit-learn's likelihood is a mean over rows."""
    one = draw(groups=3, covariates=3, n=600).train.data
    values = np.column_stack([one.endog, one.exog])
    weights = np.eye(3)[kmeans(values, 3, seed=2)[0]]
    ours = gaussian_mixture(one.exog, one.endog, 3, weights=weights, search=Search(1, 0, 1, 3000, 1e-11))
    means = weights.T @ values / weights.sum(axis=0)[:, None]
    precisions = [np.linalg.inv(np.cov(values[own > 0].T, bias=True) + 1e-6 * np.eye(4)) for own in weights.T]
    other = Reference(
        3, weights_init=weights.mean(axis=0), means_init=means, precisions_init=precisions, max_iter=3000, tol=1e-11
    ).fit(values)
    assert ours.loglik / 600 == pytest.approx(other.score(values), abs=1e-7)  # steps of 1e-11 a row are left out
    np.testing.assert_allclose(ours.means, other.means_, atol=1e-3)
    np.testing.assert_allclose(ours.probabilities(one.exog, one.endog), other.predict_proba(values), atol=1e-3)
    assert ours.bic(600) == pytest.approx(other.bic(values), rel=1e-6)


def test_equation_6_starts_from_the_moments_of_r() -> None:
    r, t, _ = two_lines()
    values = np.column_stack([t, r])
    means, covariances, shares = mixture_gaussian._moments(values, 3, np.random.default_rng(0), 4)
    np.testing.assert_allclose(means[..., 1:], np.broadcast_to(r.mean(axis=0), (4, 3, 2)))
    expected = np.broadcast_to(np.cov(r.T, bias=True), (4, 3, 2, 2))
    np.testing.assert_allclose(covariances[..., 1:, 1:], expected, atol=2e-6)  # 1e-6 is added to variances
    assert (np.linalg.eigvalsh(covariances) > 0).all()
    assert len(np.unique(covariances[..., 0, 1])) == 12
    assert (shares == 1 / 3).all()


def test_too_few_rows_are_refused() -> None:
    r, t, _ = two_lines(20)
    with pytest.raises(DesignError, match="too few for 4 groups"):
        regression_mixture(r, t, 4)
    with pytest.raises(DesignError, match="too few for 4 Gaussians"):
        gaussian_mixture(r, t, 4)
    with pytest.raises(DataError, match="was asked"):
        Search(tolerance=0)


# ---- representations


def test_own_terms_are_the_polynomial_without_products() -> None:
    """T = X1 - 2 X1² + X2³ without noise: the columns are these sums, standardised."""
    x = np.random.default_rng(2).standard_normal((800, 2))
    first, second = x[:, 0] - 2 * x[:, 0] ** 2, x[:, 1] ** 3
    r = represented("polynomial", x, first + second)(x)
    for column, expected in zip(r.T, (first, second), strict=True):
        assert np.corrcoef(column, expected)[0, 1] > 0.9999  # the smallest penalty is 1e-5


@pytest.mark.parametrize(("form", "columns"), [("identity", 2), ("polynomial", 2), ("powers", 6), ("splines", 8)])
def test_representations_are_standardised(form: str, columns: int) -> None:
    r, t, _ = two_lines()
    made = represented(form, r, t)(r)  # type: ignore[arg-type]
    assert made.shape == (400, columns)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(made.std(axis=0), 1, rtol=1e-12)


def test_a_line_broken_at_the_quartiles_is_in_the_splines() -> None:
    x = np.random.default_rng(4).standard_normal((200, 1))
    target = np.abs(x[:, 0] - np.median(x))
    design, _ = whitened(represented("splines", x, target)(x))
    np.testing.assert_allclose(design @ (design.T @ target) / 200, target, atol=1e-10)


# ---- the generators


@pytest.mark.parametrize("shape", ["linear", "poly", "abs"])
def test_the_groups_come_back_as_well_as_the_true_parameters_find_them(shape: str) -> None:
    """The goal is 2 points."""
    one = draw(shape)
    assert accuracy(MetaEM(groups=2), one.train) > oracle(one, shape) - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["linear", "poly", "sin", "sigmoid", "abs"])
@pytest.mark.parametrize(("groups", "covariates"), [(2, 5), (3, 3), (5, 5)])
def test_within_two_points_of_the_oracle_in_every_world(shape: str, groups: int, covariates: int) -> None:
    worlds = [draw(shape, groups, covariates, seed) for seed in (1, 2, 3)]
    found = [accuracy(MetaEM(groups=groups), one.train) for one in worlds]
    assert np.mean(found) > np.mean([oracle(one, shape) for one in worlds]) - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("distribution", ["regression", "gmm"])
@pytest.mark.parametrize("shape", ["poly", "sin", "abs"])
def test_a_network_keeps_the_groups_within_two_points(shape: str, distribution: str) -> None:
    """For Gaussians the start is the pooled polynomial, which finds 63 to 94% here: they have 4 points."""
    one = draw(shape)
    maker = MetaEM(groups=2, representation="neural", distribution=distribution)  # type: ignore[arg-type]
    assert accuracy(maker, one.train) > oracle(one, shape) - (0.02 if distribution == "regression" else 0.04)


@pytest.mark.parametrize(("groups", "covariates"), [(2, 5), (3, 3)])
def test_the_number_of_groups_is_found(groups: int, covariates: int) -> None:
    one = draw("linear", groups, covariates, n=1500).train.data
    for criterion in ("bic", "mmd"):
        maker = MetaEM(criterion=criterion, candidates=(2, 3, 5), representation="identity")  # type: ignore[arg-type]
        assert maker.generate(one).values.shape == (1500, groups)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "groups", "covariates"), [("linear", 3, 5), ("linear", 5, 5), ("abs", 3, 3)])
def test_bic_finds_the_number_of_groups_in_harder_worlds(shape: str, groups: int, covariates: int) -> None:
    made = MetaEM(candidates=(2, 3, 4, 5, 6)).generate(draw(shape, groups, covariates).train.data)
    assert made.values.shape == (3000, groups)


def test_the_published_program_has_the_published_mmd() -> None:
    """Read off the paper's Figure 4 for Linear-2-5 and K = 2, 3, 5, 10; the eye errs by .1, one draw by .4."""
    one = draw().train.data
    for maker, figure in ((MetaKM(), [1.8, 2.2, 3.4, 4.7]), (MetaEM.published(), [0.0, 1.9, 2.7, 3.4])):
        history = maker.generate(one).history
        assert history is not None
        np.testing.assert_allclose(history["mmd"], figure, atol=0.7)
        assert len(np.unique(history["groups"])) == 4


def test_the_published_program_loses_groups_where_r_is_not_gaussian() -> None:
    """Why the mixture of regressions is the default: a free Gaussian splits the skewed squares instead."""
    one = draw("poly").train
    assert accuracy(MetaEM.published(2), one) < accuracy(MetaEM(groups=2), one) - 0.1


def test_a_label_that_is_used_as_a_number_runs_along_the_rules() -> None:
    """The slopes of X1 are .8, .2 and -.8; group 2 has the largest intercept, so an order by T is another one."""
    one = draw(groups=3, covariates=3).train
    made = MetaEM(groups=3, coding="label").generate(one.data)
    assert made.values.shape == (3000, 1)
    middle = one.labels[made.values[:, 0] == 1]
    assert np.bincount(middle).argmax() == 1
    assert made.probabilities is not None
    turned = by_rule(made.probabilities[:, [2, 0, 1]], one.data.exog, one.data.endog)
    np.testing.assert_array_equal(turned, [1, 2, 0])  # the same groups in the same order
    two = draw().train.data  # here the intercepts are 0 and 1
    labels = MetaEM(groups=2, representation="identity").generate(two).labels
    assert labels is not None
    assert two.endog[labels == 1].mean() > two.endog[labels == 0].mean() + 0.5


def test_soft_and_sampled_instruments_follow_the_probabilities() -> None:
    one = draw(groups=3, covariates=3).train.data
    soft = MetaEM(groups=3, assignment="soft", representation="identity")
    made = soft.generate(one)
    assert made.probabilities is not None
    np.testing.assert_array_equal(made.values, made.probabilities)
    np.testing.assert_allclose(made.values.sum(axis=1), 1)
    drawn = replace(soft, assignment="sampled").generate(one, seed=0)
    assert drawn.labels is not None
    right = made.probabilities[np.arange(3000), drawn.labels]
    expected = (made.probabilities**2).sum(axis=1).mean()
    assert right.mean() == pytest.approx(expected, abs=4 * right.std() / np.sqrt(3000))
    assert not np.array_equal(drawn.labels, made.labels)
    other = replace(soft, assignment="sampled").generate(one, seed=1).labels
    assert not np.array_equal(drawn.labels, other)


def test_rows_that_were_not_seen_get_the_same_instrument_by_the_same_rule() -> None:
    one = draw(n=600).train.data
    for maker in (MetaEM(groups=2), MetaKM(groups=2), MetaEM(groups=2, assignment="soft"), MetaEM.published(2)):
        made = pickle.loads(pickle.dumps(maker.generate(one, seed=3)))
        np.testing.assert_array_equal(made.assign(one.endog, one.exog), made.values)
        few = made.assign(one.endog[:7], one.exog[:7])
        np.testing.assert_allclose(few, made.values[:7], rtol=0, atol=1e-12)  # rounding of shorter sums
        np.testing.assert_array_equal(maker.generate(one, seed=3).values, made.values)


def test_a_network_learns_in_turn_with_the_groups() -> None:
    one = draw(n=400).train.data
    short = Alternation(rounds=2, schedule=Schedule(3, 100), hidden=4)
    maker = MetaEM(groups=2, representation="neural", alternation=short)
    made = maker.generate(one, seed=1)
    assert made.history is not None
    rounds = made.history[made.history["stage"] == "representation"]
    assert rounds["round"].tolist() == [1, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(maker.generate(one, seed=1).values, made.values)
    np.testing.assert_array_equal(made.assign(one.endog, one.exog), made.values)


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(DataError, match="groups=1"):
        MetaEM(groups=1)
    with pytest.raises(DataError, match="groups=1"):
        MetaKM(groups=1)
    with pytest.raises(DataError, match="'em'"):
        MetaEM(distribution="em")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one label"):
        MetaEM(assignment="soft", coding="label")
    with pytest.raises(DataError, match="rounds=0"):
        Alternation(rounds=0)
    few = IVData(np.arange(12.0), np.arange(12.0) ** 2, np.arange(12.0) % 5, np.zeros(12))
    with pytest.raises(DesignError, match="too few"):
        MetaEM(groups=5).generate(few)
    with pytest.raises(DesignError, match="No covariate varies"):
        MetaEM(groups=2).generate(IVData(np.arange(12.0), np.arange(12.0), np.ones((12, 1)), np.zeros(12)))


@pytest.mark.slow
def test_the_instrument_serves_as_the_true_one() -> None:
    """Table 1, Poly2SLS on Linear-3-3: NoneIV .33, GIV_EM .05(.00), TrueIV .05(.00); goals 1.15 and 3."""
    method = Poly2SLS(standardize=False)
    errors: dict[str, list[float]] = {"none": [], "em": [], "true": []}
    for seed in range(1, 6):
        one = draw(groups=3, covariates=3, seed=seed)
        made = MetaEM(groups=3, coding="label").applied(one.train.data, seed)
        given = {"none": np.zeros(3000), "em": made.instruments, "true": one.train.labels.astype(float)}
        for name, z in given.items():
            test = one.test
            curve = method.fit(one.train.data.with_instruments(z))
            found = curve.predict(test.data.endog, test.data.exog)
            errors[name].append(float(np.mean((found - test.truth) ** 2)))
    means = {name: np.mean(values) for name, values in errors.items()}
    assert means["em"] <= 1.15 * means["true"]
    assert means["none"] >= 3 * means["true"]
    assert means["em"] == pytest.approx(0.05, abs=0.01)  # .005 of rounding, and two standard errors of five draws


# ---- trust


def test_a_good_grouping_gives_no_concern() -> None:
    """.94 is what the true parameters give: the bound that the probabilities promise is the oracle's accuracy."""
    one = draw(n=1000)
    maker = MetaEM(groups=2, representation="identity")
    seen = trust(maker, one.train.data, maker.generate(one.train.data))
    assert seen.concerns == ()
    assert seen.placebo_p == 0.05
    assert seen.first_stage_f > 10 * seen.placebo_f.max()
    assert seen.expected_accuracy == pytest.approx(oracle(one, "linear"), abs=0.02)  # 2.6 standard errors of 1000 rows


@pytest.mark.parametrize("noise", ["normal", "t"])
def test_groups_that_are_not_there_are_seen_through(noise: str) -> None:
    """F is over 50 here, whatever the noise; a placebo's is as well."""
    random = np.random.default_rng(0)
    x = random.standard_normal((600, 3))
    t = x @ [1, 0.5, -0.5] + (random.standard_normal(600) if noise == "normal" else random.standard_t(3, 600))
    data = IVData(t, t, x, np.zeros(600))
    maker = MetaEM(groups=2, representation="identity")
    seen = trust(maker, data, maker.generate(data))
    assert seen.first_stage_f > 10
    assert seen.placebo_p > 0.05
    assert "Data without groups" in seen.concerns[0]


def test_k_means_is_caught_by_the_balance_of_the_covariates() -> None:
    one = draw(n=1000).train
    maker = MetaKM(groups=2)
    seen = trust(maker, one.data, maker.generate(one.data), placebos=0)
    assert np.isnan(seen.placebo_p)
    assert np.isnan(seen.expected_accuracy)
    assert seen.balance_p < 1e-20
    assert any("not drawn at random" in sentence for sentence in seen.concerns)


def test_only_groups_of_these_rows_are_judged() -> None:
    one = draw(n=100).train.data
    made = MetaKM(groups=2).generate(one)
    with pytest.raises(DataError, match="makes no groups"):
        trust(MetaKM(), one, replace(made, labels=None))
    with pytest.raises(DataError, match="100 labels came with 50 rows"):
        trust(MetaKM(), one.rows(slice(50)), made)


@pytest.mark.slow
def test_the_balance_test_has_its_size() -> None:
    """100 worlds in which groups are drawn at random: at most 5% ± 2.6 standard errors are refused at 5%."""
    maker = MetaEM(groups=2, representation="identity")
    worlds = [draw(seed=seed, n=1000).train.data for seed in range(1, 101)]
    found = np.array([trust(maker, one, maker.generate(one), placebos=0, refits=0).balance_p for one in worlds])
    assert (found < 0.05).sum() <= 10
    assert 30 <= (found < 0.5).sum() <= 70

"""Batches of replications: what the ordinary engine, R and exact arithmetic give for each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearmodels.iv import IVLIML

import ivbridge
from ivbridge import batch
from ivbridge.batch import Fits
from ivbridge.errors import DataError, DesignError, UnsupportedError

#: Twelve digits, the claim. Of a coefficient they are counted on the larger of itself and its standard error.
TWELVE = 1e-12

METHODS = ("2sls", "liml", "fuller(1)", "fuller(4)")
VCOVS = ("classical", "HC0", "HC1", "cluster(g)", "cluster(g, type=HC1)", "cluster(g, cadjust=False)")


@dataclass(frozen=True)
class World:
    """Replications of one design: p controls beside the constant, q endogenous regressors, e excluded instruments."""

    seed: int = 1
    count: int = 3
    n: int = 60
    p: int = 1
    q: int = 1
    e: int = 2
    constant: bool = True
    offset: float = 0.0
    strength: float = 1.0
    dependence: float = 0.0

    def draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """y (B, n), exogenous (B, n, p+1) with the constant last, endogenous (B, n, q), instruments (B, n, e)."""
        random = np.random.default_rng(self.seed)
        shape = (self.count, self.n)
        w, z = random.standard_normal((*shape, self.p)), random.standard_normal((*shape, self.e))
        u = random.standard_normal(shape)
        x = self.strength * z @ random.uniform(0.5, 1.5, (self.e, self.q)) * (1 + np.arange(self.q))
        x += 0.5 * w.sum(axis=2, keepdims=True) + u[:, :, None] + random.standard_normal((*shape, self.q))
        if self.e >= self.q > 1:  # each instrument has its own regressor, too
            x += 2 * z[:, :, : self.q]
        y = x.sum(axis=2) + w.sum(axis=2) + u * (1 + z[:, :, 0] ** 2)
        if self.dependence:
            z[:, :, 0] = w[:, :, 0] + z[:, :, 0] / self.dependence
        w, z, x, y = (part + self.offset for part in (w, z, x, y))
        ones = np.ones((*shape, 1))
        return y, np.concatenate([w, ones], axis=2) if self.constant else w, x, z

    @property
    def clusters(self) -> np.ndarray:
        """Eight clusters of unequal size, (n,)."""
        return np.random.default_rng(self.seed + 1).integers(0, 8, self.n) ** 2


def asked(world: World, vcov: str, method: str = "2sls") -> Fits:
    """The batch's answers."""
    return batch.fit(*world.draw(), vcov, method, world.clusters if vcov.startswith("cluster") else None)


def by_engine(world: World, b: int, vcov: str, method: str, engine: str = "native") -> ivbridge.Estimate:
    """The engine's answer to one replication."""
    spec, frame = ivbridge.from_arrays(*(part[b] for part in world.draw()))
    return ivbridge.fit(spec, frame.assign(g=world.clusters), vcov, engine, method=method)


def apart(found: Fits, b: int, estimate: np.ndarray, std_error: np.ndarray) -> float:
    """The largest relative distance of one replication from a reference."""
    coef = np.abs(found.coef[b] - estimate) / np.maximum(np.abs(estimate), std_error)
    return float(max(coef.max(), (np.abs(found.std_error[b] / std_error - 1)).max()))


def apart_from_engine(found: Fits, b: int, answer: ivbridge.Estimate) -> float:
    assert found.names == answer.terms
    assert (found.n, found.df_resid) == (answer.n, answer.df_resid)
    return apart(found, b, answer.coefs.estimate, answer.coefs.std_error)


designs = st.builds(
    World,
    seed=st.integers(0, 10**6),
    count=st.just(2),
    n=st.integers(40, 90),
    p=st.integers(0, 3),
    q=st.integers(1, 2),
    e=st.integers(2, 9),
    constant=st.booleans(),
    offset=st.sampled_from([0.0, 3.0, 50.0]),
    dependence=st.sampled_from([0.0, 20.0, 300.0]),
).map(lambda world: replace(world, p=max(world.p, int(world.dependence > 0)), offset=world.offset * world.constant))


@settings(max_examples=60, deadline=None)
@given(designs, st.sampled_from(METHODS), st.sampled_from(VCOVS))
def test_every_replication_is_what_the_ordinary_engine_gives(world: World, method: str, vcov: str) -> None:
    found = asked(world, vcov, method)
    for b in range(world.count):
        answer = by_engine(world, b, vcov, method)
        assert apart_from_engine(found, b, answer) < TWELVE
        if answer.kappa is not None:
            assert found.kappa is not None
            assert found.kappa[b] == pytest.approx(answer.kappa, rel=TWELVE)


def test_and_none_of_a_usual_design_needs_the_ordinary_engine() -> None:
    for method in METHODS:
        assert not asked(World(count=200, n=100), "HC1", method).notes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("vcov", VCOVS)
def test_r_says_the_same(method: str, vcov: str) -> None:
    world = World(count=2, q=2, e=4)
    found = asked(world, vcov, method)
    for b in range(world.count):
        # R itself leaves about κu·√n of these well-conditioned columns
        assert apart_from_engine(found, b, by_engine(world, b, vcov, method, "r")) < TWELVE


def exact(world: World, b: int) -> tuple[np.ndarray, np.ndarray]:
    """2SLS with standard errors clustered by ``world.clusters``, in 50 digits."""
    y, w, x, z = (part[b] for part in world.draw())
    w = np.roll(w, 1, axis=1)  # the constant in front
    with mpmath.workdps(50):
        left, inside, response = (
            mpmath.matrix(part.tolist()) for part in (np.column_stack([w, x]), np.column_stack([w, z]), y)
        )
        projected = inside * ((inside.T * inside) ** -1 * (inside.T * left))
        bread = (projected.T * projected) ** -1
        coef = bread * (projected.T * response)
        rest = response - left * coef
        groups, codes = np.unique(world.clusters, return_inverse=True)
        sums = mpmath.zeros(len(groups), left.cols)
        for i, code in enumerate(codes):
            for j in range(left.cols):
                sums[int(code), j] += projected[i, j] * rest[i]
        cov = bread * sums.T * sums * bread * len(groups) / (len(groups) - 1)
        errors = [mpmath.sqrt(cov[j, j]) for j in range(left.cols)]
    return np.array([float(value) for value in coef]), np.array([float(value) for value in errors])


@pytest.mark.parametrize("offset", [10.0, 1e3, 1e6])
def test_columns_far_from_zero_cost_no_digits(offset: float) -> None:
    """Deviations from the mean are exact where values are this close to each other, so that nothing is lost."""
    world = World(count=2, n=40, offset=offset)
    found = asked(world, "cluster(g)")
    assert not found.notes
    for b in range(world.count):
        assert apart(found, b, *exact(world, b)) < 1e-13 * max(1.0, offset / 1e5)  # of the constant: mean·u·√n


@pytest.mark.parametrize("dependence", [30.0, 1000.0, 1e4])
def test_instruments_that_hardly_differ_cost_no_more_than_three_digits(dependence: float) -> None:
    world = World(count=2, n=40, dependence=dependence)
    found = asked(world, "cluster(g)")
    assert bool(found.notes) == (dependence > 1000)
    for b in range(world.count):
        assert apart(found, b, *exact(world, b)) < TWELVE


def test_ordinary_least_squares_is_rs_lm() -> None:
    """AER's ivreg without instruments: lm's numbers but for the default type of clusters, which is asked for here."""
    world = World(count=2)
    y, w, x, z = world.draw()
    for vcov in ("classical", "HC0", "HC1", "cluster(g)"):
        clusters = world.clusters if vcov == "cluster(g)" else None
        found = batch.fit(y, w, x, z, vcov, "ols", clusters)
        assert found.method == "ols"
        for b in range(world.count):
            spec, frame = ivbridge.from_arrays(y[b], np.column_stack([w[b], x[b]]), None, None)
            kind = "cluster(g, type=HC1)" if clusters is not None else vcov
            answer = ivbridge.fit(spec, frame.assign(g=world.clusters), kind, "r")
            assert apart(found, b, answer.coefs.estimate, answer.coefs.std_error) < TWELVE


@pytest.mark.parametrize("kappa", [-0.5, 0.0, 0.7, 1.0, 1.001])
def test_the_k_class_is_that_of_linearmodels(kappa: float) -> None:
    world = World(count=2, n=100, e=3)
    y, w, x, z = world.draw()
    for vcov, options in (("HC1", {"cov_type": "robust"}), ("classical", {"cov_type": "unadjusted"})):
        found = batch.fit(y, w, x, z, vcov, f"kclass({kappa})")
        assert found.method == f"kclass({kappa})"
        np.testing.assert_array_equal(found.kappa, kappa)
        for b in range(2):
            other = IVLIML(y[b], w[b][:, ::-1], x[b], z[b], kappa=kappa).fit(debiased=True, **options)
            # linearmodels' normal equations: κ(X)²u
            assert apart(found, b, other.params.to_numpy(), other.std_errors.to_numpy()) < 1e-10


def test_the_k_class_contains_the_others() -> None:
    """κ = 0 is least squares and κ = 1 two-stage least squares; LIML's own κ gives LIML, by itself as in the batch."""
    world = World(count=2, e=4)
    y, w, x, z = world.draw()
    for kappa, method in ((0.0, "ols"), (1.0, "2sls")):
        one, other = (batch.fit(y, w, x, z, "classical", m) for m in (f"kclass({kappa})", method))
        np.testing.assert_allclose(one.coef, other.coef, rtol=1e-11)
    hard = replace(world, dependence=1e5)
    y, w, x, z = hard.draw()
    liml = batch.fit(y, w, x, z, "HC0", "fuller(2)")
    assert liml.kappa is not None
    for b in range(2):
        part = slice(b, b + 1)
        found = batch.fit(y[part], w[part], x[part], z[part], "HC0", batch.KClass(float(liml.kappa[b])))
        assert found.notes == {0: "by itself"}
        # κ is rounded when it is turned into Fuller's a and back
        np.testing.assert_allclose(found.coef[0], liml.coef[b], rtol=1e-11)
        np.testing.assert_allclose(found.std_error[0], liml.std_error[b], rtol=1e-11)
    beyond = batch.fit(y, w, x, z, "HC0", "kclass(2)")
    assert beyond.failed == (0, 1)
    assert "below that of LIML" in beyond.notes[0]


def test_a_hard_replication_of_least_squares_has_the_same_type_of_clusters() -> None:
    world = World(count=1)
    y, w, x, z = world.draw()
    w[0, :, 0] = x[0, :, 0] + w[0, :, 0] / 1e6
    found = batch.fit(y, w, x, z, "cluster(g)", "ols", world.clusters)
    assert found.notes == {0: "by itself"}
    spec, frame = ivbridge.from_arrays(y[0], np.column_stack([w[0], x[0]]), None, None)
    answer = ivbridge.fit(spec, frame.assign(g=world.clusters), "cluster(g, type=HC1)")
    assert apart(found, 0, answer.coefs.estimate, answer.coefs.std_error) < 1e-10  # κu of the standard errors


def test_numbers_do_not_depend_on_the_other_replications() -> None:
    """Hard replications among easy ones, chunks that end elsewhere, and each alone: the same bits."""
    y, w, x, z = World(count=150, n=300, q=2, e=4).draw()
    hard = slice(20, 40)
    z[hard, :, 0] = w[hard, :, 0] + z[hard, :, 0] / 50
    x[60:70] += 300
    for method in ("2sls", "fuller(1)"):
        found = batch.fit(y, w, x, z, "HC1", method)
        for part in (slice(0, 1), slice(35, 62), slice(149, 150)):
            again = batch.fit(y[part], w[part], x[part], z[part], "HC1", method)
            np.testing.assert_array_equal(again.coef, found.coef[part])
            np.testing.assert_array_equal(again.cov, found.cov[part])


def test_what_all_replications_share_is_given_once() -> None:
    world = World(count=100, n=200)
    y, w, x, z = world.draw()
    codes = np.random.default_rng(3).integers(0, 9, y.shape)
    x[7] += 1e4  # is centred, in a buffer that holds the shared columns
    many = batch.fit(y, np.broadcast_to(w[0], w.shape), x, np.broadcast_to(z[0], z.shape), "HC1")
    once = batch.fit(y, w[0], x[:, :, 0], z[0], "HC1")
    np.testing.assert_array_equal(once.coef, many.coef)
    np.testing.assert_array_equal(once.cov, many.cov)
    own = batch.fit(y, w, x, z, "cluster(g)", "2sls", codes)
    for b in (0, 99):
        single = batch.fit(y[b : b + 1], w[b], x[b : b + 1], z[b], "cluster(g)", "2sls", codes[b])
        np.testing.assert_allclose(single.cov[0], own.cov[b], rtol=1e-14)


def test_a_replication_without_an_answer_has_nan_and_says_why() -> None:
    y, w, x, z = World(count=6).draw()
    w[1, :, 0] = 1.0
    z[2, :, 1] = 2 * z[2, :, 0]
    y[3, 5] = np.nan
    z[4] = w[4, :, :1]
    found = batch.fit(y, w, x, z, "HC1")
    assert found.failed == (1, 3, 4)
    assert np.isnan(found.coef[[1, 3, 4]]).all()
    assert np.isnan(found.std_error[[1, 3, 4]]).all()
    assert np.isfinite(found.coef[[0, 2, 5]]).all()
    assert found.notes[1] == "no estimate: w1 depends linearly on other columns."
    assert "missing or infinite" in found.notes[3]
    assert "not identified" in found.notes[4]
    assert found.notes[2] == "by itself, without z2, which depends linearly on other columns"
    assert sorted(found.notes) == [1, 2, 3, 4]
    spec, frame = ivbridge.from_arrays(y[2], w[2], x[2], z[2])
    assert apart_from_engine(found, 2, ivbridge.fit(spec, frame, "HC1")) < 1e-14  # the same arithmetic
    assert "3 without an estimate" in repr(found)


def test_a_hopeless_instrument_is_left_to_the_ordinary_engine() -> None:
    """Columns within 1e-7 of each other are R's limit of dependence; 1e-5 is answered, with a note."""
    world = World(count=2, dependence=1e5)
    found = asked(world, "HC0")
    assert list(found.notes.values()) == ["by itself"] * 2
    assert (found.condition > 1e5).all()
    for b in range(2):
        assert apart_from_engine(found, b, by_engine(world, b, "HC0", "2sls")) < TWELVE


def test_a_regression_without_residuals_is_left_to_the_ordinary_engine() -> None:
    y, w, x, z = World(count=2).draw()
    y = x[:, :, 0] + 1e-8 * y
    found = batch.fit(y, w, x, z, "HC1")
    assert list(found.notes.values()) == ["by itself"] * 2


def test_liml_with_instruments_that_say_nothing() -> None:
    """Where the ordinary engine has no κ, there is none here; elsewhere both agree."""
    world = World(count=40, n=40, strength=0.0, e=6)
    found = asked(world, "HC0", "liml")
    for b in range(0, 40, 8):
        try:
            answer = by_engine(world, b, "HC0", "liml")
        except DesignError:
            assert b in found.failed
        else:
            assert apart_from_engine(found, b, answer) < TWELVE


@pytest.mark.parametrize("noise", [0.1, 1e-3, 1e-6])
def test_liml_where_y_and_x_leave_nearly_the_same_residuals(noise: float) -> None:
    """Then κ is found from cross-products that are nearly singular, which the guard has to see."""
    y, w, x, z = World(count=2, n=80, e=4).draw()
    random = np.random.default_rng(2)
    u = random.standard_normal(y.shape)
    x = z.sum(axis=2) + u
    y = 2 * x + w[:, :, 0] + u + noise * random.standard_normal(y.shape)
    found = batch.fit(y, w, x, z, "HC1", "liml")
    assert len(found.notes) == (0 if noise == 0.1 else 2)
    for b in range(2):
        spec, frame = ivbridge.from_arrays(y[b], w[b], x[b], z[b])
        assert apart_from_engine(found, b, ivbridge.fit(spec, frame, "HC1", method="liml")) < TWELVE


def test_coefficients_are_corrected_by_what_rounding_left() -> None:
    """Exactly identified: the mean error is 2e-16 to 3e-16, and ten times that without the step."""
    worlds = [
        World(seed=seed, count=1, n=40, e=1, dependence=dependence) for seed in range(8) for dependence in (6.0, 10.0)
    ]
    apart = []
    for world in worlds:
        found, (coef, error) = asked(world, "cluster(g)"), exact(world, 0)
        assert not found.notes
        apart.append((np.abs(found.coef[0] - coef) / np.maximum(np.abs(coef), error)).max())
    assert np.mean(apart) < 1e-15


def test_one_cluster_is_refused_where_it_occurs() -> None:
    world = World(count=2)
    codes = np.array([world.clusters, np.zeros(world.n, int)])
    found = batch.fit(*world.draw(), "cluster(g)", "2sls", codes)
    assert found.failed == (1,)
    assert "single cluster" in found.notes[1]


def test_intervals_and_single_coefficients() -> None:
    found = asked(World(count=5), "HC1")
    estimate, error = found.of("x1")
    low, high = found.conf_int(0.9)
    t57 = 1.672028888  # qt(0.95, 57) of R, ten digits
    np.testing.assert_allclose(high[:, -1] - estimate, t57 * error, rtol=1e-9)
    np.testing.assert_allclose(estimate - low[:, -1], t57 * error, rtol=1e-9)
    np.testing.assert_allclose(found.conf_int(df=np.inf)[1][:, -1] - estimate, 1.959963984540054 * error, rtol=1e-12)
    assert (found.names, found.df_resid, len(found)) == (("(Intercept)", "w1", "x1"), 57, 5)
    with pytest.raises(DataError, match="no coefficient 'x2'"):
        found.of("x2")
    with pytest.raises(DataError, match="not a coverage"):
        found.conf_int(95)


def test_no_exogenous_or_no_endogenous_regressors() -> None:
    y, w, x, z = World(count=2).draw()
    bare = batch.fit(y, None, x, z, "HC0")
    spec, frame = ivbridge.from_arrays(y[0], None, x[0], z[0])
    assert apart_from_engine(bare, 0, ivbridge.fit(spec, frame, "HC0")) < TWELVE
    least = batch.fit(y, w, None, None, "HC0")
    spec, frame = ivbridge.from_arrays(y[0], w[0], None, None)
    assert apart_from_engine(least, 0, ivbridge.fit(spec, frame, "HC0")) < TWELVE


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"y": np.zeros(5)}, DataError, "a row for each replication"),
        ({"y": np.zeros((0, 5))}, DataError, "nothing to fit"),
        ({"exog": np.ones((3, 59, 1))}, DataError, r"shape \(3, 59, 1\); y has 3 replications of 60 rows"),
        ({"instruments": np.ones((3, 60))}, DataError, r"instruments\[:, :, None\]"),
        ({"endog": None, "exog": None}, DataError, "no regressors"),
        ({"instruments": None}, DesignError, "not identified"),
        ({"instruments": np.zeros((60, 70))}, DesignError, "72 instruments"),
        ({"vcov": "HC3"}, UnsupportedError, "not offered for batches"),
        ({"vcov": "cluster(g)"}, DataError, "clusters are not given"),
        ({"clusters": np.zeros(60)}, DataError, "clusters are given"),
        ({"vcov": "cluster(g, h)", "clusters": np.zeros(60)}, UnsupportedError, "not offered for batches"),
        ({"vcov": "cluster(g)", "clusters": np.zeros(59)}, DataError, r"clusters have the shape \(59,\)"),
        ({"vcov": "cluster(g)", "clusters": np.full(60, np.nan)}, DataError, "missing"),
        ({"method": "gmm"}, UnsupportedError, "gmm"),
        ({"method": "kclass(a)"}, UnsupportedError, r"kclass\(a\)"),
        ({"method": "kclass(inf)"}, UnsupportedError, "a finite number"),
        ({"exog": np.full((60, 1), "a")}, DataError, "not numbers"),
    ],
)
def test_what_cannot_be_asked(changes: dict[str, Any], error: type[Exception], text: str) -> None:
    y, w, x, z = World().draw()
    arguments: dict[str, Any] = {"y": y, "exog": w, "endog": x, "instruments": z} | changes
    with pytest.raises(error, match=text):
        batch.fit(**arguments)


@pytest.mark.parametrize("clusters", [["a", None, "b"], ["1999", "NaT", "2001"], [1.0, np.nan, 2.0]])
def test_missing_clusters_are_refused(clusters: list[Any]) -> None:
    y, w, x, z = World(n=30).draw()
    kind = "M8[Y]" if "NaT" in clusters else object
    with pytest.raises(DataError, match="clusters have missing values"):
        batch.fit(y, w, x, z, "cluster(g)", clusters=np.array(clusters * 10, kind))


def test_clusters_of_any_kind() -> None:
    y, w, x, z = World(n=30).draw()
    whole = np.arange(30) % 3
    truth = batch.fit(y, w, x, z, "cluster(g)", clusters=whole).cov
    for names in (["b", "a", "c"], [1, "a", (2,)]):
        values = np.empty(30, object)
        values[:] = [names[code] for code in whole]
        np.testing.assert_allclose(batch.fit(y, w, x, z, "cluster(g)", clusters=values).cov, truth, rtol=TWELVE)


def test_masked_values_are_missing() -> None:
    y, w, x, z = World().draw()
    found = batch.fit(np.ma.array(y, mask=np.arange(y.size).reshape(y.shape) == 5), w, x, z)
    assert found.failed == (0,)
    np.testing.assert_allclose(found.coef[1:], batch.fit(y, w, x, z).coef[1:], rtol=TWELVE)


def test_numbers_that_leave_the_doubles_have_no_estimate() -> None:
    y, w, x, z = World().draw()
    for unit in (1e-155, 1e155):
        found = batch.fit(y * np.array([[1.0], [unit], [1.0]]), w, x, z)
        assert found.failed == (1,)
        assert "leave the range of doubles" in found.notes[1]
    with pytest.raises(DataError, match="y is no array"):
        batch.fit([[1.0, 2.0], [1.0]], w, x, z)

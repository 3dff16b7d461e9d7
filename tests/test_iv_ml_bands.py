"""Bootstrap bands: against closed forms and another program, and how often they hold the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from ivbridge import iv_ml
from ivbridge.errors import DataError
from ivbridge.iv_ml.bands import Band, Bootstrap
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.predictors.feedforward import Dense, Feedforward
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.progress import Progress

GRID = [-1.0, 0.0, 1.0, 2.0]


@dataclass(frozen=True, kw_only=True)
class TwoStages(IVRegression):
    """Y = a + bT by cov(Z, Y) / cov(Z, T)."""

    name: ClassVar[str] = "two_stages"
    packages: ClassVar[tuple[str, ...]] = ()

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        return [Learnt(self._line(one)) for one in data]

    def _line(self, data: IVData) -> Feedforward:
        y, t, x, z = data.arrays
        z = z[:, 0] - z[:, 0].mean()
        slope = (z @ y) / (z @ t)
        weight = np.append(slope, np.zeros(x.shape[1]))[:, None]
        return Feedforward((Dense(weight, np.array([y.mean() - slope * t.mean()]), "linear"),))


LINE = TwoStages(standardize=False)


def linear(n: int, seed: int) -> IVData:
    """Y = 1 + 2T + confounding, and errors that are larger where |Z| is: classical standard errors would be wrong."""
    random = np.random.default_rng([seed, 77])
    z, u, noise = random.standard_normal((3, n))
    t = z + u
    return IVData(1 + 2 * t + (u + noise) * (0.5 + np.abs(z)), t, np.empty((n, 0)), z)


def test_the_estimate_is_the_curve_of_the_data_and_draws_are_curves_of_resamples() -> None:
    data = linear(100, 1)
    band = Bootstrap(replications=5, together=2).band(LINE, data, GRID)
    assert_allclose(band.estimate, LINE.fit(data).predict(GRID), rtol=1e-12)
    assert band.draws.shape == (5, 4)
    slopes = band.draws[:, 1] - band.draws[:, 0]
    assert len(set(slopes.tolist())) == 5
    assert_allclose(band.draws[:, 3] - band.draws[:, 2], slopes, rtol=1e-9)  # straight lines


def test_how_many_are_learnt_together_does_not_matter_and_seeds_do() -> None:
    data = linear(60, 2)
    draws = [Bootstrap(replications=7, together=size).band(LINE, data, GRID).draws for size in (1, 3, 8, 50)]
    for other in draws[1:]:
        assert_array_equal(other, draws[0])
    assert_array_equal(Bootstrap(replications=3).band(LINE, data, GRID).draws, draws[0][:3])
    assert np.abs(Bootstrap(replications=7).band(LINE, data, GRID, seed=1).draws - draws[0]).min() > 0


def test_ends_are_percentiles_and_the_largest_deviation() -> None:
    random = np.random.default_rng(0)
    draws = 3 + random.standard_normal((2000, 3)) * [1.0, 2.0, 0.0]
    band = Band(np.arange(3.0), np.full(3, 3.0), draws, 0.9)
    low, high = band.pointwise
    assert_allclose([low, high], np.percentile(draws, [5, 95], axis=0), rtol=1e-12)
    # quartiles of 2000 draws: relative standard error 1.17 / √2000 = .026 and three of them
    assert_allclose(band.std_error, [1, 2, 0], rtol=0.08)
    # two independent normals: P(max |z| < c) = .9 at c = Φ⁻¹((1 + √.9) / 2) = 1.949
    lowest, highest = band.uniform
    expected = scipy.stats.norm.ppf((1 + 0.9**0.5) / 2)
    assert_allclose((highest - lowest)[:2] / 2, expected * np.array([1, 2]), rtol=0.1)  # both errors above
    assert highest[2] == lowest[2] == 3
    inside = ((draws > lowest) & (draws < highest))[:, :2].all(axis=1)
    assert inside.mean() == pytest.approx(0.9, abs=1e-3)


def test_differences_to_a_reference_have_no_width_there() -> None:
    frame = Bootstrap(replications=30).band(LINE, linear(100, 3), GRID, reference=0.0).frame()
    at = frame[frame["t"] == 0].iloc[0]
    assert at.drop("t").eq(0).all()
    assert (frame.loc[frame["t"] != 0, "uniform_low"] < frame.loc[frame["t"] != 0, "uniform_high"]).all()
    flat = Band(np.zeros(1), np.zeros(1), np.zeros((5, 1)), 0.9)
    assert_array_equal(flat.uniform, np.zeros((2, 1)))


def test_units_are_those_of_the_resample_unless_given() -> None:
    data = Fusion().draw(n=100, seed=1).train.data
    method = iv_ml.Poly2SLS()
    curve = method.fit(data)
    own = Bootstrap(replications=2).band(method, data, GRID)
    assert_allclose(own.estimate, [curve.predict(t, data.exog).mean() for t in GRID], rtol=1e-12)
    some = data.exog[:3]
    given = Bootstrap(replications=2).band(method, data, GRID, x=some, reference=1.0)
    assert_allclose(given.estimate, [curve.effect(t, 1.0, some).mean() for t in GRID], rtol=1e-9, atol=1e-12)


@dataclass(frozen=True, kw_only=True)
class Recording(IVRegression):
    """f(t, x) = t + Σx, and what it was asked to learn from."""

    name: ClassVar[str] = "recording"
    packages: ClassVar[tuple[str, ...]] = ()
    asked: ClassVar[list[tuple[IVData, int]]] = []

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        self.asked.extend(zip(data, seeds, strict=True))
        return [Learnt(Feedforward((Dense(np.ones((1 + one.shape[1], 1)), np.zeros(1), "linear"),))) for one in data]


def test_each_resample_has_rows_and_a_seed_of_its_own() -> None:
    data = Fusion().draw(n=50, seed=1).train.data
    Recording.asked.clear()
    band = Bootstrap(replications=4, together=3).band(Recording(standardize=False), data, [0.0], seed=9)
    samples, seeds = zip(*Recording.asked, strict=True)
    assert seeds[0] == 9
    assert len(set(seeds)) == 5
    assert samples[0].sha256 == data.sha256
    for sample, draw in zip(samples, [band.estimate, *band.draws], strict=True):
        assert_allclose(draw, [sample.exog.sum(axis=1).mean()], rtol=1e-9, atol=1e-12)
        rows = np.searchsorted(np.sort(data.endog), sample.endog)
        assert_array_equal(np.sort(data.endog)[rows], sample.endog)  # rows of the data, whole ones:
        places = np.argsort(data.endog)[rows]
        assert_array_equal(data.exog[places], sample.exog)
        assert (np.diff(places) >= 0).all()
    # each row is in a resample with probability 1 - 1/e
    assert 20 < len(set(samples[1].endog.tolist())) < 42


def test_a_maker_makes_the_instrument_anew_in_each_resample() -> None:
    data = Fusion().draw(n=200, seed=1).train.data
    made = Bootstrap(replications=3, maker=iv_ml.WAS()).band(LINE, data, [1.0], reference=0.0)
    fixed = Bootstrap(replications=3).band(LINE, iv_ml.WAS().applied(data), [1.0], reference=0.0)
    assert_allclose(made.estimate, fixed.estimate, rtol=1e-9)
    assert np.abs(made.draws - fixed.draws).min() > 0


def test_progress_is_told_and_wrong_numbers_are_refused() -> None:
    seen: list[tuple[int, int, str]] = []
    Bootstrap(replications=5, together=2).band(LINE, linear(20, 1), 1.0, progress=lambda *at: seen.append(at))
    assert seen == [(1, 5, "resamples"), (3, 5, "resamples"), (5, 5, "resamples")]
    for wrong in ({"replications": 1}, {"replications": 2.5}, {"level": 1.0}, {"level": 95}, {"together": 0}):
        with pytest.raises(DataError, match="was asked"):
            Bootstrap(**wrong)
    with pytest.raises(DataError, match="grid has a value"):
        Bootstrap().band(LINE, linear(20, 1), [np.nan])
    with pytest.raises(DataError, match="x has no rows"):
        Bootstrap().band(LINE, linear(20, 1), [0.0], x=np.empty((0, 0)))
    with pytest.raises(DataError, match="seed -1 was asked"):
        Bootstrap().band(LINE, linear(20, 1), [0.0], seed=-1)
    with pytest.raises(DataError, match="A band for str and IVData"):
        Bootstrap().band("poly2sls", linear(20, 1), [0.0])  # type: ignore[arg-type]


def test_the_standard_error_is_the_robust_one_of_large_samples() -> None:
    data = linear(2000, 5)
    y, t, _, z = data.arrays
    w = z[:, 0] - z[:, 0].mean()
    slope = (w @ y) / (w @ t)
    residuals = y - y.mean() - slope * (t - t.mean())
    robust = np.sqrt(((w * residuals) ** 2).sum()) / abs(w @ t)  # White's, which pairs estimate
    band = Bootstrap(replications=400).band(LINE, data, [1.0], reference=0.0)
    # 400 draws' quartiles: relative standard error 1.17 / √400 = .058; three of them
    assert_allclose(band.std_error, [robust], rtol=0.18)
    classical = np.sqrt((residuals**2).mean() * (w @ w)) / abs(w @ t)
    assert robust > 1.25 * classical  # or the test above would tell nothing


@pytest.mark.slow
def test_bands_hold_the_truth_as_often_as_they_say() -> None:
    truth = 1 + 2 * np.array(GRID)
    point, whole, times = 0, 0, 400
    for seed in range(times):
        band = Bootstrap(replications=199, together=200).band(LINE, linear(300, seed), GRID, seed=seed)
        frame = band.frame()
        point += int(((frame["conf_low"] < truth) & (truth < frame["conf_high"])).iloc[3])
        whole += int(((frame["uniform_low"] < truth) & (truth < frame["uniform_high"])).all())
    # 400 samples: standard error √(.95 · .05 / 400) = .011; three of them, and .015 for 300 rows and 199 draws
    assert abs(point / times - 0.95) < 0.048, point / times
    assert abs(whole / times - 0.95) < 0.048, whole / times

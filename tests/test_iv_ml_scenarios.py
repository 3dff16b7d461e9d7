"""Worlds with real covariates: whose data they are, how they are split, and that the rules are those of the paper."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.iv_ml.paper.oracle import oracle
from ivbridge.iv_ml.paper.parts import world
from ivbridge.iv_ml.scenarios import rules, semisynthetic
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.iv_ml.scenarios.semisynthetic import SOURCES, SemiSynthetic, covariates

FIRST_COLUMN = (0.8, 0.2, -0.8, -0.2, -1.0)


def a_file(folder: Path, monkeypatch: pytest.MonkeyPatch, units: int = 2132) -> np.ndarray:
    """PM-CMR with other numbers, which the loader takes for the right ones."""
    source = SOURCES["pm_cmr"]
    values = np.random.default_rng(3).gamma(2.0, 1e4, (units, 6)).round(3)
    frame = pd.DataFrame(values, columns=list(source.columns))
    frame.insert(0, "FIPS", range(units))
    frame.to_csv(folder / source.file, index=False)
    digest = hashlib.sha256(np.ascontiguousarray(values.round(10), dtype="<f8").tobytes()).hexdigest()
    changed = dataclasses.replace(source, sha256=digest, units=units)
    monkeypatch.setattr(semisynthetic, "SOURCES", {**SOURCES, "pm_cmr": changed})
    return values


def test_covariates_are_in_standard_deviations_and_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = a_file(tmp_path, monkeypatch)
    found = covariates("pm_cmr", tmp_path)
    wanted = np.clip(stats.zscore(raw, axis=0), -3, 3)
    assert found == pytest.approx(wanted, abs=1e-12)  # rounding of means and deviations of 2132 numbers
    assert found.max() == 3


def test_numbers_count_and_not_how_a_file_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = a_file(tmp_path, monkeypatch)
    before = covariates("pm_cmr", tmp_path)
    path = tmp_path / SOURCES["pm_cmr"].file
    frame = pd.DataFrame(raw, columns=list(SOURCES["pm_cmr"].columns)).iloc[:, ::-1]
    frame.to_csv(path, index=False, float_format="%.18e")
    assert np.array_equal(covariates("pm_cmr", tmp_path), before)


def test_changed_data_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file(tmp_path, monkeypatch)
    path = tmp_path / SOURCES["pm_cmr"].file
    frame = pd.read_csv(path)
    frame.iloc[1000, 3] += 0.001
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"2132 units with the checksum .*doi 10\.23719/1506014"):
        covariates("pm_cmr", tmp_path)
    frame.drop(columns="eduattain_HS_2000").to_csv(path, index=False)
    with pytest.raises(DataError, match="eduattain_HS_2000"):
        covariates("pm_cmr", tmp_path)


def test_missing_data_say_where_they_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IVBRIDGE_DATA", raising=False)
    with pytest.raises(DataError, match=r"IHDP do not come with the package.*CEVAE at commit 9081f863.*IVBRIDGE_DATA"):
        SemiSynthetic("ihdp").draw(seed=1)
    monkeypatch.setenv("IVBRIDGE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"ihdp_continuous6\.csv cannot be read"):
        SemiSynthetic("ihdp").draw(seed=1)
    a_file(tmp_path, monkeypatch)
    assert SemiSynthetic("pm_cmr").draw(seed=1).train.data.n == 1343


def test_files_that_are_here_are_those_of_the_study() -> None:
    """Where `IVBRIDGE_DATA` names a folder, its files are read; published: 747 children, 2132 counties."""
    folder = Path(os.environ.get("IVBRIDGE_DATA", ""))
    counts = {name: len(covariates(name)) for name in ("ihdp", "pm_cmr") if (folder / SOURCES[name].file).is_file()}
    assert counts.items() <= {"ihdp": 747, "pm_cmr": 2132}.items()
    assert {name: source.units for name, source in SOURCES.items()} == {"ihdp": 747, "pm_cmr": 2132}


def test_units_are_split_in_63_27_and_10_per_cent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file(tmp_path, monkeypatch)
    made = SemiSynthetic("pm_cmr", folder=str(tmp_path)).draw(seed=4)
    parts = [made.train.data.exog, made.valid.data.exog, made.test.data.exog]
    assert [len(part) for part in parts] == [1343, 575, 214]  # .63 and .27 of 2132, rounded down, and the rest
    together = np.vstack(parts)
    whole = covariates("pm_cmr", tmp_path)
    assert np.array_equal(together[np.lexsort(together.T)], whole[np.lexsort(whole.T)])
    other = SemiSynthetic("pm_cmr", folder=str(tmp_path)).draw(seed=5)
    assert not np.array_equal(other.train.data.exog, made.train.data.exog)


def test_outcomes_are_those_of_equation_16() -> None:
    """Row by row, up to the noise of standard deviation .1: Y = g + 2ε + δ, T = wX + c + .2ε + δ (code's reading)."""
    made = SemiSynthetic("standin").draw(seed=2)
    sample = made.train
    y, t, x, z = sample.data.arrays
    g = -1.5 * t + 0.9 * t**2 + 2 * x.sum(axis=1) / 6 - abs(x[:, 0] * x[:, 1]) - np.sin(10 + x[:, 2] ** 2)
    noise = y * made.spread + made.center - g - 2 * sample.confounder
    # six standard errors of a standard deviation: .1/sqrt(2·470); the largest of 470 normal draws is below 4.5
    assert noise.std() == pytest.approx(0.1, abs=6 * 0.1 / np.sqrt(940))
    assert abs(noise).max() < 0.45
    assert sample.truth == pytest.approx((g - made.center) / made.spread, abs=1e-12)  # the same sums, other order
    assert (made.weights[:, 0] == FIRST_COLUMN[:2]).all()
    drift = t - (x * made.weights[sample.labels]).sum(axis=1) - np.array([0.0, 1.0])[sample.labels]
    assert (drift - 0.2 * sample.confounder).std() == pytest.approx(0.1, abs=6 * 0.1 / np.sqrt(940))
    assert np.array_equal(z[:, 0], sample.labels)
    assert (y.mean(), y.std()) == pytest.approx((0, 1), abs=1e-12)  # standardised: rounding of 470 terms


def test_the_confounder_does_not_depend_on_the_covariates() -> None:
    draws = [SemiSynthetic("standin").draw(seed=seed).train for seed in range(20)]
    found = np.mean([[np.corrcoef(x, d.confounder)[0, 1] for x in d.data.exog.T] for d in draws], axis=0)
    assert abs(found).max() < 5 / np.sqrt(20 * 470)  # five standard errors of a mean of correlations that are zero


def test_a_seed_gives_the_same_numbers_and_another_other_ones() -> None:
    one, again, other = (SemiSynthetic("standin").draw(seed=seed).train.data for seed in (1, 1, 2))
    assert one.sha256 == again.sha256 != other.sha256


def test_a_world_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="ihdp, pm_cmr, standin"):
        SemiSynthetic("jobs")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="1 to 5"):
        SemiSynthetic("ihdp", groups=6)
    with pytest.raises(UnsupportedError, match="IHDP, PM-CMR"):
        world("Cubic-3-3")


@pytest.mark.parametrize("name", ["Linear-5-5", "Sigmoid-2-5", "Abs-3-3", "Linear-3-10", "IHDP", "PM-CMR", "Stand-in"])
def test_worlds_have_the_names_of_the_paper(name: str) -> None:
    assert world(name).name == name


@pytest.mark.parametrize("groups", [2, 5])
def test_the_oracle_is_the_most_probable_source(groups: int) -> None:
    """(X, T) is jointly normal in each source of a linear world: the density says which one is most probable."""
    place = Fusion("linear", groups, 4)
    made = place.draw(n=400, seed=1)
    x, t = made.train.data.exog, made.train.data.endog
    density = []
    for w, c in zip(made.weights, (0, 1, 0, -0.2, -0.8), strict=False):
        with_x = w + 0.2 * 0.1  # Cov(X, T) = w + .2 Cov(X, ε)
        variance = w @ w + 2 * 0.2 * 0.1 * w.sum() + 0.2**2 + 0.1**2
        covariance = np.block([[np.eye(4), with_x[:, None]], [with_x[None, :], np.array([[variance]])]])
        normal = stats.multivariate_normal(np.array([0, 0, 0, 0, c]), covariance)
        density.append(normal.logpdf(np.column_stack([x, t])))
    assert np.array_equal(oracle(made, place), np.argmax(density, axis=0))


def test_the_oracle_knows_the_shape_and_the_reading() -> None:
    """Without confounder and noise in T, the conditional mean is hit exactly and every label is found."""
    for place in (Fusion("poly", 3, 3), Fusion("linear", 3, 3, "paper"), SemiSynthetic("standin", groups=3)):
        made = place.draw(seed=1)
        sample, shape = made.train, place.shape if isinstance(place, Fusion) else "linear"
        x = sample.data.exog
        drift = 0.02 * x.sum(axis=1) if isinstance(place, Fusion) else 0.0
        t = rules.treatment(x, sample.labels, made.weights, shape, place.reading) + drift
        data = dataclasses.replace(sample.data, endog=t)
        exact = dataclasses.replace(made, train=dataclasses.replace(sample, data=data))
        assert np.array_equal(oracle(exact, place), sample.labels)

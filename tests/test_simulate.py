"""The post's two worlds: R's own draws, known truths, designs wider than long."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import ivbridge
from ivbridge.errors import DataError
from ivbridge.rrandom import RRandom, SampleKind
from ivbridge.simulate import SCENARIOS, Draw, ManyTests, OneInstrument

ROOT = Path(__file__).resolve().parents[1]


def drawn_by_r(call: str, kind: SampleKind, n: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The data frame that a function of post.R gives, as a matrix, and the folds that cv.glmnet would draw next."""
    target = folder / "draws.bin"
    code = f"""
        source("{ROOT / "r_scripts" / "post.R"}")
        post_sampler("{kind}")
        data <- {call}
        writeBin(c(as.matrix(data), sample(rep(seq(10), length = {n}))), "{target}")
    """
    subprocess.run(["Rscript", "--vanilla", "-e", code], check=True, timeout=300)
    numbers = np.fromfile(target)
    return numbers[:-n].reshape((n, -1), order="F"), numbers[-n:]


@pytest.mark.parametrize(("n", "seed", "kind"), [(1000, 1, "Rounding"), (501, -7, "Rejection")])
def test_the_first_world_is_rs_bit_for_bit(n: int, seed: int, kind: SampleKind, tmp_path: Path) -> None:
    data, folds = drawn_by_r(f"post_a({n}, {seed})", kind, n, tmp_path)
    draw = SCENARIOS["post-a"].draw(n, seed, kind)
    np.testing.assert_array_equal(draw.frame.to_numpy(), data)
    np.testing.assert_array_equal(draw.foldid, folds)


@pytest.mark.parametrize(
    ("n", "p", "seed", "kind"),
    [(1000, 500, 1, "Rounding"), (1000, 500, 1, "Rejection"), (301, 400, 12, "Rejection"), (301, 400, 12, "Rounding")],
)
def test_the_second_world_is_rs(n: int, p: int, seed: int, kind: SampleKind, tmp_path: Path) -> None:
    data, folds = drawn_by_r(f"post_b({n}, {p}, {seed})", kind, n, tmp_path)
    draw = ManyTests(tests=p).draw(n, seed, kind)
    mine = draw.frame.to_numpy(dtype=np.float64)
    np.testing.assert_array_equal(mine[:, 2:], data[:, 2:])
    np.testing.assert_array_equal(draw.foldid, folds)
    # X and Y hold sums of 500 products of size 100, which BLAS and R add up in different orders:
    # 500 · 100 · 2^-52 = 1e-11
    np.testing.assert_allclose(mine[:, :2], data[:, :2], rtol=0, atol=1e-11)


def test_the_draws_say_what_they_hold() -> None:
    draw = SCENARIOS["post-b"].draw(50, 3)
    assert draw.instruments == tuple(f"M.{j}" for j in range(1, 501)) == (*draw.invalid, *draw.valid)
    assert draw.strong == ("M.21", "M.22", "M.23", "M.24", "M.25")
    assert (draw.scenario, draw.truth, draw.dependent, draw.endog) == ("post-b", 2.0, "Y", "X")
    assert sorted(draw.foldid) == sorted(np.resize(np.arange(1, 11), 50))
    one = SCENARIOS["post-a"].draw(50, 3)
    assert (one.strong, one.valid, one.invalid) == (("good",), ("good", "weak"), ("invalid",))
    assert one.instruments == ("good", "weak", "invalid")


@pytest.mark.parametrize("kind", ["Rounding", "Rejection"])
def test_half_of_the_rows_are_treated(kind: SampleKind) -> None:
    draw = ManyTests(tests=300).draw(151, 9, kind)
    tests = draw.frame[list(draw.instruments)]
    assert (tests.sum() == 75).all()
    assert set(np.unique(tests)) == {0, 1}
    assert (tests.dtypes == np.int8).all()


def test_more_tests_than_rows() -> None:
    draw = ManyTests("wide", tests=600, invalid=0, strong=3, moderate=0).draw(200, 5)
    assert draw.frame.shape == (200, 602)
    assert draw.strong == ("M.1", "M.2", "M.3")
    assert draw.invalid == ()
    first_stage = np.linalg.lstsq(np.c_[np.ones(200), draw.frame[list(draw.strong)]], draw.frame["X"], rcond=None)[0]
    # each moves X by 100 with a standard error of 2·120/√200 = 17
    np.testing.assert_allclose(first_stage[1:], 100, atol=5 * 17)


def ratio(draw: Draw, name: str) -> float:
    """The estimate with a single instrument: cov(z, y) / cov(z, x)."""
    z, y, x = (draw.frame[column].to_numpy(dtype=np.float64) for column in (name, "Y", "X"))
    return float(np.cov(z, y)[0, 1] / np.cov(z, x)[0, 1])


def test_valid_instruments_tell_the_truth_and_invalid_ones_do_not() -> None:
    draw = OneInstrument(truth=-1.5).draw(200_000, 2)
    # residual variance (1.1² + 1.1²·9 + 1)^½ = 3.6 over a first stage of 2.5: a standard error of 1.4/√n = 0.003
    assert ratio(draw, "good") == pytest.approx(-1.5, abs=5 * 0.003)
    # k moves X by 2.5 + 0.5·3 and Y by 1.1·3 besides
    assert ratio(draw, "invalid") == pytest.approx(-1.5 + 3.3 / 4, abs=5 * 0.003)
    many = ManyTests(tests=30, moderate=5, truth=0.5).draw(200_000, 2)
    # 200·C is the error, 50 the effect of one test in standard deviations of X: 200/50/√n = 0.009
    assert ratio(many, "M.21") == pytest.approx(0.5, abs=5 * 0.009)


def test_the_posts_figures_come_out() -> None:
    """To every digit that R gave for them; the engines' own rounding is 1e-13 (docs/explanation/rounding.md)."""
    a, b = SCENARIOS["post-a"].draw(), SCENARIOS["post-b"].draw()
    good = ivbridge.fit("Y ~ X | good", a.frame, "HC0")
    assert good.params["X"] == pytest.approx(2.04399593272244, abs=1e-13)
    assert good.bse["X"] == pytest.approx(0.0407532835030, abs=1e-13)
    lasso = ivbridge.fit("Y ~ X | " + " + ".join(b.strong), b.frame, "HC0")
    assert lasso.params["X"] == pytest.approx(1.98078460333, abs=5e-12)
    assert lasso.bse["X"] == pytest.approx(0.0573324371, abs=5e-11)


def test_seeds_give_different_data_and_the_same_data_again() -> None:
    for scenario in SCENARIOS.values():
        first, again, other = (scenario.draw(40, seed).frame for seed in (1, 1, 2))
        assert first.equals(again)
        assert not first.equals(other)


@pytest.mark.parametrize("name", ["post-a", "post-b"])
def test_what_cannot_be_drawn_is_an_error(name: str) -> None:
    with pytest.raises(DataError, match="9 rows"):
        SCENARIOS[name].draw(9)
    with pytest.raises(DataError, match="seed"):
        SCENARIOS[name].draw(20, 2**31)


@pytest.mark.parametrize("sizes", [{"tests": 24}, {"invalid": -1}])
def test_worlds_must_add_up(sizes: dict[str, int]) -> None:
    with pytest.raises(DataError, match="cannot hold"):
        ManyTests(**sizes)  # type: ignore[arg-type]


def test_the_folds_follow_the_data() -> None:
    """cv.glmnet comes next in the post's session, without another set.seed()."""
    random = RRandom(4, "Rounding")
    random.rnorm(6 * 30)
    assert SCENARIOS["post-a"].draw(30, 4).foldid.tolist() == random.sample(np.resize(np.arange(1, 11), 30)).tolist()

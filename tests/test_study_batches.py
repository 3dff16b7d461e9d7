"""Studies that answer many draws at once: the table of draws answered one by one, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ivbridge import study
from ivbridge.post_methods import METHODS_A, METHODS_B
from ivbridge.simulate import SCENARIOS
from ivbridge.study import Method, Outcome


@dataclass(frozen=True)
class World:
    """y on x with instruments z1, z2 and a control w; draws of a few seeds have something the matter with them."""

    name: str = "world"

    def draw(self, n: int, seed: int) -> Draw:
        random = np.random.default_rng(seed)
        frame = pd.DataFrame(random.standard_normal((n, 4)), columns=["z1", "z2", "w", "u"])
        frame["x"] = frame["z1"] + frame["z2"] + frame["u"] + random.standard_normal(n)
        frame["y"] = 2 * frame["x"] + frame["w"] + frame.pop("u")
        frame["g"] = random.integers(0, 12, n)
        if seed == 3:
            frame.loc[5, "w"] = np.nan
        if seed == 4:
            frame["w"] = 1.0  # aliased: x still has its estimate
        if seed == 5:
            frame["x"] = frame["w"]
        if seed == 6:
            frame["z1"] = frame["z1"].astype("Float64")
        if seed == 7:
            frame["z2"] = frame["z1"] + 1e-6 * frame["z2"]
        if seed == 8:
            frame = frame.iloc[:-1]
        if seed == 9:
            frame["z1"] = frame["z2"] = frame["w"]
        return Draw(frame)


@dataclass(frozen=True)
class Draw:
    frame: pd.DataFrame
    truth: float = 2.0


FORMULA = "y ~ w + x | w + z1 + z2"
ASKED = (
    study.by_formula("HC1", FORMULA, "x", "HC1"),
    study.by_formula("liml", FORMULA, "x", "classical", method="liml"),
    study.by_formula("clusters", FORMULA, "x", "cluster(g)"),
    study.by_formula("ols", "y ~ w + x", "w", "HC0"),
    study.by_formula("log", "y ~ w + x | w + z1 + I(z2^2)", "x", "HC0"),
    study.by_formula("HC3", FORMULA, "x", "HC3"),
)


def alone(methods: Sequence[Method]) -> list[Method]:
    """The same, one draw after the other."""
    return [dataclasses.replace(method, many=None) for method in methods]


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal but for rounding: twelve digits of an estimate, or of its standard error where that is larger."""
    kept = ["scenario", "method", "seed", "truth", "covers", "selected", "note"]
    pd.testing.assert_frame_equal(found[kept], expected[kept], check_exact=True)
    for column in ("estimate", "std.error", "conf.low", "conf.high"):
        size = np.maximum(expected[column].abs(), expected["std.error"])
        pd.testing.assert_series_equal(found[column].isna(), expected[column].isna())
        infinite = np.isinf(expected[column])
        np.testing.assert_array_equal(found.loc[infinite, column], expected.loc[infinite, column])
        assert (((found[column] - expected[column]).abs() / size)[~infinite].dropna() < 1e-12).all()


def test_the_table_is_that_of_draws_answered_one_by_one() -> None:
    found = study.run(World(), ASKED, 30, 60, workers=1)
    expected = study.run(World(), alone(ASKED), 30, 60, workers=1)
    assert_same(found, expected)
    notes = found.query("method == 'HC1'").set_index("seed")["note"]
    assert notes[notes != ""].index.tolist() == [5, 9]
    assert not found.query("method == 'HC1' and seed in [3, 4, 6, 7, 8]")["estimate"].isna().any()


def test_most_draws_are_really_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ivbridge.study_formula.fit", refuse)
    draws = [World().draw(60, seed) for seed in range(10, 30)]
    for method in ASKED[:4]:
        assert method.many is not None
        said = method.many(draws, range(10, 30))
        assert all(np.isfinite(one.estimate) for (one,) in said)
    with pytest.raises(ZeroDivisionError):
        ASKED[4].answers(draws, range(10, 30))


def test_another_engine_is_asked_about_every_draw() -> None:
    assert study.by_formula("R", FORMULA, "x", "HC1", engine="r").many is None


def test_the_post_with_many_draws_at_once() -> None:
    for name, methods in (("post-a", METHODS_A), ("post-b", (METHODS_B[0], METHODS_B[1], METHODS_B[-1]))):
        draws = [SCENARIOS[name].draw(200 if name == "post-a" else 700, seed) for seed in (1, 2, 3)]
        for method in methods:
            assert method.many is not None
            together, apart = method.answers(draws, (1, 2, 3)), alone([method])[0].answers(draws, (1, 2, 3))
            for one, other in zip(together, apart, strict=True):
                assert [said.selected for said in one] == [said.selected for said in other]
                for a, b in zip(one, other, strict=True):
                    for part in ("estimate", "std_error", "conf_low", "conf_high"):
                        assert getattr(a, part) == pytest.approx(getattr(b, part), rel=1e-11, nan_ok=True)


def test_processes_and_interruptions_change_no_bit(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    whole = study.run(World(), ASKED[:3], 41, 60, workers=2).drop(columns="seconds")
    study.run(World(), ASKED[:2], range(7, 20), 60, path, 1)
    kept = path.read_text().splitlines(keepends=True)
    path.write_text("".join(kept[:-4]))
    calls: list[tuple[int, int]] = []
    resumed = study.run(World(), ASKED[:3], 41, 60, path, 1, lambda *now: calls.append(now[:2]))
    pd.testing.assert_frame_equal(whole, resumed.drop(columns="seconds"), check_exact=True)
    assert calls[0] == (0, 41)
    assert calls[-1] == (41, 41)
    assert len(calls) < 20


@dataclass(frozen=True)
class Deadly:
    """Ends the process over seed 4."""

    def __call__(self, _draw: Draw, seed: int) -> tuple[Outcome]:
        if seed == 4:
            os._exit(1)
        return (Outcome(float(seed)),)

    def many(self, draws: Sequence[Draw], seeds: Sequence[int]) -> list[tuple[Outcome]]:
        """One by one."""
        return [self(draw, seed) for draw, seed in zip(draws, seeds, strict=True)]


def test_draws_that_died_together_are_asked_again_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    calls: list[tuple[int, int]] = []
    found = study.run(
        World(), [Method(("d",), Deadly(), Deadly().many)], 12, 60, path, 1, lambda *now: calls.append(now[:2])
    )
    assert found.query("seed != 4")["estimate"].tolist() == [1, 2, 3, *range(5, 13)]
    assert "died" in found.query("seed == 4")["note"].item()
    assert calls[-1] == (12, 12)
    assert '"seed": 4' not in path.read_text()


def some_raise(draw: Draw, seed: int) -> tuple[Outcome]:
    if seed % 2:
        raise np.linalg.LinAlgError("odd")
    return (Outcome(draw.truth),)


def together_or_not_at_all(draws: Sequence[Draw], seeds: Sequence[int]) -> list[tuple[Outcome]]:
    return [some_raise(draw, seed) for draw, seed in zip(draws, seeds, strict=True)]


def test_one_draw_without_an_estimate_takes_no_other_one_with_it() -> None:
    methods = (
        Method(("many",), some_raise, together_or_not_at_all),
        Method(("each",), some_raise, study.OneByOne(("each",), some_raise)),
    )
    found = study.run(World(), methods, range(20, 40), 60, workers=1)
    assert found["note"].tolist() == ["", "LinAlgError: odd"] * 20

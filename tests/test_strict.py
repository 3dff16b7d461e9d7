"""The ledger lists what was compared and what not; a strict check fails on what has a value and was not compared."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge import Estimate, many, packing, report
from ivbridge.agreement import Agreement
from ivbridge.cli import app
from ivbridge.gaps import FROM_VARIANCE, NEGATIVE, NO_CAUSE

FORMULA = "Q ~ P + D | D + F + A"
DATA = ivbridge.load("kmenta").frame
WHY = "it does not report them"
CHECK = ["check", FORMULA, "--data", "kmenta", "--vcov", "HC1"]


@pytest.fixture(scope="module")
def pair() -> tuple[Estimate, Estimate]:
    return ivbridge.fit(FORMULA, DATA, "HC1", "r"), ivbridge.fit(FORMULA, DATA, "HC1", "native")


@pytest.fixture(scope="module")
def partial(pair: tuple[Estimate, Estimate]) -> Agreement:
    """The native engine, but without covariances between coefficients and without first stages."""
    r, native = pair
    lacking = dataclasses.replace(native, first_stages=(), lacks={"cov": WHY, "first stage": WHY})
    return Agreement(r.spec, (ivbridge.agree(r, lacking),), {"statsmodels, HC1": "it has no HC1"})


def compared(r: Estimate, candidate: Estimate) -> Agreement:
    return Agreement(r.spec, (ivbridge.agree(r, candidate),))


def test_strict_passes_where_everything_was_compared(pair: tuple[Estimate, Estimate]) -> None:
    whole = compared(*pair)
    assert whole.skipped == {}
    assert whole.passes(strict=True)
    whole.assert_ok(strict=True)


def test_strict_fails_on_what_was_skipped(partial: Agreement) -> None:
    assert partial.ok
    assert partial.passes()
    assert not partial.passes(strict=True)
    partial.assert_ok()
    with pytest.raises(ivbridge.DisagreementError) as caught:
        partial.assert_ok(strict=True)
    text = str(caught.value)
    for part in ("STRICT: 3 quantities with a value not compared", f"skipped: cov: {WHY}", "it has no HC1", "Do this"):
        assert part in text


def test_strict_does_not_hide_a_disagreement(pair: tuple[Estimate, Estimate]) -> None:
    r, native = pair
    wrong = compared(r, dataclasses.replace(native, sigma=native.sigma * 1.001, lacks={"cov": WHY}))
    assert not wrong.passes(strict=True)
    with pytest.raises(ivbridge.DisagreementError, match="SUBSTANTIVE"):
        wrong.assert_ok(strict=True)


def test_an_engine_that_reports_hardly_anything_is_no_strict_agreement(pair: tuple[Estimate, Estimate]) -> None:
    r, native = pair
    every = {gap.quantity: WHY for gap in compared(r, native).gaps if gap.quantity != "df.residual"}
    hollow = compared(r, dataclasses.replace(native, lacks=every))
    assert hollow.ok
    assert len(hollow.gaps) == 1
    assert not hollow.passes(strict=True)
    nothing = compared(r, dataclasses.replace(native, lacks={**every, "df.residual": WHY}))
    assert (nothing.verdict, nothing.reason, nothing.ok) == ("not comparable", "nothing was compared", False)


def test_the_ledger_lists_what_was_not_compared(partial: Agreement) -> None:
    ledger = partial.ledger
    rest = ledger[ledger["left_out"] != ""].set_index("quantity")
    assert dict(rest["left_out"]) == {"cov": WHY, "first stage": WHY, "statsmodels, HC1": "it has no HC1"}
    assert (rest["compared"] == 0).all()
    assert rest["digits"].isna().all()
    assert int(ledger["compared"].sum()) == len(partial.gaps)
    exact = ivbridge.crosscheck("Q ~ P + D | D + F", DATA, ["HC1"]).ledger.set_index("quantity")
    assert exact.left_out["Sargan"] == "the model is exactly identified, no restriction is left to test"


def test_every_rendering_shows_what_was_skipped(partial: Agreement) -> None:
    tree = json.loads(partial.to_json())
    assert tree["skipped"] == dict(partial.skipped)
    assert tree["verdicts"][0]["skipped"] == {"cov": WHY, "first stage": WHY}
    for text in (report.html(partial), report.markdown(partial), report.latex(partial)):
        assert "Skipped" in text
        assert text.count(WHY) == 2
    assert packing.unpack(Agreement, packing.pack(partial)).skipped == partial.skipped


def test_the_command_fails_with_strict_only(partial: Agreement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "crosscheck", lambda *_, **__: partial)
    result = CliRunner().invoke(app, CHECK)
    assert result.exit_code == 0
    assert f"skipped: cov, {WHY}" in result.stdout
    result = CliRunner().invoke(app, [*CHECK, "--strict"])
    assert result.exit_code == 1
    assert "STRICT: 3 quantities with a value not compared" in result.stdout
    result = CliRunner().invoke(app, [*CHECK, "--strict", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["skipped"]["cov"] == WHY


def test_a_file_of_questions_can_be_strict(partial: Agreement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(many, "crosscheck", lambda *_, **__: partial)
    path = tmp_path / "questions.toml"
    text = f'[[question]]\nname = "food"\nformula = "{FORMULA}"\ndata = "kmenta"\nvcov = "HC1"\n'
    path.write_text(text, encoding="utf-8")
    assert CliRunner().invoke(app, ["check", str(path)]).exit_code == 0
    result = CliRunner().invoke(app, ["check", str(path), "--strict"])
    assert result.exit_code == 1
    assert "food: STRICT: 3 quantities" in result.stdout


def test_strict_end_to_end_with_an_engine_that_lacks_something() -> None:
    data = ivbridge.load("card").frame
    large = ivbridge.crosscheck("lwage ~ educ | nearc4", data, ["HC1"])
    large.assert_ok(strict=True)
    peer = ivbridge.crosscheck(FORMULA, DATA, ["classical"], ("r", "statsmodels"))
    assert peer.ok
    assert peer.skipped
    assert not peer.passes(strict=True)


class TestNoNumberOnEitherSide:
    def test_a_negative_variance_explains_it(self, pair: tuple[Estimate, Estimate]) -> None:
        both = [_negative_variance(answer, 1) for answer in pair]
        found = compared(*both)
        term = pair[0].terms[1]
        left_out = found.comparisons[0].not_compared
        assert {left_out[f"{name} of {term}"] for name in FROM_VARIANCE} == {NEGATIVE}
        assert not found.skipped

    def test_without_a_cause_it_is_skipped(self, pair: tuple[Estimate, Estimate]) -> None:
        both = [dataclasses.replace(answer, sigma=math.nan) for answer in pair]
        found = compared(*both)
        assert found.skipped == {"sigma": NO_CAUSE}
        assert not found.passes(strict=True)

    def test_on_one_side_it_fails(self, pair: tuple[Estimate, Estimate]) -> None:
        r, native = pair
        assert not compared(r, dataclasses.replace(native, sigma=math.nan)).ok

    @pytest.mark.parametrize("name", ["residuals", "fitted"])
    def test_vectors_with_holes_or_of_another_length_fail(self, pair: tuple[Estimate, Estimate], name: str) -> None:
        holes = []
        for answer in pair:
            values = getattr(answer, name).copy()
            values[3] = np.nan
            holes.append(dataclasses.replace(answer, **{name: values}))
        assert not compared(*holes).ok
        r, native = pair
        for short in (getattr(native, name)[:-1], np.empty(0)):
            assert not compared(r, dataclasses.replace(native, **{name: short})).ok


def _negative_variance(answer: Estimate, place: int) -> Estimate:
    """As a kernel without positive weights can give."""
    cov = answer.cov.copy()
    cov[place, place] *= -1
    columns = {}
    for name in ("std_error", "statistic", "p_value", "conf_low", "conf_high"):
        columns[name] = getattr(answer.coefs, name).copy()
        columns[name][place] = np.nan
    return dataclasses.replace(answer, cov=cov, coefs=dataclasses.replace(answer.coefs, **columns))


class TestCountsAndCopies:
    def test_an_answer_that_contradicts_itself_about_its_rows(self, pair: tuple[Estimate, Estimate]) -> None:
        r, native = pair
        stage = dataclasses.replace(native.first_stages[0], n=19)
        for wrong in (
            dataclasses.replace(native, n=19),
            dataclasses.replace(native, first_stages=(stage, *native.first_stages[1:])),
        ):
            comparison = ivbridge.agree(r, wrong)
            assert comparison.verdict == "not comparable"
            (check,) = [check for check in comparison.handshake if not check.ok]
            assert (check.name, check.reference, check.candidate) == ("rows", "20", "20; elsewhere 19")

    def test_above_the_diagonal(self, pair: tuple[Estimate, Estimate]) -> None:
        r, native = pair
        cov = native.cov.copy()
        cov[0, 1] *= 1 + 1e-6
        assert {gap.quantity for gap in compared(r, dataclasses.replace(native, cov=cov)).gaps if not gap.ok} == {"cov"}

    def test_only_both_sides_together_make_a_fit_exact(self) -> None:
        data = DATA.assign(Q=1.0 + 2 * DATA.P - DATA.D)
        r, native = (ivbridge.fit(FORMULA, data, "HC1", engine) for engine in ("r", "native"))
        found = compared(r, native)
        assert found.ok
        assert any("std.error" in what for what in found.skipped)
        claims = dataclasses.replace(r, seen=dataclasses.replace(r.seen, exact=False))
        assert not compared(claims, native).skipped

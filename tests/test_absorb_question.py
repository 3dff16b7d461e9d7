"""Absorbed fixed effects as part of a question: texts, records, and who answers."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
from absorb_cases import panel

import ivbridge
from ivbridge.absorb.dummies import with_dummies
from ivbridge.effects import Absorb, parse_absorb
from ivbridge.engines import ENGINES, PEERS, REPLAYED, Unsupported, engine
from ivbridge.errors import DataError, DesignError, FormulaError, UnsupportedError
from ivbridge.results import Estimate
from ivbridge.serial import decode, encode
from ivbridge.spec import IVSpec

DATA = panel()


@pytest.mark.parametrize(
    ("text", "fixest", "meant"),
    [
        ("y ~ w | f + g | x ~ z", False, "y ~ w + x + absorb(f, g) | w + z"),
        ("y ~ w + x + absorb(f, g) | w + z", False, "y ~ w + x + absorb(f, g) | w + z"),
        ("y ~ w + x | w + z + absorb(f, g)", False, "y ~ w + x + absorb(f, g) | w + z"),
        ("y ~ w + absorb(f, g) | x | z", False, "y ~ w + x + absorb(f, g) | w + z"),
        ("y ~ w + absorb(f, g) + [x ~ z]", False, "y ~ w + x + absorb(f, g) | w + z"),
        ("y ~ w - 1 + absorb(f, g) | x | z", False, "y ~ w + x + absorb(f, g) | w + z"),
        ("y ~ w | factor(f) + g | x ~ z", False, "y ~ w + x + absorb(f, g) | w + z"),
        ("y ~ 1 | f^g | x ~ z", False, "y ~ x + absorb(f^g) | z"),
        ("y ~ w | x ~ z", False, "y ~ w + x | w + z"),
        ("y ~ w | f", True, "y ~ w + absorb(f) | w"),
        ("y ~ w", True, "y ~ w | w"),
        ("y ~ w | f", False, "y ~ w | f"),
        ("y ~ absorb(`my firm`, dof=reghdfe, singletons=drop)", False,
         "y ~ 1 + absorb(`my firm`, dof=reghdfe, singletons=drop) | 1"),
    ],
)  # fmt: skip
def test_formulas(text: str, fixest: bool, meant: str) -> None:
    spec = IVSpec.from_formula(text, fixest=fixest)
    assert spec.to_r() == meant
    assert spec == IVSpec.from_formula(meant) == decode(IVSpec, json.loads(json.dumps(encode(spec))))
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y ~ w | a | b | x ~ z", "fixest's formulas do not have"),
        ("y ~ w | | x ~ z", "fixest's formulas do not have"),
        ("y ~ x ~ z", "needs one '~'"),
        ("y ~ w | f ~ x ~ z", "needs one '~'"),
        ("y ~ w | log(f) | x ~ z", "cannot be absorbed"),
        ("y ~ w | f - g | x ~ z", "cannot be absorbed"),
        ("y ~ w + absorb()", "names 0 factors"),
        ("y ~ w + absorb(f, f)", "names f twice"),
        ("y ~ w + absorb(f) + absorb(g)", "name all fixed effects in one"),
        ("y ~ w - absorb(f)", "cannot be part of an interaction"),
        ("y ~ w:absorb(f)", "cannot be part of an interaction"),
        ("y ~ (w + absorb(f)):v", "cannot be crossed"),
        ("y ~ w + absorb(f, dof=stata)", "fixest, reghdfe, exact"),
        ("y ~ w + absorb(f, singletons=1)", "singletons cannot be read"),
        ("y ~ w + absorb(f, tol=x)", "tol cannot be read"),
        ("absorb(y) ~ w", "not arithmetic"),
        ("y ~ log(absorb(f))", "not arithmetic"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        IVSpec.from_formula(text)


def test_texts_of_the_record() -> None:
    asked = Absorb(("firm", "year^factor(c)"), dof="exact")
    assert str(asked) == "absorb(firm, year^c, dof=exact)"
    assert parse_absorb(str(asked)) == parse_absorb("firm, year ^ c, dof=exact") == asked
    assert asked.columns == ("firm", "year", "c")
    assert Absorb("firm") == parse_absorb("firm")  # type: ignore[arg-type]
    for wrong in ("", "absorb(f) + g", "f) + absorb(g", 3):
        with pytest.raises(FormulaError):
            parse_absorb(wrong)  # type: ignore[arg-type]


def test_columns_and_title() -> None:
    spec = IVSpec.from_formula("y ~ w | f + g^h | x ~ z", vcov="cluster(c)")
    assert spec.columns == ("y", "w", "x", "z", "f", "g", "h", "c")
    assert str(spec) == "y ~ w + x + absorb(f, g^h) | w + z · vcov=cluster(c)"


def test_dummies() -> None:
    spec = IVSpec.from_formula("y ~ w + factor(g) | f + g | x ~ z", vcov="HC1")
    assert with_dummies(spec).to_r() == "y ~ w + factor(g) + factor(f) + x | w + factor(g) + factor(f) + z"
    assert with_dummies(with_dummies(spec)) == with_dummies(spec)
    with pytest.raises(UnsupportedError, match="combination"):
        with_dummies(IVSpec.from_formula("y ~ w | f^g | x ~ z"))


@pytest.mark.parametrize("name", sorted({**ENGINES, **PEERS, **REPLAYED}.keys() - {"fast"}))
def test_other_engines_say_why_they_do_not_answer(name: str) -> None:
    spec = IVSpec.from_formula("y ~ w | firm + year | x ~ z", vcov="HC1")
    found = engine(name).supports(spec)
    assert isinstance(found, Unsupported) and "factor(f)" in found.reason
    with pytest.raises(UnsupportedError, match=r"only engine fast .*factor\(f\)"):
        ivbridge.fit(spec, DATA, engine=name)


def test_translations_and_checks_refuse() -> None:
    spec = IVSpec.from_formula("y ~ w | firm + year | x ~ z", vcov="HC1")
    for translate in (spec.to_linearmodels, spec.to_stata):
        with pytest.raises(UnsupportedError, match=r"absorb\(firm, year\)"):
            translate()
    with pytest.raises(UnsupportedError, match="only engine fast"):
        ivbridge.crosscheck(spec, DATA, ["HC1"])


@pytest.mark.parametrize(
    ("formula", "vcov", "kind", "words"),
    [
        ("y ~ w | firm | x ~ z", None, UnsupportedError, "names no vcov"),
        ("y ~ w | firm | x ~ z", "HC3", UnsupportedError, "leverages"),
        ("y ~ w | firm | x ~ z", "nw(2)", UnsupportedError, "rows in order"),
        ("y ~ w | nowhere | x ~ z", "HC1", DataError, "no column 'nowhere'"),
        ("of_firm ~ w | firm | x ~ z", "HC1", DesignError, "nothing is left to explain"),
        ("y ~ of_firm + absorb(firm)", "HC1", DesignError, "absorbs every regressor"),
        ("y ~ absorb(firm)", "HC1", DesignError, "absorbs every regressor"),
        ("y ~ w | firm | x ~ of_firm", "HC1", DesignError, r"not identified.*effects absorb of_firm"),
        ("y ~ w | firm^year + firm^text + year^text | x ~ z", "HC1", DesignError, "singletons=drop"),
        ("y ~ w | z | x ~ v + absorb(z, singletons=drop)", "HC1", FormulaError, "name all"),
        ("y ~ w + absorb(z, singletons=drop) + [x ~ v]", "HC1", DesignError, "alone in a level"),
        ("y ~ w | firm | x ~ z", "cluster(one)", DataError, "single cluster"),
    ],
)
def test_what_cannot_be_answered_is_named(formula: str, vcov: str | None, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        ivbridge.fit(formula, DATA.assign(one=1), vcov, engine="fast")


def test_what_is_absorbed_is_left_out_and_named() -> None:
    found = ivbridge.fit("y ~ w + of_firm | firm + year | x ~ z + of_firm2", DATA.assign(of_firm2=DATA.of_firm**2),
                         "HC1", engine="fast")  # fmt: skip
    assert found.terms == ("w", "x")
    assert "left out, since the fixed effects absorb them: of_firm, of_firm2" in found.notes
    assert (found.seen.aliased, found.seen.aliased_instruments) == (("of_firm",), ("of_firm", "of_firm2"))
    twice = ivbridge.fit("y ~ w + w2 | firm | x ~ z", DATA.assign(w2=2 * DATA.w), "HC1", engine="fast")
    assert twice.terms == ("w", "x") and twice.seen.aliased == ("w2",)


def test_the_estimate_tells_of_its_effects_and_survives_json() -> None:
    found = ivbridge.fit("y ~ w | firm + year | x ~ z", DATA, "HC1", engine="fast")
    effects = found.effects
    assert effects is not None and dict(effects.levels) == {"firm": DATA.firm.nunique(), "year": 12}
    assert effects.counted == DATA.firm.nunique() + 12 - 1 and effects.path == "schur" and effects.step < 1e-9
    assert found.df_resid == found.n - 2 - effects.counted
    assert found.n == len(DATA) - 2 and "2 of 600 rows left out: missing values in y (1), w (1)" in found.notes
    assert str(effects) in found.summary()
    again = Estimate.from_json(found.to_json())
    assert again.effects == effects and again.spec == found.spec and np.array_equal(again.cov, found.cov)
    assert ivbridge.fit("y ~ w + x | w + z", DATA, "HC1", engine="fast").effects is None


def test_digits_count_what_the_effects_take_away() -> None:
    near = ivbridge.fit("y ~ w | firm | x ~ z", DATA, "HC1", engine="fast").digits
    far = ivbridge.fit("y ~ w | firm | x ~ z", DATA.assign(x=DATA.x + 1e5 * DATA.firm), "HC1", engine="fast").digits
    assert near is not None and near.coef > 12 and near.std_error > 11
    assert far is not None and near.coef - 7 < far.coef < near.coef - 3


def test_singletons() -> None:
    kept = ivbridge.fit("y ~ w | firm + year | x ~ z", DATA, "HC1", engine="fast")
    asked = dataclasses.replace(kept.spec, absorb="absorb(firm, year, singletons=drop)")
    dropped = ivbridge.fit(asked, DATA, engine="fast")
    assert dropped.n == kept.n - 1 and dropped.effects is not None and dropped.effects.singletons == 1
    assert any(note.startswith("1 row left out: alone") for note in dropped.notes)
    # the row has no residual, so that only counts differ, and here not even n − k
    np.testing.assert_allclose(dropped.params, kept.params, rtol=1e-13)
    np.testing.assert_allclose(dropped.bse, kept.bse * np.sqrt(dropped.n / kept.n), rtol=1e-13)
    assert 599 not in dropped.seen.rows

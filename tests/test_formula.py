"""Term algebra equals that of R's ``terms()``; three dialects give one set of roles."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from oracle import r_text

from ivbridge.coding import codings
from ivbridge.errors import FormulaError
from ivbridge.formula import Roles, parse_formula, parse_term
from ivbridge.spec import IVSpec

FIXED = [
    "a", "a + b", "a + a", "a:b", "b:a + a", "a*b", "a*b*c", "a*b - a", "a*b - a:b", "(a + b)^2", "(a + b + c)^3",
    "a^2", "(a + b):c", "a/b", "a/(b + c)", "(a + b)/c", "a/b/c", "a*b*c - a:b:c", "a - 1", "-1 + a", "a + 0", "0 + a",
    "a + 1", "a - 0",
    "-1 + a + 1", "a + (b - 1)", "a:b:c + a", "a:b + c:a + c", "(a*b)^2", "(a + b)^2 - a", "a + b*c - b:c + d",
    "(a - b) + b", "(a + b - a):c", "+a + b", "a + -1", "a*(b + c)", "a:(b + c)", "(a + b):(c + d)", "a:a", "a*a",
    "1", "a + b - b",
    "d + c + b + a", "d:c + b:a", "a:b:c:d", "a:b + a:c + b:c + a", "(a/b)*c", "a/b - a", "(a:b)^2", "(a + b:c)^2",
]  # fmt: skip


def random_sides(count: int) -> list[str]:
    """Random right-hand sides over a, b, c, d."""
    draw = random.Random(20)

    def side(depth: int) -> str:
        if depth == 0 or draw.random() < 0.3:
            return draw.choice("abcd")
        op = draw.choice(["+", "+", ":", "*", "/", "-", "^"])
        if op == "^":
            return f"({side(depth - 1)})^{draw.choice([1, 2, 2, 3])}"
        left, right = side(depth - 1), side(depth - 1)
        return f"({left}) {op} ({right})" if draw.random() < 0.8 else f"{left} {op} {right}"

    return [side(3) + draw.choice(["", "", " - 1", " + 0"]) for _ in range(count)]


SIDES = FIXED + random_sides(300)
SCRIPT = r"""
put <- function(...) cat(..., sep = "\x1f")
for (text in texts) {
  answer <- tryCatch({
    t <- terms(as.formula(paste("y ~", text)))
    f <- attr(t, "factors")
    cat(paste(attr(t, "intercept"), paste(attr(t, "term.labels"), collapse = ","),
              if (length(f)) paste(rownames(f), apply(f, 1, paste, collapse = ""), collapse = ",") else "", sep = "|"))
  }, error = function(e) cat("error"))
  cat("\n")
}
"""


def ask_terms(sides: list[str], folder: Path) -> list[str]:
    """R's intercept, term labels and table of factors for every right-hand side."""
    script = folder / "terms.R"
    script.write_text(f"texts <- c({', '.join(map(r_text, sides))})\n{SCRIPT}", encoding="utf-8")
    done = subprocess.run(
        ["Rscript", "--vanilla", str(script)], capture_output=True, check=True, text=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}, timeout=120,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1]


def ours(side: str) -> Roles | None:
    try:
        return parse_formula(f"y ~ {side}")
    except FormulaError:
        return None


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Roles, str, str]]:
    """Side, our roles, R's answer to the side, R's answer to our canonical text."""
    roles = [(side, found) for side in SIDES if (found := ours(side)) is not None and found.exog]
    canonical = [" + ".join(found.exog) + ("" if found.intercept else " - 1") for _, found in roles]
    answers = ask_terms([side for side, _ in roles] + canonical, tmp_path_factory.mktemp("terms"))
    assert len(answers) == 2 * len(roles)
    return [(*pair, first, second) for pair, first, second in zip(roles, answers, answers[len(roles) :], strict=False)]


def test_most_sides_are_read(compared: list[tuple[str, Roles, str, str]]) -> None:
    assert len(compared) > 250


def test_terms_equal_those_of_r(compared: list[tuple[str, Roles, str, str]]) -> None:
    for side, roles, original, canonical in compared:
        if original == "error":
            assert "^1" in side  # R refuses the power 1; we read it as no power
            continue
        intercept, labels, _ = original.split("|")
        assert roles.intercept == (intercept == "1"), side
        # the canonical text may name the variables of an interaction in another order than the original did
        theirs = [frozenset(label.split(":")) for label in labels.split(",")]
        assert set(theirs) == {frozenset(term.split(":")) for term in roles.exog}, side
        assert [len(term) for term in theirs] == [term.count(":") + 1 for term in roles.exog], side
        assert canonical.split("|")[:2] == [intercept, ",".join(roles.exog)], side


def test_codings_equal_those_of_r(compared: list[tuple[str, Roles, str, str]]) -> None:
    for side, roles, _, canonical in compared:
        table = dict(row.rsplit(" ", 1) for row in canonical.split("|")[2].split(","))
        terms = [parse_term(text) for text in roles.exog]
        for column, (term, full) in enumerate(zip(terms, codings(terms, (), intercept=True), strict=True)):
            entries = [{"1": False, "2": True}[table[name][column]] for name in term]
            assert entries == list(full), side


DIALECTS = [
    ("y ~ x + w | w + z", "y ~ w | x | z", "y ~ 1 + w + [x ~ z]"),
    ("y ~ x | z", "y ~ 1 | x | z", "y ~ 1 + [x ~ z]"),
    ("y ~ x - 1 | z - 1", "y ~ 0 | x | z", "y ~ [x ~ z]"),
    ("y ~ x + w + 0 | w + z - 1", "y ~ w - 1 | x | z", "y ~ w + [x ~ z]"),
    ("y ~ x + w + 0 | w + z - 1", "y ~ w - 1 | x - 1 | 0 + z", "y ~ [x ~ z] + w"),
    ("log(y) ~ log(x) + w | w + log(z) + v", "log(y) ~ w | log(x) | log(z) + v",
     "np.log(y) ~ 1 + w + [np.log(x) ~ np.log(z) + v]"),
    ("y ~ x1 + x2 + w | w + z1 + z2", "y ~ w | x1 + x2 | z1 + z2", "y ~ 1 + w + [x1 + x2 ~ z1 + z2]"),
    ("y ~ x + factor(g) | factor(g) + z", "y ~ factor(g) | x | z", "y ~ 1 + C(g) + [x ~ z]"),
    ('y ~ x + relevel(factor(g), "b") | relevel(g, ref = "b") + z', 'y ~ C(g, contr.treatment(base="b")) | x | z',
     "y ~ 1 + C(g, Treatment('b')) + [x ~ z]"),
    ("y ~ x * w | z * w", "y ~ w | x + x:w | z + w:z", "y ~ 1 + w + [x + w:x ~ z + z:w]"),
    ("y ~ I(x^2) + poly(w, 2) | z + poly(w, 2)", "y ~ poly(w, degree = 2) | I(x**2) | z",
     "y ~ 1 + poly(w, 2) + [I(x**2) ~ z]"),
    ("y ~ x + w + v | w + v + z", "y ~ w + v | x | z", "y ~ 1 + w + [x ~ z] + v"),
    ("y ~ x + w + offset(o) | w + z", "y ~ w + offset(o) | x | z", "y ~ 1 + w + offset(o) + [x ~ z]"),
    ("y ~ `my x` + größe | größe + `z z`", "y ~ größe | `my x` | `z z`", "y ~ 1 + größe + [`my x` ~ `z z`]"),
    ("y ~ x + w + a:b | w + z + b:a", "y ~ w + a:b | x | z", "y ~ 1 + a:b + w + [x ~ z]"),
]  # fmt: skip


@pytest.mark.parametrize("dialects", DIALECTS, ids=[d[0] for d in DIALECTS])
def test_dialects_agree(dialects: tuple[str, ...]) -> None:
    first, *others = (IVSpec.from_formula(text) for text in dialects)
    assert all(other == first for other in others)
    assert hash(first) == hash(others[0])
    assert IVSpec.from_formula(first.to_r()) == first


@pytest.mark.parametrize(
    ("text", "exog", "endog", "instruments"),
    [
        ("y ~ x + w | w + z", ("w",), ("x",), ("z",)),
        ("y ~ w", ("w",), (), ()),
        ("y ~ 1", (), (), ()),
        ("y ~ w | w", ("w",), (), ()),
        ("y ~ w | w + z", ("w",), (), ("z",)),
        ("y ~ x | 1", (), ("x",), ()),
        ("y ~ x + w + x:w | w + z", ("w",), ("x", "w:x"), ("z",)),
        ("y ~ a:b + x | a:b + a", ("a:b",), ("x",), ("a",)),
        ("y ~ x^2 | z", (), ("x",), ("z",)),
    ],
)
def test_roles(text: str, exog: tuple[str, ...], endog: tuple[str, ...], instruments: tuple[str, ...]) -> None:
    roles = parse_formula(text)
    assert (roles.exog, roles.endog, roles.instruments) == (exog, endog, instruments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y ~ x - 1 | z", "disagree about the intercept"),
        ("y ~ x | z - 1", "disagree about the intercept"),
        ("y ~ w | x - 1 | z", "disagrees with the first part about the intercept"),
        ("y ~ 1 + w + [x ~ 0 + z]", "disagrees"),
        ("y", "needs one '~'"),
        ("~ x", "needs one '~'"),
        ("y ~", "needs one '~'"),
        ("y ~ x ~ z", "needs one '~'"),
        ("y ~ a | b | c | d", "4 parts"),
        ("y ~ x |", "empty part"),
        ("y ~ | x", "empty part"),
        ("y ~ w + [x ~ z] + v | w", "mixes"),
        ("y ~ [x ~ z] + [a ~ b]", r"two '\[…\]'"),
        ("y ~ w * [x ~ z]", "Cannot read the"),
        ("y ~ w [x ~ z]", "Cannot read the"),
        ("y ~ w - [x ~ z]", "Cannot read the"),
        ("y ~ [x]", "Cannot read the"),
        ("y ~ [x ~ z", "needs one '~'|Cannot read"),
        ("y ~ [ ~ z]", "empty part"),
        ("y ~ (w + [x ~ z])", "Cannot read"),
        ("y ~ w | w | z", "named as exogenous and as endogenous"),
        ("y ~ w | x | x", "as endogenous and as an excluded instrument"),
        ("y ~ 1 + w + [x ~ w]", "as exogenous and as an excluded instrument"),
        ("y ~ x + 2", "number 2 is not a term"),
        ("y ~ x:1", "interaction"),
        ("y ~ x - (-w)", "removes a removal"),
        ("y ~ (x + 1):w", "cannot be crossed"),
        ("y ~ x - offset(w)", "not an offset"),
        ("y ~ x:offset(w)", "interaction"),
        ("y ~ offset(w, v)", "not an offset"),
        ("y ~ x^4", r"write I\(x\^4\)"),
        ("y ~ x^w", "crosses terms"),
        ("y ~ log(x) + .", "'.'"),
        ("y ~ 'x'", "cannot be a term"),
        ("y ~ TRUE", "cannot be a term"),
        ("factor(y) ~ x", "not arithmetic"),
        ("y + z | w ~ x", "Cannot read"),
    ],
)
def test_contradictions_are_named(text: str, words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        parse_formula(text)


def test_many_plain_controls_are_fine() -> None:
    controls = " + ".join(f"control_{j}" for j in range(900))
    roles = parse_formula(f"y ~ x + {controls} | z + {controls}")
    assert len(roles.exog) == 900
    assert parse_formula("y ~ " + "(" * 50 + "x" + ")" * 50).exog == ("x",)

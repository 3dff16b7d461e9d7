"""The expression language: what it reads, how it writes it back, and what it refuses."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import r_text

from ivbridge.canonical import canonical_variable, columns_of
from ivbridge.design import build
from ivbridge.errors import FormulaError, IvbridgeError
from ivbridge.expr import (
    Arg,
    Binary,
    Bool,
    Call,
    Name,
    Node,
    Number,
    Text,
    Unary,
    deparse,
    format_number,
    parse,
    r_label,
)
from ivbridge.lexer import FUNCTIONS
from ivbridge.spec import IVSpec

#: texts whose deparsed form is checked against R's own
TEXTS = [
    "a+b*c", "(a+b)*c", "a^-1", "-a^2", "(-a)^2", "-a*b", "a*-b", "a- -b", "-(-a)", "a/(b*c)", "a/b*c", "a-(b-c)",
    "a-b-c", "-(a+b)", "a:b^2", "x**2", "a^-b^c", "a^(-b)^c", "(a^b)^c", "2^-1/3", "a/b/c", "a/(b/c)", "a*(b+c)/d",
    "100000", "123456", "0.1", "1e-5", "1e15", "1e5", "0.00012", "123456.7", "1e-300", "33333.333333333336", "3e10",
    "1.10", "1e22", "0.1234567890123456", "1234567", "1e05", ".5", "5.", "1E3", "12345678901234567890", "1e-15",
    "log(x)", "I(x^2)", "I( x+1 )", "poly(x,2,raw=TRUE)", 'relevel(factor(x),ref="b")', "bs(x,knots=c(1,2.5))",
    "C(x,contr.sum)", "`my col`+1", "größe", "`if`", "log(`a b`)", "`😀`+`x y`", "`2nd`", ".x", "`.2x`", "a.b",
    "`a'b`", "`_u`", "log(-1)", "poly(x, -1)", 'C(g, Treatment("a\\"b\\\\c"))', "C(g, Treatment('é'))", "`日本`",
    "日本", "`x²`", "`a-b`", "T", "`TRUE`", "log1p(exp(sqrt(abs(x))))", "scale(x,center=FALSE)",
]  # fmt: skip


@pytest.fixture(scope="module")
def r_deparsed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What R's ``deparse(str2lang(text))`` gives, and again from our own output."""
    folder = tmp_path_factory.mktemp("deparse")
    texts = ", ".join(map(r_text, TEXTS + [deparse(parse(text)) for text in TEXTS]))
    script = folder / "deparse.R"
    script.write_text(
        f"for (t in c({texts})) writeLines(enc2utf8(paste(deparse(str2lang(t), 500, backtick = TRUE), collapse = '')),"
        f" useBytes = TRUE)",
        encoding="utf-8",
    )
    done = subprocess.run(
        ["Rscript", "--vanilla", str(script)], capture_output=True, check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}, timeout=120,
    )  # fmt: skip
    return done.stdout.decode().split("\n")[:-1]


def test_deparse_equals_r(r_deparsed: list[str]) -> None:
    ours = [deparse(parse(text)) for text in TEXTS]
    assert r_deparsed[: len(TEXTS)] == ours
    assert r_deparsed[len(TEXTS) :] == ours


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("-a^2", Unary("-", Binary("^", Name("a"), Number(2.0)))),
        ("a^b^c", Binary("^", Name("a"), Binary("^", Name("b"), Name("c")))),
        ("a^-b*c", Binary("*", Binary("^", Name("a"), Unary("-", Name("b"))), Name("c"))),
        ("-a:b", Binary(":", Unary("-", Name("a")), Name("b"))),
        ("a:b*c", Binary("*", Binary(":", Name("a"), Name("b")), Name("c"))),
        ("a-b+c", Binary("+", Binary("-", Name("a"), Name("b")), Name("c"))),
        ("np.log(x)", Call("log", (Arg(None, Name("x")),))),
        ("numpy.sqrt(x)", Call("sqrt", (Arg(None, Name("x")),))),
        ("np.log", Name("np.log")),
        ("poly(x, degree=2, raw=True)", Call(
            "poly", (Arg(None, Name("x")), Arg("degree", Number(2.0)), Arg("raw", Bool(True))))),
        ("bs(x, knots=[1, -2])", Call("bs", (Arg(None, Name("x")), Arg("knots", Call(
            "c", (Arg(None, Number(1.0)), Arg(None, Unary("-", Number(2.0))))))))),
        ("C(g, Treatment('b'))", Call("C", (Arg(None, Name("g")), Arg(None, Call(
            "Treatment", (Arg(None, Text("b")),)))))),
        ("2L", Number(2.0)),
        ("`log`", Name("log")),
        ("log", Name("log")),
        ("हिन्दी + नाम", Binary("+", Name("हिन्दी"), Name("नाम"))),
    ],
)  # fmt: skip
def test_tree(text: str, meaning: Node) -> None:
    assert parse(text) == meaning
    assert parse(deparse(meaning)) == meaning


names = st.one_of(
    st.sampled_from(
        ["x", "my col", "größe", "if", "TRUE", "False", "a.b", "_u", "x:y", "日本", "2nd", "a'b", 'q"q', "np.log"]
    ),
    st.text(st.characters(exclude_characters="`\\", exclude_categories=["C", "Z"]), min_size=1, max_size=8).filter(
        lambda name: name not in (".", "...") and name.isprintable()
    ),
)
numbers = st.floats(0, 1e300, allow_nan=False).map(lambda value: Number(float(format_number(value))))
texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=6).filter(str.isprintable)


def _calls(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.one_of(
        st.builds(Unary, st.sampled_from("-+"), inner),
        st.builds(Binary, st.sampled_from("+-*/^:"), inner, inner),
        st.builds(
            Call,
            st.sampled_from(FUNCTIONS),
            st.lists(st.builds(Arg, st.sampled_from([None, "df", "Boundary.knots"]), inner), max_size=3).map(tuple),
        ),
    )


trees = st.recursive(
    st.one_of(names.map(Name), numbers, texts.map(Text), st.booleans().map(Bool)), _calls, max_leaves=12
)


@given(trees)
@example(Name("\u064b"))  # a mark, with which R begins a name
def test_reading_what_was_written_gives_the_same_tree(tree: Node) -> None:
    written = deparse(tree)
    assert parse(written) == tree
    assert deparse(parse(written)) == written


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FormulaError):
        assert parse(deparse(parse(text)))


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_numbers_keep_fifteen_digits(value: float) -> None:
    written = format_number(value)
    # half a unit in the fifteenth significant digit
    assert abs(float(written) - value) <= 5.0000001e-15 * value
    assert format_number(float(written)) == written


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("C(x)", "factor(x)"),
        ("C(factor(x))", "factor(x)"),
        ("factor(C(x))", "factor(x)"),
        ('C(x, Treatment("b"))', 'relevel(factor(x), ref = "b")'),
        ("C(x, Treatment(reference='b'))", 'relevel(factor(x), ref = "b")'),
        ('C(x, contr.treatment("b"))', 'relevel(factor(x), ref = "b")'),
        ('C(x, contr.treatment(base="b"))', 'relevel(factor(x), ref = "b")'),
        ('relevel(x, "b")', 'relevel(factor(x), ref = "b")'),
        ('relevel(factor(x), ref="b")', 'relevel(factor(x), ref = "b")'),
        ('relevel(relevel(x, "a"), "b")', 'relevel(factor(x), ref = "b")'),
        ("C(x, Treatment)", "factor(x)"),
        ("C(x, contr.treatment)", "factor(x)"),
        ("C(x, Sum)", "C(factor(x), contr.sum)"),
        ("C(x, contr.sum())", "C(factor(x), contr.sum)"),
        ("C(factor(x), contr.sum)", "C(factor(x), contr.sum)"),
        ("C(x, 'contr.sum')", "C(factor(x), contr.sum)"),
        ("poly(x, 2, raw=True)", "poly(x, 2, raw = TRUE)"),
        ("poly(x, degree=2, raw=T)", "poly(x, 2, raw = TRUE)"),
        ("poly(x, raw=F, degree=2L)", "poly(x, 2)"),
        ("poly(x)", "poly(x, 1)"),
        ("I(x**2)", "I(x^2)"),
        ("I((x))", "I(x)"),
        ("I(np.log(x) + 1)", "I(log(x) + 1)"),
        ("scale(x, center=True, scale=False)", "scale(x, scale = FALSE)"),
        ("bs(x, 4)", "bs(x, df = 4)"),
        ("bs(x, df=5, degree=2)", "bs(x, df = 5, degree = 2)"),
        ("bs(x, knots=[1, 2], include_intercept=True)", "bs(x, knots = c(1, 2), intercept = TRUE)"),
        ("bs(x, degree=3, df=4)", "bs(x, df = 4)"),
        ("ns(x, knots=0.5)", "ns(x, knots = c(0.5))"),
        ("ns(x, df=3, Boundary.knots=c(-1, 1))", "ns(x, df = 3, Boundary.knots = c(-1, 1))"),
        ("factor(`my col`)", "factor(`my col`)"),
    ],
)
def test_one_spelling(text: str, canonical: str) -> None:
    node = canonical_variable(parse(text))
    assert deparse(node) == canonical
    assert canonical_variable(parse(canonical)) == node


def test_columns() -> None:
    assert columns_of('I(a * log(b) / `c d`):relevel(factor(e), ref = "f"):C(factor(g), contr.sum)') == (
        "a", "b", "c d", "e", "g",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "C(x, Treatment(2))", "relevel(x, 2)", "relevel(x)", "C(x, Poly)", "C(x, contr.helmert)", "poly(x, 2, TRUE)",
        "poly(x, 1.5)", "poly(x, 0)", "poly(x, y)", "poly(x, 2, coefs=3)", "poly()", "log(x, 2)", "log()", "log(x=x)",
        "scale(x, 3)", "scale(poly(x, 2))", "poly(scale(x), 2)", "bs(x, df=4, knots=c(1))", "bs(x, df=2.5)",
        "bs(x, knots=y)", "bs(x, df=4, Boundary.knots=1)", "bs(x, Boundary.knots=c(1, 2, 3))", "ns(x, degree=3)",
        "I(factor(x))", "I('a')", "I(a:b)", "log(TRUE)", "factor(x, levels=c(1, 2))", "x + 1", "2", "'a'", "c(1, 2)",
        "contr.sum(3)", "Treatment('a')", "C(relevel(x, 'a'), contr.sum)", "relevel(C(x, Sum), 'a')",
        "bs(x, knots=c())",
        "offset(offset(x))", "scale(x, center=1)", "I(poly(x, 2))", "I(x, y)", "factor()",
    ],
)  # fmt: skip
def test_calls_that_are_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        canonical_variable(parse(text))


HOSTILE = [
    'system("touch executed")', "system('touch executed')", 'base::system("touch executed")',
    'I(system("touch executed"))', '{system("touch executed"); x}', "`system`(\"touch executed\")",
    'shell("touch executed")', 'system2("touch", "executed")', '__import__("os").system("touch executed")',
    "__import__('os')", "I(__import__('os').system('touch executed'))",
    "{__import__('os').system('touch executed')}", "os.system('touch executed')", "np.os.system('touch executed')",
    "numpy.log.__class__(x)", "np.load('executed')", "np.fromfile('executed')", "eval('1')",
    'eval(parse(text="file.create(1)"))', "exec('open(\"executed\", \"w\")')", 'open("executed", "w")',
    "(lambda: open('executed', 'w'))()", "lambda x: x", 'file.create("executed")', 'source("executed")',
    "readRDS('executed')", "load('executed')", 'do.call("system", c("touch executed"))',
    'get("system")("touch executed")', "x[system('touch executed')]", "x$y", "x@y", "x %in% z", "x %o% z", "x :: y",
    "base:::system('touch executed')", "x <- 5", "x = 5", "x == 5", "x < 5", "!x", "x & y", "x && y", "x | | y",
    "x ? y", "x ; system('touch executed')", "x\nsystem('touch executed')", "x # comment", "function(x) x",
    "if (x) y", "while (TRUE) 1", "repeat 1", "~x", "~~x", "`a`b`", "`a\\`b`", "`unclosed", '"unclosed', "'", "\\x",
    "\x00", "x\x00", "`x\x00`", "\ud800", "`\ud800`", "`x\ny`", "`x\u202ey`", "\u200b", "x\u00a0", "f'{x}'",
    "x.__class__()", "getattr(x, 'y')", "globals()", "C(x, system)", "C(x, contr.sum(system('touch executed')))",
    "C(x, Treatment(system('touch executed')))", "poly(x, system('touch executed'))",
    "bs(x, knots=system('touch executed'))", 'relevel(x, system("touch executed"))',
    "offset(system('touch executed'))", "I(x := 5)", "0x10", "1e999", "1_000", "x..y()", "...", "..1", ".", "$",
    "@", "%%", "(" * 5000, "x" * 60_000, "-" * 5000 + "x", "log(" * 200 + "x" + ")" * 200, "I(" + "x+" * 600 + "x)",
    "ℯval(x)", "ｓystem('x')", "log（x）",
]  # fmt: skip


#: terms whose expansion would take R minutes and gigabytes
EXPLOSIVE = [
    "*".join(f"x{j}" for j in range(16)), "(a+b+c+d+e+f)^9", "(a+b)^1e9", ":".join(f"x{j}" for j in range(12)),
    "(" + "+".join(f"x{j}" for j in range(60)) + ")^3", "(a*b*c*d*e*f):(g*h*i*j*k*l)", "a*b*(c*d*e*f*g)*(h*i*j*k)",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_only_raises(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for formula in (f"y ~ {text} | z", f"y ~ x | {text}", f"y ~ 1 + [x ~ {text}]", f"{text} ~ x"):
        with pytest.raises(IvbridgeError):
            IVSpec.from_formula(formula)
    for fields in ({"exog": (text,)}, {"endog": (text,)}, {"instruments": (text,)}, {"offset": text}):
        with pytest.raises(IvbridgeError):
            IVSpec("y", **{"exog": ("x",), **fields})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", EXPLOSIVE, ids=range(len(EXPLOSIVE)))
def test_explosive_terms_are_refused(text: str) -> None:
    for formula in (f"y ~ {text} | z", f"y ~ x | {text}", f"y ~ 1 + [x ~ {text}]"):
        with pytest.raises(FormulaError):
            IVSpec.from_formula(formula)


HOSTILE_NAMES = [
    "system('touch executed')",
    "__import__('os').system('touch executed')",
    "x); system('touch executed'); (",
    "a{b}",
    "%s",
    "T",
    "np",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_column_names_are_only_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = pd.DataFrame({"y": np.arange(6.0), name: [1.0, 2, 4, 3, 7, 5], "g": ["a", "b'", 'c"\\'] * 2})
    design = build(IVSpec.from_formula(f"y ~ `{name}` + g"), data)
    np.testing.assert_array_equal(design.x[:, 1], data[name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["a`b", "a\\b", "a\nb", "\x00", "a\x7fb", "\ud800", "", " ", ".", "..1", "a\u2028b", "x" * 251]
)
def test_names_that_no_formula_can_carry(name: str) -> None:
    with pytest.raises(FormulaError):
        IVSpec("y", exog=("x",), weights=name)


def test_messages_name_the_thing_and_the_place() -> None:
    with pytest.raises(FormulaError, match=r"function 'system' is not allowed \(character 5.*log1p"):
        IVSpec.from_formula('y ~ system("x")')
    with pytest.raises(FormulaError, match="braces"):
        IVSpec.from_formula("y ~ {x}")
    with pytest.raises(FormulaError, match=r"reserved word.*backticks"):
        IVSpec.from_formula("y ~ if")


def test_names_that_only_python_reserves_are_labelled_as_r_does() -> None:
    assert (deparse(Name("False")), r_label("log(`None`)"), r_label("`if`")) == ("`False`", "log(None)", "`if`")

"""The fast engine against the native one and against theorems; ``test_crosscheck`` holds it against R."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterable
from functools import reduce
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ivbridge
from ivbridge.api import design_for
from ivbridge.asked import asked_vcov, seen_of
from ivbridge.blocks.answer import Answer
from ivbridge.blocks.arrays import in_memory
from ivbridge.blocks.factor import factored
from ivbridge.blocks.regression import Layout
from ivbridge.blocks.rows import Block, Columns, Part, S
from ivbridge.blocks.solve import Solved, solved
from ivbridge.engines import engine
from ivbridge.errors import IvbridgeError, UnsupportedError
from ivbridge.gaps import compare_numbers, flatten
from ivbridge.method import parse_method
from ivbridge.records import FloatArray, NotApplicable, Numbers
from ivbridge.report.code import python_code
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC1
from ivbridge.vcov_text import parse_vcov
from tests.bad_data_base import Case as BadData
from tests.bad_data_cases import CASES as BAD_DATA
from tests.bad_data_cases import measured
from tests.cases import CASES, VCOVS, Case, frame

DATA = frame()
RICH = "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3"
SUMS = [vcov for vcov in VCOVS if vcov.startswith(("classical", "HC", "cluster"))]

#: Two programs that leave u·κ of a column's length leave, at the condition numbers κ ≤ 100 of these questions, 1e-14
#: of a coefficient; a statistic is a quotient of sums of squares that lose a few digits more.
SAME = 11.0
#: Condition number 10⁷ and more: neither program has more.
FEW = {"nearly collinear": 5.0, "B-splines": 10.0}


def both(formula: str, vcov: str, **options: object) -> tuple[ivbridge.Estimate, ivbridge.Estimate]:
    """The answers of both engines to one design."""
    design = design_for(formula, DATA, [vcov], **options)  # type: ignore[arg-type]
    return engine("native").fit(design), engine("fast").fit(design)


def assert_same(native: Numbers | ivbridge.Estimate, fast: Numbers | ivbridge.Estimate, digits: float) -> None:
    """Everything that both report agrees to so many digits, and they leave out the same for the same reasons."""
    for gap in compare_numbers(native, fast, {}):
        # of y on a constant R² is 0, of which rounding leaves 1e-16
        assert gap.digits >= digits or gap.absolute < 1e-15, gap.describe("native", "fast")
    reasons = [{k: t for k, t in one.tests.items() if isinstance(t, NotApplicable)} for one in (native, fast)]
    assert reasons[0] == reasons[1]
    assert list(native.tests) == list(fast.tests)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_questions(case: Case) -> None:
    for vcov in ("classical", "HC1", "HC5", "cluster(g)", "nw(2, prewhite=0)"):
        assert_same(*both(case.formula, vcov, **case.options), FEW.get(case.name, SAME))


@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("vcov", VCOVS)
def test_vcovs(vcov: str, weights: str | None) -> None:
    assert_same(*both(RICH, vcov, weights=weights), SAME)


@pytest.mark.parametrize("method", ["2sls", "liml"])
@pytest.mark.parametrize("vcov", ["classical", "HC1", "cluster(g)", "nw(2)"])
def test_instruments_that_stand_before_an_exogenous_regressor(vcov: str, method: str) -> None:
    """Terms of one variable come first, so R's order of the instruments is not that of W."""
    native, fast = both("y ~ x1 + x2 + w1:w2 | z1 + z2 + z3 + w1:w2", vcov, method=method)
    assert native.seen.z_names == ("(Intercept)", "z1", "z2", "z3", "w1:w2")
    assert_same(native, fast, SAME)


@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("method", ["liml", "fuller(1)", "fuller(4)"])
@pytest.mark.parametrize("formula", [RICH, "y ~ x1 + w1 | w1 + z1", "y ~ x1 + w1 - 1 | w1 + z1 + z2 - 1"])
def test_k_class(formula: str, method: str, weights: str | None) -> None:
    for vcov in ("classical", "HC0", "HC1", "cluster(g, h, multi0=True)", "bekker(cse=True)", "nw(2)", "dk(unit, t)"):
        assert_same(*both(formula, vcov, method=method, weights=weights), SAME)


# --- blocks do not matter --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cut:
    """Rows cut at given places; every piece makes its own sum, which is pickled on its way."""

    whole: Columns
    cuts: tuple[int, ...]
    passes: list[str] = dataclasses.field(default_factory=list)

    @property
    def width(self) -> int:
        return self.whole.width

    def pilot(self) -> FloatArray:
        return self.whole.pilot()

    def reduce(self, part: Part[S]) -> S:
        self.passes.append(type(part).__name__)
        n = len(self.whole.columns[0])
        ends = [0, *self.cuts, n]
        blocks = [self._block(slice(*pair)) for pair in pairwise(ends)]
        # the first piece holds two blocks, one of them without rows
        pieces: list[Iterable[Block]] = [[self._block(slice(0, 0)), blocks[0]], *([block] for block in blocks[1:])]
        sums = [pickle.loads(pickle.dumps(part))(piece) for piece in pieces]
        return reduce(lambda a, b: a + b, pickle.loads(pickle.dumps(sums)))

    def _block(self, rows: slice) -> Block:
        weights = None if self.whole.weights is None else self.whole.weights[rows]
        return Block([c[rows] for c in self.whole.columns], weights, tuple(c[rows] for c in self.whole.codes))


def asked(formula: str, vcov: str, data: pd.DataFrame = DATA, **options: object) -> tuple[Columns, Layout, Solved]:
    """Rows, layout and solution of a question in one block."""
    design = design_for(formula, data, [vcov], **options)  # type: ignore[arg-type]
    rows, layout, groups = in_memory(seen_of(design), asked_vcov(design.spec))
    return rows, layout, solved(rows, layout, asked_vcov(design.spec), groups, method=design.spec.method)


def numbers(rows: Columns | Cut, found: Solved, y: FloatArray) -> Numbers:
    return Answer(rows, found, ivbridge.T(), None).numbers(y)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(SUMS),
    st.sampled_from([None, "wt"]),
    st.sampled_from(["2sls", "liml"]),
    st.lists(st.integers(0, 60), max_size=8),
    st.booleans(),
)
def test_cuts_do_not_matter(vcov: str, weights: str | None, method: str, cuts: list[int], constant: bool) -> None:
    if method == "liml" and vcov[:3] in ("HC2", "HC3", "HC4", "HC5"):
        vcov = "HC1"
    formula = RICH if constant else "y ~ x1 + w1 - 1 | w1 + z1 + z2 - 1"
    rows, layout, whole = asked(formula, vcov, weights=weights, method=method)
    cut = Cut(rows, tuple(sorted(cuts)))
    again = solved(cut, layout, whole.vcov, whole.groups, method=parse_method(method))
    y = rows.columns[-1]
    # sums of 60 products in another order: a few u, times the condition number of at most 100
    assert_same(numbers(rows, whole, y), numbers(cut, again, y), SAME)


@pytest.mark.parametrize("vcov", ["HC3", "cluster(g, h)"])
def test_order_of_rows_does_not_matter(vcov: str) -> None:
    one = asked(RICH, vcov, weights="wt")
    two = asked(RICH, vcov, DATA.sample(frac=1, random_state=3), weights="wt")
    sizes = np.sqrt(np.diag(one[2].cov))
    np.testing.assert_allclose(one[2].cov / np.outer(sizes, sizes), two[2].cov / np.outer(sizes, sizes), atol=1e-12)
    first, second = (flatten(numbers(rows, found, rows.columns[-1])) for rows, _, found in (one, two))
    for key, value in first.items():
        if isinstance(value, float):
            assert second[key] == pytest.approx(value, rel=1e-11, abs=1e-13, nan_ok=True), key


def test_a_question_takes_two_passes_and_its_tests_one_more() -> None:
    rows, layout, _ = asked(RICH, "HC1")
    cut = Cut(rows, (20, 40))
    answer = Answer(cut, solved(cut, layout, HC1()), ivbridge.T(), False)
    assert len(answer.coefs.estimate) == 4
    assert cut.passes == ["Cross", "Scores"]
    assert len(answer.tests) == 5
    assert len(answer.first_stages) == 2
    assert cut.passes == ["Cross", "Scores", "Scores"]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vcov", ["nw(2)", "dk(unit, t)", "bootstrap(R=20)", "andrews"])
def test_sums_over_blocks_refuse_what_is_none(vcov: str) -> None:
    rows, layout, _ = asked(RICH, "HC1")
    with pytest.raises(UnsupportedError, match="memory"):
        solved(rows, layout, parse_vcov(vcov))


@pytest.mark.parametrize("vcov", ["HC2", "HC3", "HC4", "HC4m", "HC5"])
@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("formula", ["y ~ x1 + only | only + z1 + z2", "y ~ x1 | only + z1 + z2"])
def test_a_row_that_alone_has_a_column(formula: str, weights: str | None, vcov: str) -> None:
    design = design_for(formula, DATA.assign(only=(DATA.index == 7) * 1.0), [vcov], weights=weights)
    found = []
    for name in ("native", "fast"):
        try:
            found.append(str(engine(name).fit(design).tests))
        except IvbridgeError as error:
            found.append(str(error))
    assert found[0] == found[1]
    assert "leverage" in found[0]


def test_weights_that_the_layout_does_not_know_of() -> None:
    rows, layout, _ = asked(RICH, "HC1", weights="wt")
    with pytest.raises(AssertionError, match="weights"):
        solved(rows, dataclasses.replace(layout, weighted=False), HC1())


@pytest.mark.parametrize("case", BAD_DATA, ids=lambda case: f"{case.group}: {case.name}")
@pytest.mark.filterwarnings("error")
def test_bad_data_get_the_right_answer_or_the_error_of_other_engines(case: BadData) -> None:
    """From the table, and from the design; `test_bad_data` holds native against R."""
    data, options = case.data(), dict(case.options)

    def design(name: str) -> ivbridge.Estimate:
        return engine(name).fit(design_for(case.formula, data, [case.vcov], **options))

    asks = [
        lambda: design("native"),
        lambda: design("fast"),
        lambda: ivbridge.fit(case.formula, data, case.vcov, "fast", **options),
    ]
    found: list[ivbridge.Estimate | tuple[str, str]] = []
    for ask in asks:
        try:
            found.append(ask())
        except IvbridgeError as error:
            found.append((type(error).__name__, str(error)))
    native, *fast = found
    for answer in fast:
        if isinstance(native, tuple) or isinstance(answer, tuple):
            assert answer == native
            continue
        assert list(answer.tests) == list(native.tests)
        assert len(answer.residuals) == native.n
        assert case.unit or measured(case, answer) >= case.digits


# --- absorbed columns ------------------------------------------------------------------------------------------------


def absorbed(spec: IVSpec, vcov: str, nested: int) -> tuple[Numbers, FloatArray]:
    """The question with every column minus its mean in groups g, which is least squares on their dummies."""
    design = design_for(spec, DATA, [vcov])
    seen = seen_of(design)
    keep_x = tuple(j for j, name in enumerate(seen.x_names) if not name.startswith(("(", "g")))
    keep_z = tuple(j for j, name in enumerate(seen.z_names) if not name.startswith(("(", "g")))
    within = pd.DataFrame(np.column_stack([seen.y, seen.x[:, keep_x], seen.z[:, keep_z]]))
    within = (within - within.groupby(DATA.g).transform("mean")).to_numpy()
    small = dataclasses.replace(
        seen, y=within[:, 0], x=within[:, 1 : 1 + len(keep_x)], z=within[:, 1 + len(keep_x) :],
        x_names=tuple(seen.x_names[j] for j in keep_x), z_names=tuple(seen.z_names[j] for j in keep_z),
    )  # fmt: skip
    rows, layout, groups = in_memory(small, asked_vcov(design.spec))
    layout = dataclasses.replace(layout, absorbed=DATA.g.nunique(), nested=nested)
    found = solved(rows, layout, asked_vcov(design.spec), groups)
    return numbers(rows, found, within[:, 0]), within


@pytest.mark.parametrize("vcov", ["classical", "HC0", "HC1", "cluster(h)", "cluster(h, type=HC1)", "cluster(g, h)"])
def test_absorbed_dummies_count_as_coefficients(vcov: str) -> None:
    spec = IVSpec.from_formula("y ~ x1 + x2 + w1 + g | w1 + g + z1 + z2 + z3")
    dummies = ivbridge.fit(spec, DATA, vcov)
    fast, _ = absorbed(spec, vcov, 0)
    places = [dummies.terms.index(term) for term in fast.coefs.terms]
    np.testing.assert_allclose(fast.coefs.estimate, dummies.coefs.estimate[places], rtol=1e-12)
    np.testing.assert_allclose(fast.cov, dummies.cov[np.ix_(places, places)], rtol=1e-12, atol=1e-15)
    assert (fast.df_resid, fast.sigma) == (dummies.df_resid, pytest.approx(dummies.sigma, rel=1e-12))
    for key in ("weak_instruments:x1", "weak_instruments:x2", "wu_hausman", "sargan"):
        one, two = fast.tests[key], dummies.tests[key]
        assert isinstance(one, ivbridge.Test) and isinstance(two, ivbridge.Test)
        assert (one.df1, one.df2) == (two.df1, two.df2)
        assert one.statistic == pytest.approx(two.statistic, rel=1e-11)
    for one_stage, two_stage in zip(fast.first_stages, dummies.first_stages, strict=True):
        assert one_stage.sigma == pytest.approx(two_stage.sigma, rel=1e-12)


def test_coefficients_nested_in_clusters_do_not_count() -> None:
    spec = IVSpec.from_formula("y ~ x1 + w1 + g | w1 + g + z1 + z2")
    groups = DATA.g.nunique()
    all_count, none_count = (absorbed(spec, "cluster(g, type=HC1)", nested)[0] for nested in (0, groups))
    n, k = len(DATA), 2
    np.testing.assert_allclose(none_count.cov * (n - k) / (n - k - groups), all_count.cov, rtol=1e-13)
    assert none_count.df_resid == all_count.df_resid == n - k - groups


# --- what a report says ----------------------------------------------------------------------------------------------


def test_code_of_a_report_asks_the_same_engines() -> None:
    agreement = ivbridge.crosscheck("y ~ x1 | z1", DATA, ["HC1"], ("native", "fast"))
    code = python_code(agreement, None)
    assert "engines=('native', 'fast')" in code and "vcov='HC1', engine='fast')" in code
    default = ivbridge.crosscheck("y ~ x1 | z1", DATA, ["HC1"])
    assert "engines=" not in python_code(default, None)


@pytest.mark.parametrize("vcov", ["HC3", "HC5"])
def test_leverages_where_weights_move_the_mean(vcov: str) -> None:
    """AER's ignore weights: their factor is that of columns minus the mean, the fit's of columns minus another one."""
    time = np.arange(60.0)
    data = DATA.assign(w1=time + DATA.w1, w2=(time / 10) ** 2 + DATA.w2 / 10, late=np.exp(time / 3))
    design = design_for("y ~ x1 + w1 + w2 | w1 + w2 + z1 + z2", data, [vcov], weights="late")
    rows, layout, _ = in_memory(seen_of(design), asked_vcov(design.spec))
    plain = Columns(rows.columns)
    shifts = [factored(one, constant=layout.constant).shift for one in (rows, plain)]
    assert not np.array_equal(*shifts)
    # weights from 1 to 3e8: what a backward-stable fit leaves of a residual is relative to the largest weighted one
    assert_same(*(engine(name).fit(design) for name in ("native", "fast")), 9.0)

"""ivbridge.ports: what is planted is found, what is found is real, and what is printed runs."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from ivbridge import ports
from ivbridge.errors import DataError, DisagreementError, FormulaError, RNotAvailableError, UnsupportedError
from ivbridge.ports import calls, checking, code, kinds, store
from ivbridge.ports.search import drawn, source_of

FEW = ports.PortOptions(examples=60)
ROOT = Path(__file__).resolve().parents[1]


def same(x: Any) -> Any:
    return x


VALUES = [
    1.5, -0.0, 5e-324, float("inf"), float("nan"), 3, True, "ä\"\\", None, [1.0, None, 3.0], ["a", None], [],
    np.array([1.0, np.nan, -np.inf, 1e-310]), np.array([1, 2], "int32"), np.array([True, False]), np.empty(0),
    np.array([[1.0, 2.0], [3.0, np.nan]]), np.array([[1, 2, 3]]), pd.Series([1, None], dtype="Int32"),
    pd.Series(["x", None], dtype="string"), pd.Series(pd.Categorical(["b", None], ["a", "b", "c"])),
    pd.Series(pd.Categorical(["lo"], ["lo", "hi"], ordered=True)), pd.DataFrame({"a b": [1.5], "if": ["x"]}),
    pd.DataFrame({"g": pd.Categorical(["u", "v"]), "n": [1.0, np.nan]}), {"a": [1.0, 2.0], "b": {"c": "d"}},
    [[1.0, 2.0], ["x"]], pd.Series(pd.to_datetime(["2020-02-29 10:30:00.25", None])), dt.timedelta(seconds=90),
]  # fmt: skip


def test_every_value_goes_to_r_and_back() -> None:
    report = ports.check(same, "base::identity", [{"x": value} for value in VALUES])
    assert report.verdict == "identical", report
    assert report.ledger.compared == len(VALUES)


def test_what_comes_back_is_the_printed_r() -> None:
    """R parses what is printed and finds it identical to what was sent."""
    lines = [f"print(ivb({code.r_text(value)}))" for value in [*VALUES, *(np.array([x]) for x in _numbers())]]
    sent = [code.r_text(value) for value in VALUES]
    assert len(set(sent)) == len(sent)
    script = "ivb <- function(x) paste(format(serialize(x, NULL)), collapse = '')\n" + "\n".join(lines)
    printed = _rscript(script).splitlines()
    assert len(printed) == len(lines)
    texts = "\n".join(f"print(sprintf('%a', {code.r_number(x)}))" for x in _numbers())
    found = [float.fromhex(line.split('"')[1]) for line in _rscript(texts).splitlines()]
    assert found == list(_numbers())


def _numbers() -> list[float]:
    random = np.random.default_rng(3)
    any_bits = random.integers(1, 2**62, 200).view(np.float64)
    short = random.integers(-(10**9), 10**9, 200) / 10.0 ** random.integers(0, 14, 200)
    return [
        float(x) for x in [*any_bits[np.isfinite(any_bits)], *short, 0.1, 1 / 3, 5e-324, 1e308, 2.0**53, 123456789.125]
    ]


def _rscript(text: str) -> str:
    done = subprocess.run(["Rscript", "--vanilla", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _mad(x: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(x - np.median(x)))) if len(x) else float("nan")


def _variance_n(x: np.ndarray) -> float:
    return float(np.var(x))


def _one_pass(x: np.ndarray) -> float:
    return float((np.sum(x * x) - len(x) * np.mean(x) ** 2) / (len(x) - 1))


def _ignores_missing(x: np.ndarray) -> float:
    return float(np.nansum(x))


def _fails_on_ties(x: np.ndarray) -> np.ndarray:
    if len(np.unique(x)) < len(x):
        raise ValueError("ties")
    return np.sort(x)


def _sorts_in_place(x: np.ndarray) -> np.ndarray:
    x.sort()
    return x


def _almost_floor(x: np.ndarray) -> np.ndarray:
    return np.floor(x + 1e-14)


def _levels(x: pd.Series) -> list[str]:
    return sorted(set(x.dropna()))


def _wrong_names(x: np.ndarray) -> pd.Series:
    return pd.Series(np.quantile(x, [0.25, 0.75]), index=["lower", "upper"])


def _a_little_off(x: np.ndarray) -> float:
    return float(np.median(x)) * (1 + 1e-11)


def _column(x: np.ndarray) -> np.ndarray:
    return np.asarray(x)[:, None]


FINITE = ports.vectors(2, missing=False, infinite=False, extreme=False)
#: A faulty port, the R function, inputs, how it differs, and the size of the smallest input that shows it.
PLANTED: list[tuple[Callable[..., Any], str, Any, str, int]] = [
    (_variance_n, "stats::var", FINITE, "value", 2),
    (
        _one_pass,
        "stats::var",
        st.lists(st.integers(10**8, 10**8 + 9), min_size=3).map(lambda v: np.array(v, float)),
        "value",
        3,
    ),
    (_ignores_missing, "base::sum", ports.vectors(infinite=False, extreme=False), "missing", 1),
    (_fails_on_ties, "base::sort", FINITE, "raises only in Python", 2),
    (_sorts_in_place, "base::sort", FINITE, "changes its input", 2),
    (_almost_floor, "base::floor", st.just(np.array([1 - 2**-53, 3.0])), "value", 2),
    (_levels, "base::levels", ports.groups(), "shape", 1),
    (_wrong_names, "stats::quantile", FINITE, "names", 2),
    (_column, "base::identity", FINITE, "shape", 2),
    (_a_little_off, "stats::median", FINITE, "value", 2),
]


@pytest.mark.parametrize(
    ("port", "r", "inputs", "what", "size"), PLANTED, ids=lambda one: getattr(one, "__name__", None)
)
def test_a_planted_fault_is_found_and_shrunk(port: Any, r: str, inputs: Any, what: str, size: int) -> None:
    to_r = (lambda c: {"x": c["x"], "probs": [0.25, 0.75]}) if r.endswith("quantile") else None
    report = ports.check(port, r, {"x": inputs}, to_r=to_r, options=FEW)
    assert not report.ok and report.verdict in ("substantive", "convention")
    found = {finding.difference.what: finding for finding in report.findings}
    assert what in found, report
    assert len(found[what].case["x"]) == size
    with pytest.raises(DisagreementError, match="Ledger"):
        report.assert_ok()


def test_sound_ports_agree() -> None:
    """The same inputs, and no finding: the counterparts of the faults."""
    cases = {"x": ports.vectors(2, missing=False, infinite=False)}
    for port, r in ((_mad, "stats::mad"), (np.median, "stats::median"), (np.sort, "base::sort")):
        report = ports.check(port, r, cases, to_py=lambda c: ports.arguments(c["x"]), options=FEW)
        assert report.ok and report.ledger.compared == 60, report
    moderate = {"x": ports.vectors(2, missing=False, infinite=False, extreme=False)}
    report = ports.check(np.var, "stats::var", moderate, to_py=lambda c: {"a": c["x"], "ddof": 1}, options=FEW)
    assert report.ok, report


def test_what_all_differences_share_is_named() -> None:
    report = ports.check(_variance_n, "stats::var", {"x": FINITE}, options=FEW)
    assert report.verdict == "convention"
    assert "R's times (n-1)/n" in report.reason
    differing = report.ledger.differed
    assert f"in {differing} of {differing} cases" in report.reason


def test_rounding_is_told_from_a_jump() -> None:
    """Cancellation is the input's own rounding; the same distance at a jump of the answer is not."""
    near_zero = [{"x": np.array([0.1, 0.2, -0.3])}]
    report = ports.check(lambda x: float((x[0] + x[1]) + x[2]), "base::sum", near_zero)
    assert report.ok and report.verdict == "rounding"
    assert report.ledger.outputs["value"].explained == 1
    hair = [{"x": np.array([1 - 2**-53])}]
    report = ports.check(_almost_floor, "base::floor", hair)
    assert [finding.difference.what for finding in report.findings] == ["value"]


def test_given_cases_lose_the_rows_that_do_not_matter() -> None:
    data = np.arange(200.0)
    data[77] = np.nan
    report = ports.check(_ignores_missing, "base::sum", [{"x": data, "keep": 1}], to_py=_only_x, to_r=_only_x)
    (finding,) = report.findings
    assert len(finding.case["x"]) == 1 and np.isnan(finding.case["x"][0])


def _only_x(case: Any) -> dict[str, Any]:
    return {"x": case["x"]}


def test_errors_count_as_agreement_only_if_they_are_declared() -> None:
    def fails(x: np.ndarray) -> float:
        if np.isnan(x).any():
            raise ValueError("no missing values")
        return float(np.quantile(x, 0.5))

    cases = [{"x": np.array([1.0, 2.0])}, {"x": np.array([np.nan])}]
    to_r = lambda c: {"x": c["x"], "probs": 0.5, "names": False}  # noqa: E731
    report = ports.check(fails, "stats::quantile", cases, to_r=to_r)
    assert [finding.difference.what for finding in report.findings] == ["raises in both"]
    declared = ports.Raises("missing values are refused", ValueError, "missing values and NaN's not allowed")
    report = ports.check(fails, "stats::quantile", cases, to_r=to_r, options=ports.PortOptions(errors=(declared,)))
    assert report.ok and report.ledger.declared == 1
    other = ports.Raises("another error", KeyError, "missing values")
    assert not ports.check(fails, "stats::quantile", cases, to_r=to_r, options=ports.PortOptions(errors=(other,))).ok
    only = ports.PortOptions(errors=(declared,))
    report = ports.check(fails, "stats::quantile", cases[1:], to_r=to_r, options=only)
    assert not report.ok and report.verdict == "not comparable"
    with pytest.raises(DataError, match="reason"):
        ports.Raises(" ")


def test_a_tolerance_asks_for_a_reason() -> None:
    with pytest.raises(DataError, match="without a reason"):
        ports.Output(rtol=1e-6)
    with pytest.raises(DataError, match="without a reason"):
        ports.Output(atol=1e-300)
    allowed = ports.Output(rtol=1e-5, because="R's constant is rounded")
    precise = lambda x: float(np.median(np.abs(x - np.median(x)))) * 1.482602218505602  # noqa: E731
    cases = [{"x": np.array([0.0, 1.0, 5.0])}]
    assert not ports.check(precise, "stats::mad", cases).ok
    assert ports.check(precise, "stats::mad", cases, outputs=[allowed]).ok


def test_a_fit_is_compared_by_its_parts() -> None:
    def least_squares(data: pd.DataFrame) -> dict[str, np.ndarray]:
        X = np.column_stack([np.ones(len(data)), data["x"]])
        b, *_ = np.linalg.lstsq(X, data["y"], rcond=None)
        e = data["y"].to_numpy() - X @ b
        v = np.linalg.inv(X.T @ X) * (e @ e) / (len(data) - 2)
        return {"b": b, "v": v, "e": e, "f": X @ b, "df": len(data) - 2}

    drawn_data = ports.frames({"y": "number", "x": "number"}, 4, 12, collinear=False, extreme=False)
    cases = {"data": drawn_data.filter(lambda d: np.ptp(d["x"]) > 0 and np.ptp(d["y"]) > 0)}
    because = "residuals and variances of exact fits are zero but for rounding"
    outputs = [
        ports.Output("coef", "b", "stats::coef", atol=1e-13, because=because),
        ports.Output("vcov", "v", "stats::vcov", atol=1e-24, because=because),
        ports.Output("resid", lambda fit: fit["e"], "stats::residuals", atol=1e-12, because=because),
        ports.Output("fitted", "f", "stats::fitted"),
        ports.Output("df", "df", "$df.residual"),
        ports.Output("qr rank", lambda _: 2, "$qr $rank"),
    ]  # fmt: skip

    def to_r(case: Any) -> ports.Arguments:
        return ports.arguments(ports.formula("y ~ x"), data=case["data"])

    report = ports.check(least_squares, "stats::lm", cases, to_r=to_r, outputs=outputs, options=FEW)
    assert report.ok, report
    assert set(report.ledger.outputs) == {"coef", "vcov", "resid", "fitted", "df", "qr rank"}
    assert "names of coef" in report.ledger.skipped
    one = outputs[0]
    backwards = lambda data: {"b": least_squares(data)["b"][::-1]}  # noqa: E731
    report = ports.check(backwards, "stats::lm", cases, to_r=to_r, outputs=[one], options=FEW)
    assert report.findings[0].r_code.startswith("print(stats::coef(stats::lm(y ~ x, data = data.frame(")
    answers = [float(x) for x in _rscript(report.findings[0].r_code).split() if x[0] in "-0123456789"]
    assert answers == pytest.approx(report.findings[0].answers["answer"]["coef"][""]["values"], rel=1e-15, abs=0)


def test_s4_values_and_parts_that_do_not_travel() -> None:
    matrix = {"x": np.array([[1.0, 0.0], [0.0, 2.0]])}
    to_r = lambda c: ports.arguments(c["x"], sparse=True)  # noqa: E731
    assert ports.check(same, "Matrix::Matrix", [matrix], to_r=to_r).ok
    size = ports.Output("dim", lambda x: np.array(x.shape), "$Dim")
    assert ports.check(same, "Matrix::Matrix", [matrix], to_r=to_r, outputs=[size]).ok
    report = ports.check(lambda x: {"p": x}, "base::list", [{"x": 1.0}], to_r=lambda c: {"p": c["x"], "f": ports.r_call(
        "base::match.fun", "sum")})  # fmt: skip
    assert report.ok and list(report.ledger.skipped) == ["value.f"]


@pytest.mark.parametrize("name", ["mad", "stats::", "stats::mad(1)", "system('true')", "base::`[`", "stats:::var"])
def test_only_names_of_functions_are_taken(name: str) -> None:
    with pytest.raises(UnsupportedError, match="does not name an R function"):
        ports.check(same, name, [{"x": 1.0}])
    with pytest.raises(UnsupportedError, match="does not name an R function"):
        ports.check(same, "base::identity", [{"x": 1.0}], outputs=[ports.Output("a", r=name.replace(" ", ""))])
    with pytest.raises(UnsupportedError, match="does not name an R function"):
        ports.check(same, "base::identity", [{"x": 1.0}], to_r=lambda c: ports.arguments(ports.r_call(name, c["x"])))


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(UnsupportedError, match=r"exports no maad.*mad"):
        ports.check(same, "stats::maad", [{"x": 1.0}])
    with pytest.raises(RNotAvailableError, match="nosuchpackage"):
        ports.check(same, "nosuchpackage::f", [{"x": 1.0}])
    with pytest.raises(UnsupportedError, match=r"na\.rm"):
        ports.check(same, "stats::mad", [{"values": 1.0}])
    with pytest.raises(UnsupportedError, match="no nothing"):
        ports.check("scipy.stats:nothing", "stats::mad", [{"x": 1.0}])
    with pytest.raises(UnsupportedError, match="importing"):
        ports.check("no_such_module_of_mine:f", "stats::mad", [{"x": 1.0}])
    with pytest.raises(UnsupportedError, match="outputs="):
        ports.check(lambda x: object(), "stats::mad", [{"x": np.array([1.0])}])
    for wrong in ([], {}, "text", 3, [1, 2]):
        with pytest.raises(DataError, match="no cases"):
            ports.check(same, "stats::mad", wrong)


def test_formulas_are_parsed_and_never_evaluated() -> None:
    assert calls.formula_text("y ~ x*w") == "y ~ x + w + x:w"
    assert calls.formula_text("y ~ x | z") == "y ~ x | z"
    assert calls.formula_text("~ g + h") == "~g + h"
    for hostile in ("y ~ system('touch owned')", "y ~ x; quit()", "~ base::eval(x)", "y ~ `x"):
        with pytest.raises(FormulaError):
            calls.formula_text(hostile)


def test_an_r_that_ends_or_hangs_is_a_finding(tmp_path: Path) -> None:
    script = tmp_path / "faulty.R"
    script.write_text(
        "ends <- function(x) if (length(x) == 3) quit(save = 'no') else sum(x)\n"
        "hangs <- function(x) { while (length(x) == 3) Sys.sleep(0.1); sum(x) }\n"
    )
    cases = [{"x": np.arange(float(n))} for n in (1, 2, 3, 4)]
    add = lambda x: float(np.sum(x))  # noqa: E731
    report = ports.check(add, f"{script}::ends", cases)
    assert [(finding.difference.what, len(finding.case["x"])) for finding in report.findings] == [("ends R", 3)]
    assert report.ledger.compared == 3
    report = ports.check(add, f"{script}::hangs", cases, options=ports.PortOptions(timeout=1))
    assert [(finding.difference.what, finding.cases) for finding in report.findings] == [("stops R", 1)]
    assert f'source("{script}")' in report.findings[0].r_code
    assert list(report.provenance["scripts"]) == ["faulty.R"]
    with pytest.raises(UnsupportedError, match="no R script"):
        ports.check(add, f"{tmp_path}/none.R::f", cases)


def test_random_numbers_are_shared() -> None:
    def means(x: np.ndarray, rng: Any) -> np.ndarray:
        return rng.sample(x, replace=True)

    cases = {"x": FINITE}
    shared = ports.PortOptions(examples=40, draws="rng")
    report = ports.check(means, "base::sample", cases, to_r=lambda c: {"x": c["x"], "replace": True}, options=shared)
    assert report.verdict == "identical", report
    report = ports.check(means, "base::sample", cases, to_r=lambda c: {"x": c["x"]}, options=shared)
    finding = report.findings[0]
    assert "set.seed(" in finding.r_code and "random = RRandom(" in finding.python_code


def test_the_same_seed_is_the_same_search() -> None:
    one, two = (ports.check(_variance_n, "stats::var", {"x": FINITE}, options=FEW) for _ in range(2))
    assert str(one) == str(two) and one.to_json() == two.to_json()


def test_generators_reach_every_kind_of_input() -> None:
    found: set[str] = set()
    for cases in (
        {"x": ports.vectors()},
        {"d": ports.frames({"y": "number", "x": "number", "z": "number", "g": "group"}, 1, 8, missing=True)},
        {"m": ports.matrices(1, 6, 4)},
    ):
        found |= {kind for case in drawn(source_of(cases, None), 200, 0) for kind in kinds.kinds_of(case)}
    assert found == set(kinds.KINDS)


def test_the_ledger_counts_and_names_what_was_never_tried() -> None:
    cases = [{"x": np.array([1.0, 2.0, 4.0, 8.0, 16.0])}, {"x": np.array([1.0, 1.0, 2.0, np.nan])}]
    report = ports.check(same, "base::identity", cases)
    assert report.ledger.kinds["ordinary"] == (1, 1, 0) and report.ledger.kinds["ties"] == (1, 1, 0)
    assert report.ledger.outputs["value"].identical == 9
    text = "\n".join(report.ledger_lines())
    assert "never tried: empty, one row" in text and "unbalanced groups" not in text
    assert "missing: 1, 1, 0" in text


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_case_is_kept_exactly(value: Any) -> None:
    if isinstance(value, dt.timedelta):
        with pytest.raises(DataError):
            store.case_plain(value)
        report = ports.check(lambda x: 1.0, "base::identity", [{"x": value}])
        assert json.loads(report.to_json())["findings"][0]["case"]["x"] == {"python": repr(value)}
        return
    again = store.case_from(json.loads(json.dumps(store.case_plain(value), allow_nan=False)))
    assert type(again) is type(value)
    assert code.python_text(again) == code.python_text(value)
    assert code.r_text(again) == code.r_text(value)


def test_a_finding_is_recorded_and_replayed_without_r(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = ports.check(_variance_n, "stats::var", {"x": FINITE}, options=FEW)
    (path,) = report.save(tmp_path, "the command")
    assert report.save(tmp_path) == [path]
    plain = json.loads(path.read_text())
    assert plain["command"] == "" and plain["provenance"]["packages"]["stats"]
    assert float(_rscript("\n".join(plain["r code"])).split()[1]) == plain["answer"]["value"][""]["values"][0]

    def no_r(*_: object) -> None:
        raise AssertionError("R was asked")

    monkeypatch.setattr(checking, "RSide", no_r)
    again = ports.replay(tmp_path, _variance_n, "stats::var")
    assert not again.ok and again.recorded and again.findings[0].note == path.name
    assert ports.replay(path, lambda x: float(np.var(x, ddof=1)), "stats::var").ok
    with pytest.raises(UnsupportedError, match=r"stats::sd .*was asked"):
        ports.replay(path, _variance_n, "stats::sd")
    plain["answer"]["value"][""]["values"][0] *= 1 + 1e-6
    plain["r code"] = plain["python code"] = ["system('touch owned')"]
    path.write_text(json.dumps(plain))
    edited = ports.replay(path, lambda x: float(np.var(x, ddof=1)), "stats::var")
    assert not edited.ok and "stats::var(" in str(edited) and "owned" not in str(edited)


HEAD = '{"format": "ivbridge-port/1", "r": "stats::var", "python": "f", "outputs": ["value"], '
DAMAGED = [
    "",
    "[1]",
    "{}",
    '{"format": "ivbridge-port/1"}',
    HEAD + '"case": {"x": {"a": 1}}, "answer": {}}',
    HEAD + '"case": {"x": {"array": [1], "dtype": "O", "shape": [1]}}, "answer": {}}',
    HEAD + '"case": {"x": 1}, "answer": {"value": 3}}',
    HEAD + '"case": {"x": {"array": [1.0], "dtype": "float64", "shape": [1]}}, "answer": {}}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError):
        ports.replay(tmp_path / "a.json", _variance_n, "stats::var")
    with pytest.raises(DataError, match="no recorded case"):
        ports.replay(ROOT / "docs", _variance_n, "stats::var")


def test_the_printed_python_runs(tmp_path: Path) -> None:
    values = [value for value in VALUES if not isinstance(value, dt.timedelta)]
    texts = [code.python_text(value) for value in values]
    script = "import numpy as np\nimport pandas as pd\nfrom ivbridge.ports import code\n" + "\n".join(
        f"print(code.r_text({text}).encode())" for text in texts
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [repr(code.r_text(value).encode()) for value in values]

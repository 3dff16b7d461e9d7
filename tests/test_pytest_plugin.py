"""The pytest plugin: modes, skipping and failing, texts of failures, recording by several processes."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ivbridge
from ivbridge import pytest_agreement

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[1]
#: Where ivbridge is installed, pytest finds the plugin itself; in a checkout it has to be named.
INSTALLED = bool(importlib.metadata.entry_points(group="pytest11", name="ivbridge"))
LOAD = () if INSTALLED else ("-p", "ivbridge.pytest_plugin")

KMENTA = """
import pytest

@pytest.mark.ivref("Q ~ P + D | D + F + A", "kmenta", ["HC1", "classical"])
def test_kmenta(iv_agreement):
    assert iv_agreement().verdict == "rounding"
"""
FRAME = """
import pandas as pd
import pytest

DATA = pd.DataFrame({"y": [1.0, 3, 2, 5, 4, 6.5, 7], "x": [1.0, 2, 2, 3, 4, 4.5, 6], "z": [0.0, 1, 1, 2, 2, 3, 3.5]})

@pytest.mark.parametrize("vcov", ["classical", "HC0", "HC1", "HC2", "HC3", "HC4"])
def test_frame(iv_agreement, vcov):
    iv_agreement("y ~ x | z", DATA, vcov)
"""
MARKED = "import pytest\n@pytest.mark.ivref("


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run the tests of a text in this process."""

    def runs(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=text)
        return pytester.runpytest_inprocess(*LOAD, "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)

    return runs


def written(pytester: pytest.Pytester) -> list[Path]:
    return sorted((pytester.path / "ivref").glob("*.json"))


class TestModes:
    def test_record_writes_and_replay_reads(self, run, pytester: pytest.Pytester) -> None:
        result = run(FRAME, "--ivref=record")
        result.assert_outcomes(passed=6)
        result.stdout.fnmatch_lines(["ivref: record", "ivref: 6 comparisons with R, * numbers, * digits or more"])
        assert len(written(pytester)) == 6
        names = [path.name for path in written(pytester)]
        assert all(name.startswith("test_it-test_frame-") for name in names)
        assert [line for line in result.outlines if line.startswith("ivref: recorded ivref/test_it-test_frame-HC0-")]
        tree = json.loads(written(pytester)[0].read_text(encoding="utf-8"))
        assert tree["question"]["formula"] == "y ~ x | z"
        assert str(pytester.path) not in written(pytester)[0].read_text(encoding="utf-8")
        before = {path: path.read_bytes() for path in written(pytester)}
        run(FRAME, "--ivref-strict").assert_outcomes(passed=6)
        assert {path: path.read_bytes() for path in written(pytester)} == before

    def test_replay_needs_no_r(self, run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        run(FRAME, "--ivref=record").assert_outcomes(passed=6)
        monkeypatch.setattr("ivbridge.engines.r.REngine.fit", _no_r)
        run(FRAME).assert_outcomes(passed=6)

    def test_live_asks_r_and_writes_nothing(self, run, pytester: pytest.Pytester) -> None:
        run(FRAME, "--ivref=live").assert_outcomes(passed=6)
        assert not written(pytester)

    def test_auto_records_what_is_missing_only(self, run, pytester: pytest.Pytester) -> None:
        run(FRAME, "--ivref=auto").assert_outcomes(passed=6)
        first = {path: path.stat().st_mtime_ns for path in written(pytester)}
        assert len(first) == 6
        written(pytester)[0].unlink()
        run(FRAME, "--ivref=auto").assert_outcomes(passed=6)
        second = {path: path.stat().st_mtime_ns for path in written(pytester)}
        assert sum(first[path] != second[path] for path in first) == 1

    @pytest.mark.parametrize("mode", ["replay", "auto"])
    def test_stale_fails_and_names_both_commands(self, run, pytester: pytest.Pytester, mode: str) -> None:
        run(FRAME, "--ivref=record").assert_outcomes(passed=6)
        result = run(FRAME.replace("6.5", "6.75"), f"--ivref={mode}")
        result.assert_outcomes(failed=6)
        text = result.stdout.str()
        assert "is stale: the values of the column 'y' changed" in text
        assert "Or: pytest 'test_it.py::test_frame[HC1]' --ivref=record" in text

    def test_an_edited_reference_fails(self, run, pytester: pytest.Pytester) -> None:
        run(FRAME, "--ivref=record", "-k", "HC1").assert_outcomes(passed=1, deselected=5)
        (path,) = written(pytester)
        tree = json.loads(path.read_text(encoding="utf-8"))
        tree["answers"][0]["coefs"]["estimate"][1] *= 1 + 1e-6
        path.write_text(json.dumps(tree), encoding="utf-8")
        for mode in ("replay", "auto"):
            result = run(FRAME, "-k", "HC1", f"--ivref={mode}")
            result.assert_outcomes(failed=1, deselected=5)
            assert "was changed by hand" in result.stdout.str()

    def test_a_bundled_reference_is_found(self, run) -> None:
        run(KMENTA, "--ivref-strict").assert_outcomes(passed=1)

    def test_the_configuration_file_chooses(self, run, pytester: pytest.Pytester) -> None:
        pytester.makeini("[pytest]\nivref = record\nivref_strict = true\nivref_folder = answers\n")
        result = run(FRAME)
        result.assert_outcomes(passed=6)
        result.stdout.fnmatch_lines(["ivref: record, strict"])
        assert len(list((pytester.path / "answers").glob("*.json"))) == 6
        run(FRAME, "--ivref=replay").assert_outcomes(passed=6)

    def test_an_unknown_mode_is_refused(self, run, pytester: pytest.Pytester) -> None:
        assert run(FRAME, "--ivref=sometimes").ret == pytest.ExitCode.USAGE_ERROR
        pytester.makeini("[pytest]\nivref = sometimes\n")
        result = run(FRAME)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*ivref = sometimes: this is none of replay, live, record, auto*"])


def _no_r(*_: object) -> None:
    raise ivbridge.RNotAvailableError("There is no R here.", do="install it.")


class TestMissing:
    def test_a_missing_answer_skips_and_says_how_to_record(self, run) -> None:
        result = run(FRAME, "-rs")
        result.assert_outcomes(skipped=6)
        assert "Do this where R is: pytest 'test_it.py::test_frame[HC1]' --ivref=record" in " ".join(
            result.stdout.str().split()
        )

    def test_strict_fails_instead(self, run) -> None:
        run(FRAME, "--ivref-strict").assert_outcomes(failed=6)

    @pytest.mark.parametrize(("mode", "outcome"), [("live", "skipped"), ("auto", "skipped"), ("record", "failed")])
    def test_a_missing_r(self, run, monkeypatch: pytest.MonkeyPatch, mode: str, outcome: str) -> None:
        monkeypatch.setattr("ivbridge.engines.r.REngine.fit", _no_r)
        run(FRAME, f"--ivref={mode}").assert_outcomes(**{outcome: 6})
        run(FRAME, f"--ivref={mode}", "--ivref-strict").assert_outcomes(failed=6)


class TestFailures:
    def test_a_disagreement_shows_verdict_reason_gaps_and_the_line_of_the_test(self, run) -> None:
        result = run("""
            import dataclasses
            import ivbridge

            def test_wrong(iv_agreement):
                data = ivbridge.load("kmenta").frame
                mine = ivbridge.fit("Q ~ P + D | D + F + A", data, "HC1")
                wrong = mine.coefs.estimate * (1 + 1e-6)
                mine = dataclasses.replace(mine, coefs=dataclasses.replace(mine.coefs, estimate=wrong))
                iv_agreement("Q ~ P + D | D + F + A", data, candidate=mine)
        """, "--ivref=live")  # fmt: skip
        result.assert_outcomes(failed=1)
        text = result.stdout.str()
        for part in (
            ">       iv_agreement(", "SUBSTANTIVE: Q ~", "numbers differ by more than rounding explains",
            "HC1: estimate of P: r -0.24", "native -0.24", "digits, rounding explains", "r: R 4", "AER", "--ivref=live",
            "Do this: ",
        ):  # fmt: skip
            assert part in text, part
        assert "pytest_agreement.py" not in text

    def test_a_convention_is_named(self, run) -> None:
        result = run("""
            import dataclasses
            import ivbridge

            def test_hc0(iv_agreement):
                data = ivbridge.load("kmenta").frame
                mine = ivbridge.fit("Q ~ P + D | D + F + A", data, "HC0")
                mine = dataclasses.replace(mine, spec=dataclasses.replace(mine.spec, vcov=ivbridge.HC1()))
                iv_agreement("Q ~ P + D | D + F + A", data, candidate=mine)
        """, "--ivref=live")  # fmt: skip
        result.assert_outcomes(failed=1)
        assert "CONVENTION: Q ~" in result.stdout.str()
        assert "HC0" in result.stdout.str()

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("def test_idle(iv_agreement):\n    pass", "never called it"),
            (f"{MARKED}'y ~ x', 'kmenta')\ndef test_idle():\n    pass", "does not use the fixture"),
            ("def test_bare(iv_agreement):\n    iv_agreement()", "got no question"),
            ("def test_bare(iv_agreement):\n    iv_agreement('Q ~ P')", "got no data"),
            (f"{MARKED}'Q ~ P', 'kmenta', vcov='HC1')\ndef test_a(iv_agreement): iv_agreement()",
             "no option 'vcov'; it has question, data, vcovs, candidate"),
        ],
    )  # fmt: skip
    def test_a_test_that_compares_nothing_fails(self, run, text: str, says: str) -> None:
        result = run(text, "--ivref=live")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert says in result.stdout.str()

    def test_what_fails_anyway_is_not_blamed_on_the_plugin(self, run) -> None:
        result = run("def test_early(iv_agreement):\n    assert 1 == 2")
        result.assert_outcomes(failed=1)
        assert "never called" not in result.stdout.str()


class TestCandidates:
    def test_numbers_of_ones_own(self, run) -> None:
        result = run("""
            import numpy as np
            import pytest
            import ivbridge

            DATA = ivbridge.load("kmenta").frame
            X = np.column_stack([np.ones(20), DATA.P, DATA.D])
            Z = np.column_stack([np.ones(20), DATA.D, DATA.F, DATA.A])
            HAT = Z @ np.linalg.lstsq(Z, X, rcond=None)[0]
            BETA = np.linalg.lstsq(HAT, DATA.Q, rcond=None)[0]
            RESID = DATA.Q - X @ BETA
            ERROR = np.sqrt(np.diag(np.linalg.inv(HAT.T @ HAT)) * (RESID @ RESID) / 17)
            TERMS = ("(Intercept)", "P", "D")

            pytestmark = pytest.mark.ivref("Q ~ P + D | D + F + A", "kmenta", "classical")

            def test_mine(iv_agreement):
                mine = {"estimate": dict(zip(TERMS, BETA)), "std.error": dict(zip(TERMS, ERROR)), "resid": RESID}
                found = iv_agreement(candidate=mine)
                assert len(found.gaps) == 7
                assert "cov" in found.skipped and "test sargan" in found.skipped

            def test_strict(iv_agreement):
                with pytest.raises(AssertionError, match="STRICT: .* with a value not compared"):
                    iv_agreement(candidate={"estimate": dict(zip(TERMS, BETA))}, strict=True)

            def test_wrong(iv_agreement):
                wrong = {"estimate": dict(zip(TERMS, BETA * (1 + 1e-9))), "std.error": dict(zip(TERMS, ERROR))}
                with pytest.raises(AssertionError, match="SUBSTANTIVE"):
                    iv_agreement(candidate=wrong)

            def test_reference(iv_agreement):
                found = iv_agreement.reference(vcov="HC1")
                assert found.engine.startswith(("r", "recorded"))
                np.testing.assert_allclose(found.params[list(TERMS)], BETA, rtol=1e-10)

            @pytest.mark.parametrize("numbers", [
                {}, {"beta": 1}, {"estimate": {"P": 1.0}}, {"estimate": 3}, {"sigma": "x"}, {"cov": 1},
                {"resid": [1.0]}, {"test statistic": {"basmann": 1.0}},
            ])
            def test_refused(iv_agreement, numbers):
                with pytest.raises(ivbridge.DataError):
                    iv_agreement(candidate=numbers)
        """, "--ivref=live")  # fmt: skip
        result.assert_outcomes(passed=12)

    def test_every_kind_of_number_can_be_given(self) -> None:
        data = ivbridge.load("kmenta").frame
        r, native = (ivbridge.fit("Q ~ P + D | D + F + A", data, "HC1", engine) for engine in ("r", "native"))
        tests = {key: test for key, test in native.tests.items() if isinstance(test, ivbridge.Test)}
        numbers = {
            **{what: dict(zip(native.terms, native.tidy()[what], strict=True)) for what in
               ("estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high")},
            "cov": native.cov_params().loc[::-1, ::-1], "resid": native.residuals, "fitted": native.fitted,
            "sigma": native.sigma, "r.squared": native.r2, "adj.r.squared": native.r2_adj,
            "df.residual": native.df_resid,
            "test statistic": {key: test.statistic for key, test in tests.items()},
            "test p.value": {key: test.p_value for key, test in tests.items()},
            "test df1": {key: test.df1 for key, test in tests.items()},
            "test df2": {key: test.df2 for key, test in tests.items()},
        }  # fmt: skip
        from ivbridge.given import given

        found = ivbridge.agree(r, given(native, numbers))
        whole = ivbridge.agree(r, native)
        assert found.verdict == "rounding"
        assert {gap.label for gap in found.gaps} == {g.label for g in whole.gaps if not g.quantity.startswith("first")}
        assert set(found.skipped) == {"first stage", "columns", "kappa"}


class TestSession:
    def test_the_marker_finds_the_tests(self, run) -> None:
        result = run(FRAME + "\ndef test_other():\n    pass\n", "-m", "ivref", "--ivref=live", "--strict-markers")
        result.assert_outcomes(passed=6, deselected=1)

    def test_who_does_not_use_it_notices_nothing(self, run) -> None:
        loaded_before = "ignore::pytest.PytestAssertRewriteWarning"  # by another test of this process
        result = run("def test_one():\n    pass\n", "-W", "error", "-W", loaded_before)
        result.assert_outcomes(passed=1)
        assert "ivref" not in result.stdout.str()

    def test_two_questions_in_one_test_have_two_files(self, run, pytester: pytest.Pytester) -> None:
        text = FRAME.replace('iv_agreement("y ~ x | z", DATA, vcov)', 'iv_agreement("y ~ x | z", DATA, vcov)\n'
                             '    iv_agreement("y ~ x", DATA, vcov)')  # fmt: skip
        run(text, "--ivref=record", "-k", "HC1").assert_outcomes(passed=1, deselected=5)
        assert len(written(pytester)) == 2
        run(text, "--ivref-strict", "-k", "HC1").assert_outcomes(passed=1, deselected=5)

    def test_data_beside_the_test_keep_their_place_in_the_reference(self, run, pytester: pytest.Pytester) -> None:
        (pytester.path / "mine.csv").write_text(
            "y,x,z\n1,1,0\n3,2,1\n2,2,1\n5,3,2\n4,4,2\n6.5,4.5,3\n", encoding="utf-8"
        )
        run(
            "def test_file(iv_agreement):\n    iv_agreement('y ~ x | z', 'mine.csv', 'HC1')", "--ivref=record"
        ).assert_outcomes(passed=1)
        (path,) = written(pytester)
        assert str(pytester.path) not in path.read_text(encoding="utf-8")
        assert json.loads(path.read_text(encoding="utf-8"))["data"]["source"] == "mine.csv"

    @pytest.mark.slow
    def test_several_processes_record_without_harm(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_one=FRAME, test_two=FRAME)
        arguments = (*LOAD, "-p", "no:cacheprovider", "-n", "2", "--dist", "load")
        result = pytester.runpytest_subprocess(*arguments, "--ivref=record")
        result.assert_outcomes(passed=12)
        result.stdout.fnmatch_lines(["ivref: 12 comparisons with R, *"])
        assert sum(line.startswith("ivref: recorded ") for line in result.outlines) == 12
        assert len(written(pytester)) == 12
        assert not list((pytester.path / "ivref").glob(".*"))
        for path in written(pytester):
            assert ivbridge.load_reference(path).answers
        pytester.runpytest_subprocess(*arguments, "--ivref-strict").assert_outcomes(passed=12)

    def test_importing_the_plugin_loads_nothing_heavy(self) -> None:
        program = (
            "import sys, ivbridge.pytest_plugin;"
            "print(sorted({name.partition('.')[0] for name in sys.modules} & {'numpy', 'pandas', 'scipy', 'rpy2'}))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_files_of_tests_never_meet() -> None:
    """Names that are cut or cleaned alike still have files of their own."""

    class Node:
        path = Path("test_it.py")

        def __init__(self, name: str) -> None:
            self.name, self.nodeid = name, f"tests/test_it.py::{name}"

        def get_closest_marker(self, _: str) -> None:
            return None

    names = ["test_a[x/y]", "test_a[x:y]", "test_" + "b" * 200, "test_" + "b" * 201, "test_ä", "test_ö"]
    made = [pytest_agreement.IVAgreement(Node(name), "replay", Path("ivref"), missing_fails=False) for name in names]
    paths = [one._path() for one in made]
    assert len(set(paths)) == len(names)
    assert all(len(path.name) < 110 and path.name.isascii() and path.parent == Path("ivref") for path in paths)


def _cut(lines: list[str]) -> list[str]:
    """Without what differs from machine to machine: last digits, versions, the hash in a file's name, dates."""
    text = "\n".join(line.rstrip() for line in lines)
    text = re.sub(r"(\d\.\d{6})\d+", r"\1", text)
    text = re.sub(r"\d+\.\d digits( or more)?|explains \d+\.\d", "digits", text)
    return re.sub(r"-[0-9a-f]{8}\.json|R \d\.\d\.\d, \d{4}-\d\d-\d\d|: R \d.*; --ivref", "…", text).splitlines()


def test_the_page_shows_what_happens(pytester: pytest.Pytester) -> None:
    """Every file and every output of docs/how-to/pytest.md."""
    page = (ROOT / "docs/how-to/pytest.md").read_text(encoding="utf-8")
    for place, text in re.findall(r'```py title="([^"]+)"\n(.*?)```', page, flags=re.DOTALL):
        path = pytester.path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (settings,) = re.findall(r'```ini title="pytest.ini"\n(.*?)```', page, flags=re.DOTALL)
    pytester.makeini(settings)
    arguments = (*LOAD, "-p", "no:cacheprovider", "-p", "no:xdist")
    result = pytester.runpytest_inprocess(*arguments, "--ivref=record", "tests/test_against_r.py", "tests/test_mine.py")
    result.assert_outcomes(passed=2)
    (console,) = re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL)
    shown = [line for line in console.splitlines() if line.startswith("ivref: ")]
    assert len(shown) == 4
    assert [line for line in _cut(shown) if line not in _cut(result.outlines)] == []
    result = pytester.runpytest_inprocess(*arguments, "tests")
    result.assert_outcomes(passed=2, failed=1)
    (failure,) = re.findall(r"```text\n(.*?)```", page, flags=re.DOTALL)
    assert len(failure.splitlines()) > 5
    assert [line for line in _cut(failure.splitlines()) if line not in _cut(result.outlines)] == []

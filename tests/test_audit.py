"""The audit of whole analyses: a workbook with every mistake, one without, and files of every kind."""

from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ivbridge.audit.catalogue import catalogue
from ivbridge.audit.checking import audit
from ivbridge.audit.code import code_findings
from ivbridge.audit.page import html, markdown, write
from ivbridge.audit.reading import read_source
from ivbridge.cli import app
from ivbridge.errors import DataError, UnsupportedError

DATA = Path(__file__).parent / "data"
FAULTY, CORRECTED = DATA / "workbook_faulty.ipynb", DATA / "workbook_corrected.ipynb"
ROOT = Path(__file__).parents[1]
#: Title and code of snippets that look like a mistake and are none.
ORDINARY = re.findall(r"^## ([^\n]+)\n\n```python\n(.*?)```", (DATA / "audit_ordinary.md").read_text(encoding="utf-8"),
                      re.MULTILINE | re.DOTALL)  # fmt: skip

#: What the faulty workbook does wrong: the check, and the cells (by their number) where it has to be seen.
MISTAKES = {
    "probability-clipped": {2}, "difference-without-error": {4, 16}, "strata-leave-confounders": {5},
    "strata-not-aggregated": {5}, "r-squared-one": {6, 9}, "columns-of-unequal-scale": {6, 9},
    "classical-errors": {6, 9, 10}, "propensity-penalised": {7}, "propensity-solver": {7},
    "overlap-not-looked-at": {7}, "matching-without-balance": {7}, "matching-without-error": {7},
    "weights-not-looked-at": {8}, "same-seed-twice": {9, 16}, "manual-two-stage": {9},
    "outcome-without-treatment": {9}, "iv-without-endogeneity": {9}, "first-stage-not-looked-at": {9},
    "split-unused": {10}, "learner-without-seed": {10}, "regressor-for-treatment": {10}, "nuisance-in-sample": {10},
    "truth-as-estimate": {11}, "names-overwritten": {12}, "forest-not-centred": {12}, "effects-in-sample": {12},
    "ranking-of-noise": {13}, "counterfactual-from-mean": {14}, "placebo-once": {15}, "placebo-for-confounding": {15},
    "hidden-not-of-treatment": {16}, "named-not-computed": {0},
}  # fmt: skip


def seen(path: Path) -> dict[str, set[int]]:
    """Cells in which each check found something; 0 where it stands in no cell."""
    found: dict[str, set[int]] = {}
    for one in audit(path).findings:
        cell = int(one.where.partition("In [")[2].partition("]")[0] or 0)
        found.setdefault(one.check.id, set()).add(cell)
    return found


def exported(path: Path) -> str:
    """A notebook as a browser saves it as text, prompts in a wrong encoding, outputs and prose without a mark."""
    lines = ["Status: Complete", ""]
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            source = f"In\u0e22\u00a0[{cell['execution_count'] + 29}]:\n{source}"
            source += "".join("\n" + "".join(one["text"]).rstrip() for one in cell["outputs"])
        lines += [source, "", "\u0e4e\u015f Click to Expand", ""]
    return "\n".join(lines)


class TestWorkbooks:
    def test_every_mistake_is_found_in_its_cell_and_nowhere_else(self) -> None:
        assert seen(FAULTY) == MISTAKES

    def test_the_corrected_workbook_is_clean(self) -> None:
        assert audit(CORRECTED).findings == ()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("path", "loose"), [(FAULTY, {7, 10, 12, 13, 14}), (CORRECTED, {11, 12})], ids=["faulty", "corrected"]
    )
    def test_workbooks_run(self, path: Path, loose: set[int]) -> None:
        """They are analyses, not imitations: each cell prints what it says that it printed.

        But for a table with a date, and for cells whose forests or stopped solver hang on last bits.
        """
        space: dict[str, object] = {"__name__": "__main__"}
        others = set()
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                text = io.StringIO()
                with contextlib.redirect_stdout(text), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of the solvers that the faulty workbook misuses
                    exec("".join(cell["source"]), space)
                then = "".join(line for one in cell["outputs"] for line in one["text"])
                if text.getvalue() != then and "Date:" not in then:
                    others.add(cell["execution_count"])
        assert others <= loose

    def test_an_export_as_text_says_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "export.txt"
        path.write_text(exported(FAULTY), encoding="utf-8")
        moved = {check: {cell + 29 if cell else 0 for cell in cells} for check, cells in MISTAKES.items()}
        assert seen(path) == moved
        path.write_text(exported(CORRECTED), encoding="utf-8")
        assert audit(path).findings == ()

    def test_a_script_says_the_same(self, tmp_path: Path) -> None:
        """Without outputs, prose and cells, but at the same statements."""
        cells = [c for c in json.loads(FAULTY.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
        path = tmp_path / "analysis.py"
        path.write_text("\n\n".join("".join(cell["source"]) for cell in cells), encoding="utf-8")
        found = {one.check.id for one in audit(path).findings}
        only_books = {name for name, check in catalogue().items() if "output" in check.looks_at}
        assert found == set(MISTAKES) - only_books - {"names-overwritten", "named-not-computed"}

    def test_numbers_that_the_code_says(self) -> None:
        report = audit(FAULTY)
        assert {one.numbers["share in-sample"] for one in report.of("nuisance-in-sample")} == {0.6}  # test_size=0.4
        assert report.of("strata-leave-confounders")[0].found == "Strata of rich; open: tenure, visits."
        assert report.of("outcome-without-treatment")[0].numbers == {"true effect": 0.0}
        assert [one.printed for one in report.of("propensity-penalised")] == ["matched: 6.35"]
        assert "unobserved repeats tenure" in report.of("same-seed-twice")[1].found

    def test_numbers_of_the_data_go_to_the_code(self) -> None:
        roles = "dependent=Y_obs treatment=T covariates=age,income,prior_engagement instruments=Z"
        report = audit([FAULTY, "notebook"], roles)
        assert round(report.of("first-stage-not-looked-at")[0].numbers["F"], 1) == 1.4
        assert report.of("propensity-penalised")[0].numbers["largest difference"] > 0.01
        assert audit(FAULTY).of("weights-not-looked-at")[0].numbers == {}
        assert round(report.of("weights-not-looked-at")[0].numbers["ess treated"]) == 218


class TestReading:
    def test_lines_of_ipython_are_no_obstacle(self, tmp_path: Path) -> None:
        code = [
            "%matplotlib inline\n!pip install x\nfiles = !ls\nhelp?\n", "%%bash\nrm -r nothing", "%%time\nX = 1",
            "this is no Python", "for i in range(3):\n    !echo {i}\n",
        ]  # fmt: skip
        cells = [{"cell_type": "code", "metadata": {}, "source": one, "outputs": []} for one in code]
        path = tmp_path / "book.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}), encoding="utf-8")
        source = read_source(path)
        assert [cell.label for cell in source.cells] == ["cell 1", "cell 2", "cell 3", "cell 5"]
        assert source.cells[0].code == "pass\npass\nfiles = None\npass\n"
        assert source.cells[1].code.strip() == ""
        assert source.cells[2].code == "pass\nX = 1"
        assert source.notes == ("cell 4 is not Python and was left out: line 1, invalid syntax.",)

    def test_percent_signs_of_python_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text("x = (7\n    % 3)\ny = x % 2\n", encoding="utf-8")
        assert read_source(path).cells[0].code == "x = (7\n    % 3)\ny = x % 2\n"

    def test_nothing_is_run(self, tmp_path: Path) -> None:
        mark = tmp_path / "ran"
        path = tmp_path / "evil.py"
        path.write_text(f"open({str(mark)!r}, 'w')\nimport os\nos.system('touch {mark}')\n1 / 0\n", encoding="utf-8")
        assert audit(path).ok
        assert not mark.exists()

    def test_lines_count_from_the_beginning_of_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "cells.py"
        lines = ["# %% one", "import numpy as np", "", "# %% two", "np.random.seed(1)", "a = np.random.normal(size=9)",
                 "np.random.seed(1)", "b = a + np.random.normal(size=9)"]  # fmt: skip
        path.write_text("\n".join(lines), encoding="utf-8")
        (one,) = audit(path).findings
        assert (one.where, one.code) == (f"{path}, cell 2, line 7", "np.random.seed(1)")

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("a.ipynb", "{}", "is not a Jupyter notebook"),
            ("a.ipynb", "[" * 10000, "is not a Jupyter notebook"),
            ("a.ipynb", '{"cells": [], "metadata": {"kernelspec": {"language": "R"}}}', "notebook of R"),
            ("a.txt", "no prompts here", "has no line such as"),
            ("a.py", "def f(:\n", "holds no Python"),
            ("a.py", "\0", "holds no Python"),
            ("a.py", "x = " + "(" * 5000 + ")" * 5000, "holds no Python|nested too deeply"),
            ("a.py", "x = " + "-" * 3000 + "1", "nested too deeply|holds no Python"),
        ],
    )
    def test_files_that_are_none(self, name: str, text: str, message: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            audit(tmp_path / name)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be read"):
            audit(tmp_path / "none.ipynb")
        with pytest.raises(DataError, match="No file was given"):
            audit([])

    def test_functions_that_call_themselves_end(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text("def f(x):\n    return f(x) + g(x)\ndef g(x):\n    return f(x)\nf(1)\n", encoding="utf-8")
        assert audit(path).ok

    def test_a_mistake_inside_a_function_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text(
            "from sklearn.linear_model import LogisticRegression\n"
            "def scores(data, names):\n"
            "    model = LogisticRegression(max_iter=5000)\n"
            "    return model.fit(data[names], data['treated']).predict_proba(data[names])[:, 1]\n"
            "def use(data):\n    return 1 / scores(data, ['age'])\n",
            encoding="utf-8",
        )
        found = {one.check.id for one in audit(path).findings}
        assert found == {"propensity-penalised", "propensity-solver", "overlap-not-looked-at", "weights-not-looked-at"}


class TestSilence:
    def test_our_own_code_has_only_the_faults_that_it_repeats_on_purpose(self) -> None:
        """ivbridge/causal/scenarios.py draws the notebook's data, ivbridge/workbook repeats its steps."""
        on_purpose = ("scenarios.py", "/workbook/")
        files = [p for p in (ROOT / "ivbridge").rglob("*.py") if not any(one in p.as_posix() for one in on_purpose)]
        found = Counter(f"{path}: {one.check.id}" for path in files if path.read_text(encoding="utf-8").strip()
                        for one in code_findings(read_source(path)))  # fmt: skip
        assert len(files) > 300
        assert found == Counter()

    def test_the_notebooks_data_are_recognised(self) -> None:
        found = {one.check.id for one in audit(ROOT / "ivbridge/causal/scenarios.py").findings}
        assert {"same-seed-twice", "probability-clipped"} <= found

    def test_all_snippets_are_read(self) -> None:
        assert len(ORDINARY) == (DATA / "audit_ordinary.md").read_text(encoding="utf-8").count("\n## ")

    @pytest.mark.parametrize("code", [code for _, code in ORDINARY], ids=[name for name, _ in ORDINARY])
    def test_ordinary_code_is_silent(self, code: str, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text(code, encoding="utf-8")
        assert audit(path).findings == ()


class TestReports:
    REPORT = audit(FAULTY)

    def test_text(self) -> None:
        text = self.REPORT.summary()
        assert text.splitlines()[0].endswith(self.REPORT.headline)
        for check in MISTAKES:
            assert f"({check})" in text
        assert max(map(len, text.splitlines())) < 120

    def test_every_finding_says_what_why_and_what_to_do(self) -> None:
        for one in self.REPORT.findings:
            assert one.found
            assert one.check.consequence
            assert one.check.fix
        for check in catalogue().values():
            assert check.level in ("fault", "warning", "note")

    def test_json(self) -> None:
        read = json.loads(self.REPORT.to_json())
        assert {one["check"] for one in read["findings"]} == set(MISTAKES)
        assert read["counts"] == self.REPORT.counts
        assert read["ok"] is False

    def test_pages(self, tmp_path: Path) -> None:
        page = html(self.REPORT)
        assert page.count("<article") == len(self.REPORT.findings)
        assert "<script" not in page
        assert markdown(self.REPORT).count("\n### ") == len(self.REPORT.findings)
        for ending in (".html", ".md", ".json"):
            write(self.REPORT, tmp_path / f"a{ending}")
            assert (tmp_path / f"a{ending}").stat().st_size > 5000

    def test_names_of_the_analysis_are_text_in_the_page(self, tmp_path: Path) -> None:
        path = tmp_path / "a.py"
        path.write_text(
            "import statsmodels.api as sm\nsm.OLS(y, df[['treated', '<script>']]).fit().summary()", encoding="utf-8"
        )
        page = html(audit(path))
        assert "&lt;script&gt;" in page
        assert "<script>" not in page


class TestCommand:
    def run(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["audit", *words])
        return done.exit_code, done.output

    def test_exit_codes(self, tmp_path: Path) -> None:
        clean, noted = tmp_path / "clean.py", tmp_path / "noted.py"
        clean.write_text("x = 1\n", encoding="utf-8")
        noted.write_text("ate = (df['Y_1'] - df['Y_0']).mean()\n", encoding="utf-8")
        assert self.run(str(FAULTY))[0] == 1
        assert self.run(str(clean))[0] == 0
        assert self.run(str(noted))[0] == 0
        assert self.run(str(noted), "--strict")[0] == 1
        assert self.run(str(clean), "--strict")[0] == 0
        assert self.run(str(tmp_path / "none.py"))[0] == 2
        assert self.run()[0] == 2

    def test_json_and_report(self, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        code, output = self.run(str(FAULTY), "--json", "--report", str(page))
        assert code == 1
        assert json.loads(output)["counts"]["fault"] > 10
        assert page.exists()

    def test_a_report_that_cannot_be_is_refused_first(self, tmp_path: Path) -> None:
        from ivbridge.audit.page import check_path

        with pytest.raises(UnsupportedError, match="cannot be"):
            check_path(tmp_path / "a.docx")
        assert self.run(str(FAULTY), "--report", str(tmp_path / "a.docx"))[0] == 2

    def test_tables(self) -> None:
        code, output = self.run("notebook")
        assert code == 1
        assert "hidden_confounder" in output
        assert "only duplicated columns were looked for" in output
        roles = "dependent=Y_obs treatment=T covariates=age,income,prior_engagement"
        assert self.run("confounded", "--roles", roles)[0] == 0
        assert "extreme-weights" in self.run("notebook", "--roles", roles)[1]

    def test_list(self) -> None:
        code, output = self.run("--list")
        assert code == 0
        assert len(output.splitlines()) == len(catalogue())

"""The report of an encouragement design: its numbers are the analysis', whatever the columns are called."""

from __future__ import annotations

import math
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import ivbridge
from ivbridge.encouragement.chart import MOST_ROWS, effects_chart, first_stage_chart, strongest
from ivbridge.encouragement.choice import Seed, Seeds
from ivbridge.encouragement.pooled import Pooled
from ivbridge.encouragement.report import EncourageReport
from ivbridge.encouragement.words import p_text, rounded
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.records import NotApplicable

HOSTILE = 'a|b <script>alert(1)</script> $x_1^2$ & 100% #1 ~ {} "q" \'é中'


class Page(HTMLParser):
    """Well-formedness, tables as text, attributes that would load something."""

    VOID = frozenset({"meta", "br", "line", "circle", "rect", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [f"{k}={v}" for k, v in attrs if k in {"src", "href", "srcset", "action", "data"}]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, text: str) -> None:
        self.text += text
        if "td" in self.stack or "th" in self.stack:
            self.tables[-1][-1][-1] += text

    def table(self, first: str) -> list[list[str]]:
        """The rows of the table whose head starts with ``first``, without the head."""
        return next(table for table in self.tables if table[0][0] == first)[1:]


@pytest.fixture(scope="module")
def users() -> pd.DataFrame:
    frame = ivbridge.simulated_users(3000, 6, seed=3).frame
    frame["test_3"] = frame["test_3"].astype("Int8").mask(frame.index % 3 == 0)
    return frame


@pytest.fixture(scope="module")
def report(users: pd.DataFrame) -> EncourageReport:
    options = ivbridge.EncourageOptions(check=True, seeds=3)
    return ivbridge.encourage(users, "retained", "reviewed", controls=["mobile", "tenure"], options=options)


@pytest.fixture(scope="module")
def empty() -> EncourageReport:
    frame = ivbridge.simulated_users(1500, 40, seed=7, strong=0).frame
    return ivbridge.encourage(frame, "retained", "reviewed", options=ivbridge.EncourageOptions(seeds=0))


@pytest.fixture(scope="module")
def hostile(users: pd.DataFrame) -> EncourageReport:
    names = {"retained": "y " + HOSTILE, "reviewed": "x " + HOSTILE, "mobile": "k " + HOSTILE, "test_1": "z " + HOSTILE}
    options = ivbridge.EncourageOptions(seeds=0, check=True)
    tests = [names["test_1"], "test_2", "test_3"]
    frame = users.rename(columns=names)
    return ivbridge.encourage(frame, names["retained"], names["reviewed"], tests, [names["mobile"]], options)


@pytest.mark.parametrize("case", ["report", "empty", "hostile"])
def test_html_is_well_formed_and_loads_nothing(case: str, request: pytest.FixtureRequest) -> None:
    page = Page(request.getfixturevalue(case).to_html())
    assert page.loads == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "base"}


def test_tables_hold_the_numbers(report: EncourageReport) -> None:
    page = Page(report.to_html())
    assert isinstance(report.pooled, Pooled)
    rows = page.table("Estimator")
    effects = (report.pooled.ols, report.pooled.two_stage, report.pooled.liml, report.pooled.bekker)
    for row, one in zip(rows, effects, strict=True):
        decimals = max(1 - math.floor(math.log10(one.std_error)), 0)
        shown = [float(text.replace("−", "-")) for text in row[1:3]]
        assert shown == pytest.approx([one.estimate, one.std_error], abs=0.5001 * 10.0**-decimals)
        low, high = (float(text) for text in row[3].replace("−", "-").split(" to "))
        assert [low, high] == pytest.approx([one.conf_low, one.conf_high], abs=0.5001 * 10.0**-decimals)
    tests = {row[0]: row[2] for row in page.table("Test")}
    assert float(tests["First-stage F"]) == pytest.approx(report.pooled.weak.statistic, rel=5e-4)
    assert float(tests["Effective F"]) == pytest.approx(report.pooled.effective_f, rel=5e-4)
    each, checks, shares, profiles = (table[1:] for table in page.tables if table[0][0] == "Experiment")
    assert sorted(row[0] for row in each) == sorted(one.name for one in report.experiments)
    assert [row[0] for row in each if row[1]] == [row[0] for row in each][: len(report.selected.experiments)]
    for row in each:
        assert float(row[4]) == pytest.approx(report[row[0]].weak.statistic, rel=5e-3)
    assert {row[0]: int(row[2]) for row in checks} == {one.name: one.missing for one in report.experiments}
    for row in shares:
        parts = [float(cell.split(" ")[0]) for cell in row[1:4]]
        assert sum(parts) == pytest.approx(100, abs=0.16)  # three numbers with one decimal
    assert {row[1] for row in profiles} == {"mobile", "tenure"}


@pytest.mark.parametrize("case", ["report", "empty"])
def test_every_sentence_and_warning_is_everywhere(case: str, request: pytest.FixtureRequest) -> None:
    report: EncourageReport = request.getfixturevalue(case)
    assert report.warnings
    plain = " ".join(report.summary().split())
    page = Page(report.to_html()).text.replace("−", "-").replace("\u00a0", " ")
    markdown = report.to_markdown().replace("\\", "").replace("−", "-").replace("\u00a0", " ")
    for line in (*report.sentences, *report.warnings):
        assert line in page
        assert line in markdown
        assert line.replace(" ", "") in plain.replace(" ", "")


def test_the_anderson_rubin_set_promises_less_after_a_selection(users: pd.DataFrame, report: EncourageReport) -> None:
    named = ivbridge.encourage(users, report.outcome, report.behavior, report.selected.experiments[0])
    for one, selected in ((report, True), (named, False)):
        assert bool(one.selected.rule) is selected
        for text in (one.sentences[1], one.to_html()):
            assert ("allows for weak instruments but not for their selection" in text) is selected
            assert ("weak instruments cannot mislead" in text) is not selected


def test_what_r_said_is_shown(report: EncourageReport) -> None:
    assert [check.what for check in report.checks] == ["LASSO", "pooled estimate"]
    assert report.ok
    for check in report.checks:
        assert check.verdict in ("identical", "rounding")
        assert f"{check.what}: {check.verdict}" in Page(report.to_html()).text


def test_the_code_on_the_page_gives_the_pooled_estimate(report: EncourageReport, users: pd.DataFrame) -> None:
    assert isinstance(report.pooled, Pooled)
    page = report.to_markdown()
    code = next(block for block in re.findall(r"```\n(.*?)\n```", page, flags=re.DOTALL) if "import" in block)
    found: dict[str, object] = {"users": users.copy()}
    exec(code.replace("print", "str"), found)
    fit = found["fit"]
    assert isinstance(fit, ivbridge.Estimate)
    assert fit.params["reviewed"] == pytest.approx(report.pooled.two_stage.estimate, rel=1e-10)


def test_the_r_code_on_the_page_gives_it_too(report: EncourageReport, users: pd.DataFrame, tmp_path: Path) -> None:
    assert isinstance(report.pooled, Pooled)
    code = next(block for block in re.findall(r"```\n(.*?)\n```", report.to_markdown(), re.DOTALL) if "AER" in block)
    users.to_csv(tmp_path / "users.csv", index=False)
    script = f'users <- read.csv("users.csv")\n{code}\ncat(sprintf("%.17g", coef(fit)[["reviewed"]]))\n'
    (tmp_path / "page.R").write_text(script, encoding="utf-8")
    run = subprocess.run(["Rscript", "--vanilla", "page.R"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(run.stdout.splitlines()[-1]) == pytest.approx(report.pooled.two_stage.estimate, rel=1e-10)


def test_hostile_names_are_text(hostile: EncourageReport) -> None:
    html = hostile.to_html()
    assert "<script>" not in html
    assert "y " + HOSTILE in Page(html).text
    assert "\\<script\\>" in hostile.to_markdown()
    assert hostile.ok
    assert EncourageReport.from_json(hostile.to_json()).to_json() == hostile.to_json()
    assert "<script>" not in hostile._repr_html_()


@pytest.mark.parametrize("case", ["report", "empty", "hostile"])
def test_json_reads_back_to_the_same_bits(case: str, request: pytest.FixtureRequest) -> None:
    report: EncourageReport = request.getfixturevalue(case)
    again = EncourageReport.from_json(report.to_json(indent=1))
    assert again.to_json() == report.to_json()
    assert again.to_html() == report.to_html()


class TestCharts:
    def test_marks_stand_where_the_numbers_are(self, report: EncourageReport) -> None:
        chart = first_stage_chart(report.experiments, report.selected.experiments)
        at = {
            mark.x[1]: one.first_stage.estimate
            for mark, one in zip(chart.marks, report.experiments, strict=True)
            if mark.x
        }
        slopes = {
            round((b - a) / (at[b] - at[a]), 1) for a in at for b in at if abs(at[b] - at[a]) > 0.05
        }  # pixels of two decimals over differences above 0.05: the scale is linear within half of one in 10
        assert max(slopes) - min(slopes) < 1
        assert [mark.side for mark in chart.marks] == [0, 0, 0, 1, 1, 1]
        assert chart.zero is not None
        for mark in chart.marks:
            assert mark.x is not None and mark.x[0] < mark.x[1] < mark.x[2]
            assert mark.cut == (False, False)

    def test_what_reaches_beyond_is_cut_and_says_so(self, report: EncourageReport) -> None:
        assert isinstance(report.pooled, Pooled)
        chart = effects_chart(report.experiments, report.selected.experiments, report.pooled.two_stage.estimate, None)
        assert [any(mark.cut) for mark in chart.marks] == [False, False, False, True, True, True]
        assert all(0 <= x <= chart.width for mark in chart.marks if mark.x for x in mark.x)
        assert [name for _, name in chart.lines] == ["pool"]

    def test_many_experiments(self, empty: EncourageReport) -> None:
        shown = strongest(empty.experiments, ())
        assert len(shown) == MOST_ROWS
        hidden = {one.name for one in empty.experiments} - {one.name for one in shown}
        weakest = min(one.weak.statistic for one in shown)
        assert all(empty[name].weak.statistic <= weakest for name in hidden)
        assert f"{len(hidden)} more stand in the JSON report" in Page(empty.to_html()).text

    def test_long_names_keep_their_ends(self, users: pd.DataFrame) -> None:
        long = users.rename(columns={"test_1": "test_with_a_long_name_1"})
        report = ivbridge.encourage(long, "retained", "reviewed", options=ivbridge.EncourageOptions(seeds=0))
        labels = [mark.label for mark in first_stage_chart(report.experiments, ()).marks]
        assert "test_…g_name_1" in labels


class TestWords:
    @pytest.mark.parametrize(
        ("value", "error", "text"),
        [
            (0.10923, 0.02434, "0.109"), (1234.567, 12.3, "1235"), (0.5, 0.96, "0.50"), (2.0, 0.0, "2"),
            (math.nan, 1.0, "nan"), (0.1, math.nan, "0.1"), (-0.00004, 0.00071, "-0.00004"),
            (5.0, 1e-30, "5.000000000000"),
        ],
    )  # fmt: skip
    def test_two_digits_of_the_error(self, value: float, error: float, text: str) -> None:
        assert rounded(value, error) == text

    def test_p_values(self) -> None:
        assert [p_text(p) for p in (1e-9, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.50"]

    def test_disagreeing_experiments_have_two_readings(self) -> None:
        frame = ivbridge.simulated_users(6000, 3, strong=3).frame
        direct = frame.assign(retained=frame["retained"] + 0.3 * frame["test_2"])
        report = ivbridge.encourage(direct, "retained", "reviewed", options=ivbridge.EncourageOptions(seeds=0))
        (sentence,) = [text for text in report.sentences if text.startswith("Overidentification")]
        assert "disagree" in sentence and "another way" in sentence and "different users" in sentence
        assert any("empty: no effect is compatible" in text for text in report.sentences)

    def test_seeds(self) -> None:
        seeds = Seeds((Seed(1, 3, 0.5), Seed(2, 0, math.nan), Seed(3, 5, 0.7)), 1)
        assert (seeds.sizes, seeds.range) == ((0, 5), (0.5, 0.7))
        assert math.isnan(Seeds((Seed(1, 0, math.nan),), 1).range[0])

    def test_large_data_are_selected_once(self, monkeypatch: pytest.MonkeyPatch, users: pd.DataFrame) -> None:
        monkeypatch.setattr("ivbridge.encouragement.choice.MOST_CELLS", 1000)
        report = ivbridge.encourage(users, "retained", "reviewed")
        assert isinstance(report.seeds, NotApplicable)
        assert "3000 users × 6 experiments were not selected again" in report.seeds.reason


def test_what_cannot_be_written(report: EncourageReport, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"r\.pdf"):
        report.write(tmp_path / "r.pdf")
    with pytest.raises(DataError, match=r"There is no folder .*nowhere"):
        report.write(tmp_path / "nowhere" / "r.html")

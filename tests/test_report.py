"""The report: every number in it is one of the agreement's, in all four formats, whatever the columns are called."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge import report
from ivbridge.agreement import Agreement
from ivbridge.digits import GROUPS, group_of
from ivbridge.report.plot import panels
from ivbridge.report.render import escape_latex, escape_markdown

DEMAND = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
FORMULA = "Q ~ P + D | D + F + A"
VCOVS = ["classical", "HC1", "HC3", "cluster(state)", "nw(2, prewhite=0, order_by=year)", "bootstrap(R=20, seed=7)"]
HOSTILE = 'a|b <script>alert(1)</script> $x_1^2$ & 100% #1 ~ {} "q" \'é中'


@pytest.fixture(scope="module")
def data() -> ivbridge.Dataset:
    return ivbridge.load("kmenta")


@pytest.fixture(scope="module")
def cigarettes() -> ivbridge.Dataset:
    return ivbridge.load("cigarettes_sw")


@pytest.fixture(scope="module")
def agreeing(cigarettes: ivbridge.Dataset) -> Agreement:
    return ivbridge.crosscheck(DEMAND, cigarettes.frame, VCOVS)


def compared(reference: ivbridge.Estimate, candidate: ivbridge.Estimate) -> Agreement:
    return Agreement(reference.spec, (ivbridge.agree(reference, candidate),))


@pytest.fixture(scope="module")
def disagreeing(data: ivbridge.Dataset) -> Agreement:
    one, two = (ivbridge.fit(FORMULA, data.frame, vcov) for vcov in ("HC0", "HC3"))
    return compared(one, dataclasses.replace(two, r2=two.r2 + 0.01))


@pytest.fixture(scope="module")
def incomparable(data: ivbridge.Dataset) -> Agreement:
    return compared(*(ivbridge.fit(FORMULA, frame, "HC0") for frame in (data.frame, data.frame.iloc[2:])))


@pytest.fixture(scope="module")
def hostile(data: ivbridge.Dataset) -> Agreement:
    frame = data.frame.rename(columns={"P": HOSTILE})
    spec = ivbridge.IVSpec.from_formula(f"Q ~ `{HOSTILE}` + D | D + F + A")
    assert HOSTILE in spec.columns
    return compared(*(ivbridge.fit(spec, frame, vcov) for vcov in ("HC0", "HC3")))


class Page(HTMLParser):
    """Well-formedness, tables as text, attributes that would load something."""

    VOID = frozenset({"meta", "br", "line", "circle", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.loads += [f"{k}={v}" for k, v in attrs if k in {"src", "href", "srcset", "action", "data", "xlink:href"}]
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
        self.text.append(text)
        if "td" in self.stack or "th" in self.stack:
            self.tables[-1][-1][-1] += text

    def table(self, first: str) -> list[list[str]]:
        """The rows of the table whose head starts with ``first``, without the head."""
        return next(table for table in self.tables if table[0][0] == first)[1:]


@pytest.mark.parametrize("case", ["agreeing", "disagreeing", "incomparable", "hostile"])
def test_html_is_well_formed_and_loads_nothing(case: str, request: pytest.FixtureRequest) -> None:
    page = Page(report.html(request.getfixturevalue(case)))
    assert page.loads == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert len(page.ids) == len(set(page.ids))
    style = re.sub(r"(?s).*<style>(.*)</style>.*", r"\1", report.html(request.getfixturevalue(case)))
    assert not re.search(r"url\(|@import|https?:", style)


@pytest.mark.parametrize("case", ["agreeing", "disagreeing"])
def test_heat_map_shows_the_fewest_digits_and_marks_every_failure(case: str, request: pytest.FixtureRequest) -> None:
    agreement: Agreement = request.getfixturevalue(case)
    frame = agreement.to_frame().assign(group=lambda f: f["quantity"].map(group_of))
    rows = Page(report.html(agreement)).table("vcov")
    for row, comparison in zip(rows, agreement.comparisons, strict=True):
        assert row[1] == comparison.verdict
        for cell, group in zip(row[2:], GROUPS, strict=True):
            members = frame[(frame["vcov"] == comparison.vcov) & (frame["group"] == group)]
            if members.empty:
                assert cell == "–"
                continue
            shown = float(cell.lstrip("✗≈\u2009"))
            assert shown == pytest.approx(members["digits"].min(), abs=0.05)  # one decimal is printed
            assert cell.startswith("✗") == (not members["ok"].all())


@pytest.mark.parametrize("case", ["agreeing", "disagreeing"])
def test_ledger_counts_every_gap(case: str, request: pytest.FixtureRequest) -> None:
    agreement: Agreement = request.getfixturevalue(case)
    rows = Page(report.html(agreement)).table("Kind")
    assert sum(int(row[1]) for row in rows) == len(agreement.gaps)
    assert sum(int(row[2]) for row in rows) == sum(not gap.ok for gap in agreement.gaps)
    assert min(float(row[3]) for row in rows) == pytest.approx(agreement.digits, abs=0.05)  # one decimal


def test_a_failing_report_lists_the_worst_numbers_with_all_their_digits(disagreeing: Agreement) -> None:
    page = Page(report.html(disagreeing))
    (table,) = [t for t in page.tables if t[0][-1] == "Rounding leaves"]
    worst = sorted((gap for gap in disagreeing.gaps if not gap.ok), key=lambda gap: gap.digits)
    assert len(table) - 1 == min(25, len(worst))
    for row, gap in zip(table[1:], worst, strict=False):
        assert row[1] == gap.label
        assert [float(cell.replace("−", "-")) for cell in row[2:4]] == [gap.reference, gap.candidate]
    assert f"And {len(worst) - 25} more" in "".join(page.text)


def test_an_agreeing_report_lists_no_failures(agreeing: Agreement) -> None:
    page = "".join(Page(report.html(agreeing)).text)
    assert "Rounding leaves" not in page
    assert f"All {len(agreeing.gaps)} numbers agree" in page


def test_coefficients_and_tests_show_both_sides(disagreeing: Agreement) -> None:
    page = Page(report.html(disagreeing))
    reference, candidate = disagreeing.comparisons[0].reference, disagreeing.comparisons[0].candidate
    rows = {row[0].rstrip("*"): row for row in page.table("Term")[1:]}
    assert set(rows) == set(reference.terms)
    for term, error, other in zip(reference.terms, reference.bse, candidate.bse, strict=True):
        assert rows[term][2] == f"{error:#.6g}{other:#.6g}"
    (weak,) = [row for row in page.table("Test") if row[0].startswith("Weak")]
    key = "weak_instruments:P"
    assert float(weak[3]) == pytest.approx(reference.tests[key].statistic, rel=1e-5)  # six digits are printed
    assert float(weak[4]) == pytest.approx(candidate.tests[key].statistic, rel=1e-5)


def test_not_comparable_says_what_differs_and_compares_nothing(incomparable: Agreement) -> None:
    page = Page(report.html(incomparable))
    seen = {row[0]: row for row in page.table("Seen")}
    assert seen["rows"][1:] == ["✗ different", "20", "18"]
    assert seen["rank"][1] == "✓ same"
    assert "No numbers were compared" in "".join(page.text)
    assert not [table for table in page.tables if table[0][0] == "Kind"]


def test_a_test_that_does_not_apply_is_listed_with_its_reason(data: ivbridge.Dataset) -> None:
    agreement = compared(*(ivbridge.fit("Q ~ P + D | D + F", data.frame, vcov) for vcov in ("HC0", "HC0")))
    ((name, reason),) = agreement.comparisons[0].not_compared.items()
    for text in (report.html(agreement), report.markdown(agreement), report.latex(agreement)):
        assert name in text
        assert reason.split(",")[0] in text


def test_plotted_intervals_are_the_confidence_intervals(agreeing: Agreement) -> None:
    drawn, left_out = panels(agreeing.comparisons, ("R", "Python"))
    assert left_out == 0
    assert [panel.term for panel in drawn] == ["log(rprice)", "log(rincome)", "(Intercept)"]
    for panel in drawn:
        (x0, t0), (x1, t1) = panel.ticks[0], panel.ticks[-1]
        first, last = (float(text.replace("−", "-")) for text in (t0, t1))
        for row, comparison in zip(panel.rows, agreeing.comparisons, strict=True):
            for interval, estimate in zip(row.intervals, (comparison.reference, comparison.candidate), strict=True):
                place, table = estimate.terms.index(panel.term), estimate.coefs
                limits = [table.conf_low[place], table.estimate[place], table.conf_high[place]]
                values = [first + (x - x0) * (last - first) / (x1 - x0) for x in interval.x]
                unit = abs((last - first) / (x1 - x0))
                assert values == pytest.approx(limits, abs=0.02 * unit)  # coordinates have two decimals
                assert 0 <= interval.x[0] < interval.x[1] < interval.x[2] <= panel.width


def test_many_terms_and_vcovs_are_cut_and_said_to_be(data: ivbridge.Dataset) -> None:
    fits = [ivbridge.fit("Q ~ P + D + poly(A, 6) | D + F + poly(A, 6)", data.frame, "HC0") for _ in range(2)]
    page = "".join(Page(report.html(compared(*fits))).text)
    assert "3 more terms stand in the table only." in page
    many = Agreement(fits[0].spec, (ivbridge.agree(*fits),) * 13)
    assert "The first 12 of 13 covariance estimators are drawn." in "".join(Page(report.html(many)).text)


def test_hostile_names_stay_text(hostile: Agreement) -> None:
    html = report.html(hostile)
    assert "<script" not in html
    assert HOSTILE in "".join(Page(html).text)
    tables = [line for line in report.markdown(hostile).splitlines() if line.startswith("|")]
    widths: list[int] = []
    for line in tables:
        width = len(re.findall(r"(?<!\\)\|", line))
        if re.fullmatch(r"[| -]+", line) and "---" in line:
            assert widths[-1] == width
        widths.append(width)
    assert not [line for line in tables if re.search(r"(?<!\\)<", line)]
    latex = report.latex(hostile)
    body = latex[latex.index(r"\begin{document}") :]
    assert r"\textless{}script\textgreater{}" in body.replace(r"\allowbreak{}", "")
    bare = re.sub(r"\\[\\{}$&%#_]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"(?<!\\)[%#]", bare)


@pytest.mark.parametrize(
    ("text", "latex", "markdown"),
    [
        ("a_b", r"a\_\allowbreak{}b", r"a\_b"),
        ("100% & #1", r"100\% \& \#1", r"100% \& \#1"),
        ("{x}^2~$y$", r"\{x\}\textasciicircum{}2$\sim$\$y\$", r"\{x\}^2\~\$y\$"),
        ("\\", r"\textbackslash{}", r"\\"),
        ("|<b>`", r"\textbar{}\textless{}b\textgreater{}\textasciigrave{}", r"\|\<b\>\`"),
        ("é中", r"é\otherletter{4E2D}{中}", "é中"),
    ],
)
def test_escapes(text: str, latex: str, markdown: str) -> None:
    assert str(escape_latex(text)) == latex
    assert str(escape_markdown(text)) == markdown


def test_markdown_and_latex_hold_every_verdict_digit_and_term(agreeing: Agreement) -> None:
    markdown, latex = report.markdown(agreeing), report.latex(agreeing)
    frame = agreeing.to_frame()
    for comparison in agreeing.comparisons:
        digits = [frame[(frame["vcov"] == comparison.vcov) & (frame["quantity"].map(group_of) == group)]["digits"].min()
                  for group in GROUPS]  # fmt: skip
        shown = ["–" if np.isnan(value) else f"{value:.1f}" for value in digits]
        cells = [str(escape_markdown(comparison.vcov)), comparison.verdict, *shown]
        assert f"| {' | '.join(cells)} |" in markdown
        assert " & ".join([comparison.verdict, *("--" if c == "–" else f"${c}$" for c in shown)]) in latex
    assert latex.count(r"\begin{longtable}") == latex.count(r"\end{longtable}") > 5


def test_json_is_the_agreement_to_the_last_bit(agreeing: Agreement, tmp_path: Path) -> None:
    report.write(agreeing, tmp_path / "out.json")
    tree = json.loads((tmp_path / "out.json").read_text())
    assert tree["verdict"] == agreeing.verdict
    assert tree["digits"] == agreeing.digits
    shown = [(c["quantity"], c["term"], c["reference"], c["candidate"], c["ok"]) for c in tree["comparisons"]]
    assert shown == [(g.quantity, g.term, g.reference, g.candidate, g.ok) for g in agreeing.gaps]


def test_a_report_of_many_questions(agreeing: Agreement, disagreeing: Agreement, data: ivbridge.Dataset) -> None:
    error = ivbridge.DataError("There is no file x.csv.", do="check the path.")
    entries = [
        report.Entry(agreeing, "first", data),
        report.Entry(disagreeing, "second"),
        report.Entry(error, "third", formula="y ~ x | z"),
    ]
    page = Page(report.html(entries))
    assert page.loads == ["href=#q1", "href=#q2", "href=#q3"]
    assert {"q1", "q2", "q3"} <= set(page.ids)
    rows = page.table("Question")
    assert [row[:2] for row in rows] == [["first", "rounding"], ["second", "substantive"], ["third", "could not run"]]
    for text in (report.html(entries), report.markdown(entries), report.latex(entries)):
        assert "There is no file x" in text.replace(r"\allowbreak{}", "")
    tree = json.loads(report.json(entries))
    assert tree["verdict"] == "could not run" == report.worst_verdict(entries)
    assert tree["digits"] == disagreeing.digits
    assert [q["name"] for q in tree["questions"]] == ["first", "second", "third"]
    assert tree["questions"][2]["error"] == "DataError"
    assert tree["questions"][0]["verdict"] == "rounding"
    assert report.worst_verdict(entries[:2]) == "substantive"


def test_the_suffix_decides_and_wrong_paths_are_refused(agreeing: Agreement, tmp_path: Path) -> None:
    starts = {".html": "<!DOCTYPE html>", ".md": "# ", ".tex": r"\documentclass", ".json": "{"}
    for suffix, start in starts.items():
        path = tmp_path / f"out{suffix}"
        report.write(agreeing, path)
        assert path.read_text(encoding="utf-8").startswith(start)
    with pytest.raises(ivbridge.UnsupportedError, match=r"out\.pdf.*\.html, \.md, \.tex, \.json"):
        report.check_path("out.pdf")
    with pytest.raises(ivbridge.DataError, match="no folder"):
        report.check_path(tmp_path / "missing" / "out.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ivbridge.DataError, match="cannot be written"):
        report.write(agreeing, tmp_path / "folder.html")


def code_of(language: str, agreement: Agreement, data: ivbridge.Dataset) -> str:
    """The block of a report that reproduces it."""
    text = report.markdown([report.Entry(agreement, data=data)])
    ((_, code),) = re.findall(rf"In {language}:\n\n(`{{3,}})\n(.*?)\n\1", text, re.DOTALL)
    return str(code)


def test_the_python_in_the_report_runs(agreeing: Agreement, cigarettes: ivbridge.Dataset) -> None:
    code = code_of("Python", agreeing, cigarettes)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(agreeing.gaps)} numbers" in done.stdout


def test_the_r_in_the_report_runs_and_gives_the_same_numbers(
    agreeing: Agreement, cigarettes: ivbridge.Dataset, tmp_path: Path
) -> None:
    code = code_of("R", agreeing, cigarettes)
    cigarettes.frame.to_csv(tmp_path / "data.csv", index=False)
    script = f'{code}\ncat("estimates", sprintf("%.17g", coef(fit)), "\\n")\n'
    (tmp_path / "check.R").write_text(script)
    done = subprocess.run(
        ["Rscript", "--vanilla", "check.R"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("estimates")]
    expected = agreeing.comparisons[0].reference.coefs.estimate
    # R reads the decimals of a csv file to within a bit or two, which this conditioning raises to 1e-12
    assert np.array(line.split()[1:], dtype=float) == pytest.approx(expected, rel=1e-10)
    for comparison in agreeing.comparisons:
        # coeftest prints five significant digits of the smallest one in a column
        assert f"{comparison.reference.bse['log(rprice)']:.5f}" in done.stdout


def test_categories_keep_their_baseline_in_the_r_code() -> None:
    frame = ivbridge.load("kmenta").frame
    frame["half"] = pd.Categorical(np.where(frame["A"] > 10, "late", "early"), categories=["late", "early"])
    agreement = compared(*(ivbridge.fit("Q ~ P + half | D + half", frame, "HC0") for _ in range(2)))
    entry = report.Entry(agreement, data=dataclasses.replace(ivbridge.load("kmenta"), frame=frame))
    assert 'factor(data[["half"]], levels = c("late", "early"))' in report.markdown([entry])


def colours(style: str) -> list[dict[str, str]]:
    """The variables of the light and of the dark scheme."""
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in blocks[:2])
    return [light, {**light, **dark}]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_at_least_four_and_a_half() -> None:
    style = (Path(report.__file__).parent / "templates" / "style.css").read_text()
    for scheme in colours(style):
        inks = ("ink", "soft", "ok", "named", "bad", "first", "second")
        pairs = [(ink, page) for ink in inks for page in ("page", "card")]
        pairs += [("heat-ink", fill) for fill in ("q0", "q1", "q2", "q3", "q4", "q5", "named-fill", "bad-fill")]
        for ink, page in pairs:
            high, low = sorted((luminance(scheme[ink]), luminance(scheme[page])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, page, scheme[ink], scheme[page])

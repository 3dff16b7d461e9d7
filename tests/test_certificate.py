"""Certificates: they hold what was checked, show it alike in every form, and betray a change; the scripted report."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge.certificates.records import END, START
from ivbridge.certificates.verify import check_again, read_certificate, verify_certificate
from ivbridge.cli import app
from ivbridge.engines.session import from_session
from ivbridge.report import Entry
from ivbridge.resources import scripts_dir

DEMAND = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
NASTY = '</script><img src=x onerror=alert(1)> --> `x` | y _z_ "q" \u202e'


@pytest.fixture(scope="module")
def data() -> ivbridge.Dataset:
    return ivbridge.load("cigarettes_sw")


@pytest.fixture(scope="module")
def agreement(data: ivbridge.Dataset) -> ivbridge.Agreement:
    return ivbridge.crosscheck(DEMAND, data, ["classical", "HC1", "cluster(state)"])


@pytest.fixture
def certificate(agreement: ivbridge.Agreement, data: ivbridge.Dataset) -> ivbridge.Certificate:
    return ivbridge.certify(agreement, data, by="A. Author", note=NASTY)


def test_it_holds_what_was_checked(certificate: ivbridge.Certificate, agreement: ivbridge.Agreement) -> None:
    assert (certificate.verdict, certificate.ok) == ("rounding", True)
    assert certificate.compared == len(agreement.gaps)
    assert certificate.digits == agreement.digits
    (question,) = certificate.questions
    assert question.asked is not None
    assert question.asked.vcovs == ("classical", "HC1", "cluster(state)")
    assert question.asked.file_sha256 == ivbridge.load("cigarettes_sw").sha256
    assert sum(int(row[1]) for row in question.ledger) == len(agreement.gaps)
    kept = {(vcov, term): (float(estimate), float(error)) for vcov, term, estimate, error in question.numbers}
    for comparison in agreement.comparisons:
        coefs = comparison.reference.coefs
        for term, estimate, error in zip(coefs.terms, coefs.estimate, coefs.std_error, strict=True):
            assert kept[comparison.vcov, term] == (estimate, error), "seventeen digits read back to the same bits"


@pytest.mark.parametrize("suffix", [".html", ".md", ".json"])
def test_each_form_reads_back_and_verifies(certificate: ivbridge.Certificate, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"certificate{suffix}"
    certificate.write(path)
    assert verify_certificate(path) == []
    assert read_certificate(path) == certificate
    assert certificate.digest in path.read_text("utf-8")


def _changes(text: str, suffix: str) -> Iterator[str]:
    """The file with one thing changed: in its content, in its digest, in what it shows."""
    yield text.replace("A. Author", "B. Author")
    yield text.replace("rounding", "identical")
    yield re.sub(r"(-1\.229\d+)(\d)\"", lambda found: f'{found.group(1)}{(int(found.group(2)) + 1) % 10}"', text)
    if suffix == ".json":
        tree = json.loads(text)
        tree["questions"][0]["outcomes"].pop()
        yield json.dumps(tree)
    else:
        shown, data = text.split(START)
        yield shown.replace("A. Author", "B. Author") + START + data
        yield re.sub(r"\d+\.\d agreeing", "15.9 agreeing", shown, count=1) + START + data
        yield text.replace(END, END + "\n<p>And all of it is true.</p>")


@pytest.mark.parametrize("suffix", [".html", ".md", ".json"])
def test_every_change_is_found(certificate: ivbridge.Certificate, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"certificate{suffix}"
    certificate.write(path)
    original = path.read_text("utf-8")
    for changed in _changes(original, suffix):
        assert changed != original
        path.write_text(changed, "utf-8")
        assert verify_certificate(path) != []


@pytest.mark.parametrize("text", [
    "", "no json", "{}", "[1]", "null", "[" * 100_000, f"{START} {{}} {END}",
    '{"format": "ivbridge/1", "type": "Agreement", "digest": "0"}',
    '{"format": "ivbridge/1", "type": "Certificate", "digest": "0", "verdict": 1, "questions": [], "issued_on": ""}',
])  # fmt: skip
def test_what_is_no_certificate_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ivbridge.DataError):
        verify_certificate(path)


def test_a_certificate_of_wrong_types_is_refused(certificate: ivbridge.Certificate, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    for key, value in {"questions": [{"type": "Certified", "name": 1, "verdict": {}, "reason": []}], "by": 3}.items():
        tree = json.loads(certificate.to_json())
        tree[key] = value
        path.write_text(json.dumps(tree))
        with contextlib.suppress(ivbridge.DataError):
            assert verify_certificate(path) != []


def test_asked_again_it_has_the_certified_numbers(certificate: ivbridge.Certificate) -> None:
    assert check_again(certificate) == []
    (question,) = certificate.questions
    assert question.asked is not None
    first, *rest = question.numbers
    moved = (*first[:2], repr(float(first[2]) * (1 + 1e-6)), first[3])
    other = dataclasses.replace(question, verdict="identical", numbers=(moved, *rest),
                                asked=dataclasses.replace(question.asked, n=95, file_sha256="0" * 64))  # fmt: skip
    found = "\n".join(check_again(dataclasses.replace(certificate, questions=(other,))))
    for part in ("another file", "the verdict is rounding", "96 rows", f"estimate of {first[1]}"):
        assert part in found


def _forged(certificate: ivbridge.Certificate) -> Iterator[tuple[str, ivbridge.Certificate]]:
    """Lies with a new digest that fits, and what gives each of them away."""
    (question,) = certificate.questions
    first, *rest = question.outcomes

    def asked(**changed: object) -> ivbridge.Certificate:
        return dataclasses.replace(certificate, questions=(dataclasses.replace(question, **changed),))

    yield "its worst question says rounding", dataclasses.replace(certificate, verdict="identical")
    yield "'perfect' is no verdict", dataclasses.replace(certificate, verdict="perfect")
    yield "its worst question says identical", asked(verdict="identical")
    yield "its digits are not those", asked(digits=16.9)
    yield "comparisons and ledger count", asked(outcomes=(*rest,))
    yield "in which numbers differ", asked(outcomes=(dataclasses.replace(first, failed=3), *rest))
    yield "and nothing was compared", asked(outcomes=())


def test_a_certificate_that_contradicts_itself_is_not_good(certificate: ivbridge.Certificate, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    for why, forged in _forged(certificate):
        forged.write(path)
        assert why in "\n".join(verify_certificate(path)), why


def test_a_badge_of_another_certificate_is_found(certificate: ivbridge.Certificate, tmp_path: Path) -> None:
    path, badge = tmp_path / "certificate.md", tmp_path / "badge.svg"
    certificate.write(path)
    certificate.write(badge)
    assert verify_certificate(path) == []
    badge.write_text(re.sub(r"\d+\.\d digits", "16.9 digits", badge.read_text("utf-8")), "utf-8")
    assert verify_certificate(path) == [f"{badge} is not its badge"]


def test_asked_again_what_it_shows_is_compared(certificate: ivbridge.Certificate) -> None:
    (question,) = certificate.questions
    facts = tuple(("Rows used", "960") if fact[0] == "Rows used" else fact for fact in question.facts)
    lie = dataclasses.replace(question, facts=facts, not_compared=(), r_code="q()", reason="the same bits", digits=18.0)
    found = "\n".join(check_again(dataclasses.replace(certificate, questions=(lie,))))
    for part in ("its facts are others", "R's code is another", "its reason is another", "certified 18.0"):
        assert part in found, found


def test_strict_fails_on_what_was_not_compared(data: ivbridge.Dataset) -> None:
    by_hand = ivbridge.crosscheck(DEMAND, data, ["HC1"], ("r", "linearmodels"))
    assert by_hand.ok and by_hand.skipped
    assert ivbridge.certify(by_hand, data).ok
    strict = ivbridge.certify(by_hand, data, strict=True)
    assert not strict.ok
    assert "not everything was compared" in strict.to_html()
    assert "not all compared" in strict.badge()
    for what in by_hand.skipped:
        assert html.escape(what) in strict.to_html()


def test_questions_that_differ_or_could_not_be_run_are_shown(data: ivbridge.Dataset) -> None:
    pair = [ivbridge.fit(DEMAND, data, vcov) for vcov in ("HC1", "HC3")]
    wrong = dataclasses.replace(pair[1], spec=pair[0].spec)
    apart = ivbridge.Agreement(pair[0].spec, (ivbridge.agree(pair[0], wrong),))
    entries = [Entry(apart, "apart", data), Entry(ivbridge.DataError("no column <x>"), "broken", data, "y ~ x")]
    found = ivbridge.certify(entries)
    assert (found.verdict, found.ok) == ("could not run", False)
    page = found.to_html()
    assert "o column &lt;x&gt;" in page and apart.verdict in page
    assert "could not run" in found.badge()
    assert found.digits == 0


class _Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_self_contained_and_nothing_in_it_runs(certificate: ivbridge.Certificate) -> None:
    page = _Page(certificate.to_html())
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [script.get("type") for script in scripts] == ["application/json"]
    assert not [tag for tag, _ in page.tags if tag in ("img", "link", "iframe", "object")]
    assert not [
        name for _, attributes in page.tags for name in attributes if name in ("src", "href") or name[:2] == "on"
    ]
    assert "<img src=x onerror=alert(1)>" in page.text.partition(START)[0], "it is text"
    markdown = certificate.to_markdown()
    comment = markdown[markdown.index("<!--") :]
    assert comment.count("-->") == 1 and comment.rstrip().endswith("-->")
    assert "<img" not in markdown.replace(r"\<img", "")


def test_the_badge_is_a_small_svg_with_a_text_for_readers(certificate: ivbridge.Certificate) -> None:
    root = ET.fromstring(certificate.badge())
    assert root.tag.endswith("svg") and root.get("role") == "img"
    said = f"R = Python: {certificate.digits:.1f} digits"
    assert root.get("aria-label") == said
    assert said in [element.text for element in root.iter() if element.tag.endswith("title")]
    assert len(certificate.badge()) < 1000


def test_options_that_would_be_ignored_are_refused() -> None:
    for arguments in (
        ["Q ~ P | A", "--verify", "c.html"],
        ["--verify", "c.html", "--strict"],
        ["Q ~ P | A", "--again"],
    ):
        result = CliRunner().invoke(app, ["certify", *arguments])
        assert result.exit_code == 2 and "Invalid value" in result.output


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner()
    out = tmp_path / "made" / "certificate"
    asked = ["certify", "Q ~ P + D | D + F + A", "-d", "kmenta", "--vcov", "classical", "--by", "me"]
    done = run.invoke(app, [*asked, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == [
        "badge.svg", "certificate.html", "certificate.json", "certificate.md"
    ]  # fmt: skip
    verified = run.invoke(app, ["certify", "--verify", str(out / "certificate.html"), "--again"])
    assert verified.exit_code == 0, verified.output
    assert "as it was issued" in verified.output and "asked again" in verified.output
    page = out / "certificate.html"
    page.write_text(page.read_text("utf-8").replace("rounding", "identical"), "utf-8")
    changed = run.invoke(app, ["certify", "--verify", str(page)])
    assert changed.exit_code == 1
    assert "changed after it was issued" in changed.output
    assert run.invoke(app, ["certify", "--verify", str(tmp_path / "none.json")]).exit_code == 2
    assert run.invoke(app, ["certify"]).exit_code == 2


def test_a_certificate_is_written_by_suffix(certificate: ivbridge.Certificate, tmp_path: Path) -> None:
    with pytest.raises(ivbridge.UnsupportedError, match=r"\.html"):
        certificate.write(tmp_path / "certificate.pdf")
    with pytest.raises(ivbridge.DataError, match="mkdir"):
        certificate.write(tmp_path / "nowhere" / "certificate.html")


def _render(out: Path, **parameters: str) -> subprocess.CompletedProcess[str]:
    """The scripted report in this Python; a copy is rendered, since R Markdown writes beside its input."""
    source = shutil.copy(scripts_dir() / "report.Rmd", out)
    shown = ", ".join(f"{name} = {json.dumps(value)}" for name, value in parameters.items())
    code = f'rmarkdown::render("{source}", quiet = TRUE, params = list({shown}))'
    env = {**os.environ, "RETICULATE_PYTHON": sys.executable}
    return subprocess.run(
        ["Rscript", "--vanilla", "-e", code], env=env, capture_output=True, text=True, timeout=280, check=False
    )


def test_the_scripted_report_shows_both_sides_and_the_verdict(tmp_path: Path) -> None:
    done = _render(tmp_path, formula=DEMAND, data="cigarettes_sw", weights="population", vcov="classical, HC3")
    assert done.returncode == 0, done.stderr
    text = _Page((tmp_path / "report.html").read_text("utf-8")).text
    assert "Verdict: rounding" in text
    data = ivbridge.load("cigarettes_sw")
    for vcov in ("classical", "HC3"):
        estimate = ivbridge.fit(DEMAND, data, vcov, weights="population")
        for value in (estimate.params["log(rprice)"], estimate.bse["log(rprice)"]):
            assert text.count(f"{value:.10g}") == 2 + (0 if value != estimate.params["log(rprice)"] else 2)
    assert re.search(r"all \d{2,} numbers agree", text)
    assert "first stage: the R session was not asked" in text


def test_a_formula_of_the_report_is_never_run_as_code(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    done = _render(tmp_path, formula=f"y ~ file.create('{victim}') | z", data="kmenta", vcov="HC1")
    assert done.returncode != 0
    assert not victim.exists()


def test_an_answer_of_a_session_is_compared_and_not_believed() -> None:
    native = ivbridge.fit("Q ~ P + D | D + F + A", ivbridge.load("kmenta"), "classical")
    tests = [native.tests[key] for key in native.tests if key != "wald"]
    wald = native.tests["wald"]
    assert isinstance(wald, ivbridge.Test)
    said = {
        "terms": native.terms, "x_names": native.seen.x_names, "z_names": native.seen.z_names,
        "x": native.seen.x.tolist(), "z": native.seen.z.tolist(), "y": native.seen.y.tolist(),
        "rows": native.seen.rows.tolist(), "cov": native.cov.tolist(), "df_resid": native.df_resid,
        "residuals": native.residuals.tolist(), "fitted": native.fitted.tolist(), "sigma": native.sigma,
        "r2": native.r2, "r2_adj": native.r2_adj, "versions": {"R": "4.2.2"},
        "diagnostics": [[t.df1, "NA" if np.isinf(t.df2) else t.df2, t.statistic, t.p_value]
                        for t in tests if isinstance(t, ivbridge.Test)],
        "wald": [wald.statistic, wald.p_value, wald.df1, wald.df2],
        **{name: getattr(native.coefs, name).tolist()
           for name in ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")},
    }  # fmt: skip
    assert ivbridge.agree(from_session(json.dumps(said), native), native).verdict == "identical"
    said["estimate"][0] *= 1 + 1e-6
    assert ivbridge.agree(from_session(json.dumps(said), native), native).verdict == "substantive"
    said["x"][3][1] += 1
    assert ivbridge.agree(from_session(json.dumps(said), native), native).verdict == "not comparable"
    for broken in ("", "{}", "[]", json.dumps({**said, "terms": 3})):
        with pytest.raises(ivbridge.DataError, match="no answer of an R session"):
            from_session(broken, native)

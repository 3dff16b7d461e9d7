"""The command line: exit codes, what goes to stdout and what to stderr, files of questions, reports."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge import cli_text, many, progress
from ivbridge.agreement import Agreement
from ivbridge.cli import app
from ivbridge.questions import Question, load_questions

FORMULA = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
CHECK = ["check", FORMULA, "--data", "cigarettes_sw", "--vcov", "HC0", "--vcov", "cluster(state, type=HC1)"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return ivbridge.load("cigarettes_sw").frame


@pytest.fixture(scope="module")
def agreement(frame: pd.DataFrame) -> Agreement:
    return ivbridge.crosscheck(FORMULA, frame, ["HC0", "cluster(state, type=HC1)"])


@pytest.fixture(scope="module")
def sabotaged(frame: pd.DataFrame) -> Agreement:
    """HC1 against HC3 with an R² of its own: nothing explains the gap."""
    one, two = (ivbridge.fit(FORMULA, frame, vcov) for vcov in ("HC1", "HC3"))
    comparison = ivbridge.agree(one, dataclasses.replace(two, r2=two.r2 + 0.01))
    return Agreement(comparison.reference.spec, (comparison,))


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="ivbridge", env={"COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def drain(terminal: int, into: list[bytes]) -> None:
    """Read a terminal until the other side has closed it, which Linux tells by an error."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1 << 16):
            into.append(part)


def command(*arguments: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own, in another folder."""
    return subprocess.run(
        [sys.executable, "-m", "ivbridge.cli", *arguments],
        cwd=cwd, env={**ENVIRONMENT, **changes}, capture_output=True, text=True, check=False,
    )  # fmt: skip


class TestCheck:
    def test_agreeing_prints_the_verdict_and_ends_with_0(self, agreement: Agreement) -> None:
        code, out, err = invoke(*CHECK)
        assert (code, err) == (0, "")
        assert out.startswith("log(packs) ~ log(rincome) + log(rprice) | log(rincome) + tdiff + rtax\n")
        assert "cigarettes_sw, n = 96, inference t" in out
        assert f"ROUNDING, {agreement.digits:.1f} agreeing digits\n  all {len(agreement.gaps)} numbers agree" in out
        assert out.count("  same ") == len(agreement.comparisons[0].handshake)
        assert "DIFFERENT" not in out
        assert "!" not in out

    def test_the_table_holds_the_digits_of_each_kind(self, agreement: Agreement) -> None:
        _, out, _ = invoke(*CHECK)
        (line,) = [line for line in out.splitlines() if line.startswith("HC0")]
        words = line.split()
        assert words[1] == agreement.comparisons[0].verdict
        gaps = agreement.comparisons[0].gaps
        worst = {q: min(gap.digits for gap in gaps if gap.quantity == q) for q in ("estimate", "std.error", "cov")}
        assert words[2:5] == [f"{digits:.1f}" for digits in worst.values()]

    def test_json_is_one_object_and_nothing_else(self, agreement: Agreement) -> None:
        code, out, err = invoke(*CHECK, "--json")
        assert (code, err) == (0, "")
        tree = json.loads(out)
        assert out.count("\n") == 1
        assert {"verdict", "digits", "n", "engines", "comparisons"} <= set(tree)
        assert (tree["verdict"], tree["n"], tree["engines"]) == ("rounding", 96, ["r", "native"])
        assert tree["digits"] == agreement.digits
        found = [(c["vcov"], c["quantity"], c["term"], c["reference"], c["candidate"], c["digits"], c["ok"])
                 for c in tree["comparisons"]]  # fmt: skip
        expected = [(c.vcov, g.quantity, g.term, g.reference, g.candidate, g.digits, g.ok)
                    for c in agreement.comparisons for g in c.gaps]  # fmt: skip
        assert found == expected

    def test_disagreeing_ends_with_1_and_shows_the_worst_numbers(
        self, sabotaged: Agreement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(many, "crosscheck", lambda *_, **__: sabotaged)
        code, out, _ = invoke(*CHECK, "--report", str(tmp_path / "r.html"))
        assert code == 1
        assert f"SUBSTANTIVE, {sabotaged.digits:.1f} agreeing digits" in out
        assert "!  at least one number differs by more than rounding explains" in out
        worst = min((gap for gap in sabotaged.gaps if not gap.ok), key=lambda gap: gap.digits)
        assert f"{worst.reference:.17g}" in out
        assert f"{worst.candidate:.17g}" in out
        assert f"and {sum(not gap.ok for gap in sabotaged.gaps) - 3} more of {len(sabotaged.gaps)}" in out
        assert "Substantive" in (tmp_path / "r.html").read_text()
        code, out, _ = invoke(*CHECK, "--json")
        assert code == 1
        assert json.loads(out)["verdict"] == "substantive"

    def test_a_part_per_million_ends_a_real_command_with_1(self, tmp_path: Path) -> None:
        code = f"""
import dataclasses
from ivbridge.engines.native import NativeEngine
fit = NativeEngine.fit
NativeEngine.fit = lambda self, design: dataclasses.replace(
    found := fit(self, design), coefs=dataclasses.replace(found.coefs, estimate=found.coefs.estimate * (1 + 1e-6)))
import sys
sys.argv = ["ivbridge", *{CHECK!r}]
from ivbridge.cli import main
main()
"""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stderr
        assert "estimate of log(rprice): 6.0 digits" in done.stdout

    def test_defaults_are_the_defaults_of_crosscheck(
        self, monkeypatch: pytest.MonkeyPatch, agreement: Agreement
    ) -> None:
        asked: list[tuple[object, ...]] = []

        def remembered(*given: object, progress: object, **changes: object) -> Agreement:
            asked.append((*given, changes))
            return agreement

        monkeypatch.setattr(many, "crosscheck", remembered)
        invoke("check", FORMULA, "--data", "cigarettes_sw")
        assert asked[0][0] == FORMULA
        assert asked[0][2:] == (None, ("r", "native"), {"weights": None, "inference": None, "method": None})
        invoke("check", FORMULA, "--data", "cigarettes_sw", "--weights", "population", "--inference", "z", "--engine",
               "native", "--engine", "r", "--vcov", "HC2")  # fmt: skip
        changes = {"weights": "population", "inference": "z", "method": None}
        assert asked[1][2:] == (("HC2",), ("native", "r"), changes)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["check", "y ~ x | z", "--data", "no_such.csv"], "no_such.csv"),
            (["check", "y ~ x | z"], "needs --data"),
            (["check", "system('id') ~ x | z", "--data", "kmenta"], "system"),
            (["check", "Q ~ nothere | D", "--data", "kmenta"], "nothere"),
            (["check", "Q ~ P + D | D + F", "--data", "kmenta", "--vcov", "HC9"], "HC9"),
            (["check", "Q ~ P + D | D + F", "--data", "kmenta", "--engine", "r"], "1 engine"),
            (["check", "Q ~ P + D | D + F", "--data", "kmenta", "--engine", "r", "--engine", "sas"], "sas"),
            (["check", "Q ~ P + D | D + F", "--data", "kmenta", "--inference", "bayes"], "bayes"),
            (["check", "Q ~ P + D | D + F", "--data", "kmenta", "--report", "out.pdf"], "out.pdf"),
            (["check", "Q ~ P + D | D + F", "--data", "kmenta", "--report", "no/such/out.md"], "no/such"),
            (["check", "no_such.toml"], "no_such.toml"),
            (["check"], "Missing argument"),
            (["fit", "Q ~ P + D | D + F", "--data", "kmenta"], "--vcov"),
            (["datasets", "kmentaa"], "Did you mean kmenta?"),
            (["nonsense"], "nonsense"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_cannot_run_ends_with_2_and_one_sentence_on_stderr(self, arguments: list[str], said: str) -> None:
        code, out, err = invoke(*arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert "Traceback" not in err

    def test_without_r_it_ends_with_2_and_says_what_to_do(self, tmp_path: Path) -> None:
        unrecorded = ("check", "log(packs) ~ log(rprice) | tdiff", *CHECK[2:])
        done = command(*unrecorded, cwd=tmp_path, PATH=str(tmp_path), R_HOME="")
        assert (done.returncode, done.stdout) == (2, "")
        assert "ivbridge setup-r" in done.stderr
        assert "Traceback" not in done.stderr

    def test_the_post_without_r_says_how_to_leave_r_out(self, tmp_path: Path) -> None:
        done = command("post", "--draws", "0", cwd=tmp_path, PATH=str(tmp_path), R_HOME="")
        assert (done.returncode, done.stdout) == (2, "")
        assert "ivbridge post --engine native" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_fault_of_ivbridge_itself_is_no_verdict(self, tmp_path: Path) -> None:
        code = f"import sys, ivbridge.many as m\nm.crosscheck = None\nsys.argv = ['ivbridge', *{CHECK!r}]\n"
        done = subprocess.run(
            [sys.executable, "-c", code + "import ivbridge.cli\nivbridge.cli.main()"],
            cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert "TypeError" in done.stderr

    def test_interrupting_is_no_verdict(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object, **__: object) -> Agreement:
            raise KeyboardInterrupt

        monkeypatch.setattr(many, "crosscheck", interrupted)
        code, out, err = invoke(*CHECK)
        assert (code, out, err) == (130, "", "ivbridge: interrupted\n")

    def test_reports_of_every_kind(self, tmp_path: Path, agreement: Agreement) -> None:
        paths = [tmp_path / f"out{suffix}" for suffix in (".html", ".md", ".tex", ".json")]
        code, out, _ = invoke(*CHECK, *(word for path in paths for word in ("--report", str(path))))
        assert code == 0
        for path in paths:
            assert f"report: {path}" in out
            assert "tdiff" in path.read_text()
        assert json.loads(paths[3].read_text())["digits"] == agreement.digits
        assert "Introduction to Econometrics" in paths[0].read_text()

    def test_what_was_left_out_and_why_is_said(self) -> None:
        _, out, _ = invoke("check", "Q ~ P + D | D + F", "--data", "kmenta", "--vcov", "classical")
        assert "not compared: Sargan" in out
        assert "identified" in out


class TestTerminal:
    def test_piped_output_is_plain_and_fits_80_columns(self, tmp_path: Path) -> None:
        done = command(*CHECK, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80

    def test_a_terminal_without_unicode_is_no_obstacle(self, tmp_path: Path) -> None:
        done = command("check", "Q ~ P + D | D + F", "--data", "kmenta", "--vcov", "bootstrap(R=10)", "--engine",
                       "native", "--engine", "native", cwd=tmp_path, PYTHONIOENCODING="ascii")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "IDENTICAL" in done.stdout

    def test_a_reader_that_leaves_is_no_verdict(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([sys.executable, "-m", "ivbridge.cli", "datasets"], cwd=tmp_path, env=ENVIRONMENT,
                              stdout=writing, stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
        os.close(writing)
        assert (done.returncode, done.stderr) == (2, "")

    def test_demo_shows_its_progress_on_a_terminal_and_writes_a_report(self, tmp_path: Path) -> None:
        terminal, side = pty.openpty()
        # on a quick machine the whole demo takes little more than the second after which a bar appears
        at_once = "import ivbridge.progress as p; p.PATIENCE = 0; from ivbridge.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", at_once, "demo"],
            cwd=tmp_path, env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "80"}, stdout=subprocess.PIPE, stderr=side,
            text=True,
        ) as process:  # fmt: skip
            os.close(side)
            seen: list[bytes] = []
            # a terminal holds a few kilobytes; on a busy machine the bar writes more, and waits for a reader
            reader = threading.Thread(target=drain, args=(terminal, seen))
            reader.start()
            assert process.stdout is not None
            out = process.stdout.read()
        reader.join()
        progress = b"".join(seen).decode(errors="replace")
        os.close(terminal)
        assert process.returncode == 0
        assert re.search(r"(r|native), (classical|HC)", progress)  # it is painted ten times a second, not at each step
        assert "/18" in progress
        assert "\x1b" not in out
        assert out.count(" rounding ") >= 8
        digits = float(out.partition("ROUNDING, ")[2].partition(" agreeing digits")[0])
        assert digits >= 10
        assert f"report: {tmp_path / 'ivbridge-demo.html'}" in out
        assert "cluster(state)" in (tmp_path / "ivbridge-demo.html").read_text()

    def test_the_progress_bar_waits_a_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = cli_text.Console(file=io.StringIO(), force_terminal=True)
        monkeypatch.setattr(progress, "Console", lambda **_: screen)
        with progress.progress_bar() as callback:
            assert callback is not None
            callback(1, 2, "r, HC0")
        assert "r, HC0" not in screen.file.getvalue()  # type: ignore[attr-defined]

    def test_the_report_of_the_demo_is_ignored_by_git(self) -> None:
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(["git", "check-ignore", "ivbridge-demo.html"], cwd=root, capture_output=True, check=False)
        assert done.returncode == 0


QUESTIONS = """
[defaults]
data = "{data}"
vcov = ["HC0", "cluster(state)"]

[[question]]
name = "demand"
formula = "log(packs) ~ log(rprice) | tdiff"

[[question]]
name = "food"
formula = "Q ~ P + D | D + F"
data = "kmenta"
vcov = "HC1"
engines = ["native", "native"]
inference = "z"
"""


@pytest.fixture
def questions(tmp_path: Path, frame: pd.DataFrame) -> Path:
    """A file of two questions; the first one's data stand beside it."""
    frame.to_csv(tmp_path / "cigarettes.csv", index=False)
    path = tmp_path / "questions.toml"
    path.write_text(QUESTIONS.format(data="cigarettes.csv"))
    return path


class TestFileOfQuestions:
    def test_defaults_fill_what_a_question_leaves_out(self, questions: Path) -> None:
        demand, food = load_questions(questions)
        data = str(questions.parent / "cigarettes.csv")
        assert demand == Question("demand", "log(packs) ~ log(rprice) | tdiff", data, ("HC0", "cluster(state)"))
        assert food == Question("food", "Q ~ P + D | D + F", "kmenta", ("HC1",), None, ("native", "native"), "z")

    def test_one_line_a_question_and_a_summary(self, questions: Path, tmp_path: Path) -> None:
        code, out, err = invoke("check", str(questions), "--report", str(tmp_path / "all.html"))
        assert (code, err) == (0, "")
        first, second, *_ = out.splitlines()
        assert first.split()[:2] == ["demand", "rounding"]
        assert first.endswith("n = 96")
        assert second.split()[:2] == ["food", "identical"]
        assert "ROUNDING: 2 questions: 1 rounding, 1 identical" in out
        assert 'id="q2"' in (tmp_path / "all.html").read_text()

    def test_json_holds_every_question_and_the_worst_verdict(self, questions: Path) -> None:
        code, out, err = invoke("check", str(questions), "--json")
        assert (code, err) == (0, "")
        tree = json.loads(out)
        assert (tree["verdict"], tree["ok"]) == ("rounding", True)
        assert [q["name"] for q in tree["questions"]] == ["demand", "food"]
        assert [q["verdict"] for q in tree["questions"]] == ["rounding", "identical"]
        assert tree["digits"] == tree["questions"][0]["digits"] < tree["questions"][1]["digits"] == 17
        first = tree["questions"][0]["name"]
        assert {c["vcov"] for c in tree["comparisons"] if c["question"] == first} == {"HC0", "cluster(state)"}

    def test_a_question_that_cannot_run_does_not_stop_the_others(self, questions: Path) -> None:
        questions.write_text(QUESTIONS.format(data="gone.csv"))
        code, out, err = invoke("check", str(questions))
        assert code == 2
        assert [line.split()[:2] for line in out.splitlines()[:2]] == [["demand", "could"], ["food", "identical"]]
        assert "COULD NOT RUN: 2 questions: 1 could not run, 1 identical" in out
        assert "demand: There is no file" in err
        code, out, _ = invoke("check", str(questions), "--json")
        assert code == 2
        assert json.loads(out)["verdict"] == "could not run"

    def test_a_disagreement_is_shown_and_ends_with_1(
        self, questions: Path, sabotaged: Agreement, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(many, "crosscheck", lambda *_, **__: sabotaged)
        code, out, _ = invoke("check", str(questions))
        assert code == 1
        assert "SUBSTANTIVE: 2 questions: 2 substantive" in out
        assert "and " in out

    def test_a_bundled_name_yields_to_a_file_beside_the_questions(self, questions: Path) -> None:
        (questions.parent / "kmenta").write_text("")
        assert load_questions(questions)[1].data == str(questions.parent / "kmenta")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[[question]\n", "is not TOML"),
            ("[[question]]\nformula = 'y ~ x | z'\n", "question 1: data is missing"),
            ("[[question]]\nname = 'n'\ndata = 'kmenta'\n", "question 1 (n): formula is missing"),
            ("[[question]]\nformla = 'y ~ x'\n", "there is no key 'formla'"),
            ("[[questions]]\nformula = 'y ~ x'\n", "there is no key 'questions' at the top"),
            ("[defaults]\ndata = 'kmenta'\n", "holds no question"),
            ("question = 3\n", "holds no question"),
            ("defaults = 3\n[[question]]\n", "defaults is no table"),
            ("[defaults]\nformula = 'y ~ x'\n[[question]]\n", "[defaults]: there is no key 'formula'"),
            ("[[question]]\nformula = 'Q ~ P | D'\ndata = 'kmenta'\nvcov = ['HC9']\n", "question 1: vcov: vcov='HC9'"),
            ("[[question]]\nformula = 'Q ~ P | D'\ndata = 'kmenta'\nvcov = [1]\n", "vcov is [1], not a list of texts"),
            ("[[question]]\nformula = 'Q ~ P | D'\ndata = 3\n", "data is 3, not a text"),
            ("[[question]]\nformula = 'Q ~ {P} | D'\ndata = 'kmenta'\n", "question 1: formula: "),
            ("[[question]]\nformula = 'Q ~ P | D'\ndata = 'kmenta'\ninference = 'u'\n", "question 1: inference: "),
            ("[[question]]\nname='n'\nformula='Q ~ P | D'\ndata='kmenta'\n" * 2, "two questions have the name 'n'"),
            ("\xff", "is not UTF-8"),
        ],
    )
    def test_errors_name_the_file_and_the_key(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "questions.toml"
        path.write_text(text, encoding="latin-1")
        code, out, err = invoke("check", str(path))
        assert (code, out) == (2, "")
        assert f"{path}" in err
        assert said in err

    def test_options_belong_into_the_file(self, questions: Path) -> None:
        code, _, err = invoke("check", str(questions), "--vcov", "HC0", "--data", "kmenta")
        assert code == 2
        assert "--data, --vcov" in " ".join(err.split())


@pytest.fixture(scope="module")
def estimate() -> ivbridge.Estimate:
    return ivbridge.fit("Q ~ P + D | D + F + A", ivbridge.load("kmenta").frame, "HC1")


class TestFit:
    ASK = ("fit", "Q ~ P + D | D + F + A", "--data", "kmenta", "--vcov", "HC1")

    def test_summary(self, estimate: ivbridge.Estimate) -> None:
        assert invoke(*self.ASK) == (0, estimate.summary() + "\n", "")

    def test_tidy_and_glance_are_csv(self, estimate: ivbridge.Estimate, tmp_path: Path) -> None:
        for flag, expected in (("--tidy", estimate.tidy()), ("--glance", estimate.glance())):
            code, out, _ = invoke(*self.ASK, flag)
            assert code == 0
            (tmp_path / "out.csv").write_text(out)
            pd.testing.assert_frame_equal(ivbridge.read(tmp_path / "out.csv").frame, expected)

    def test_json_reads_back_to_the_same_bits(self, estimate: ivbridge.Estimate) -> None:
        _, out, _ = invoke(*self.ASK, "--json")
        back = ivbridge.Estimate.from_json(out)
        assert dataclasses.replace(back.provenance, recorded_on="") == dataclasses.replace(
            estimate.provenance, recorded_on=""
        )
        assert back.cov.tobytes() == estimate.cov.tobytes()

    def test_the_r_engine(self, estimate: ivbridge.Estimate) -> None:
        code, out, _ = invoke(*self.ASK, "--engine", "r", "--tidy")
        assert code == 0
        # n = 20 and this conditioning leave 12 digits
        assert pd.read_csv(io.StringIO(out))["estimate"].tolist() == pytest.approx(list(estimate.params), rel=1e-10)

    def test_two_formats_at_once_are_refused(self) -> None:
        code, _, err = invoke(*self.ASK, "--tidy", "--json")
        assert code == 2
        assert "one of" in err


def test_datasets_lists_every_set_and_shows_one() -> None:
    code, out, _ = invoke("datasets")
    assert code == 0
    for row in ivbridge.datasets().itertuples():
        assert f"{row.name} " in out
        assert f"{row.rows} rows" in out
    code, out, _ = invoke("datasets", "kmenta")
    data = ivbridge.load("kmenta")
    assert code == 0
    assert f"kmenta: {len(data.frame)} rows" in out
    assert data.sha256 in out
    assert ", ".join(f"{value:.6g}" for value in data.frame["Q"].head(4)) in out


def test_doctor_and_setup_r_pass_their_options_and_exit_codes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, bool]] = []

    def fake(code: int) -> object:
        return lambda **given: (asked.append(given), code)[1]

    monkeypatch.setattr("ivbridge.doctor.run", fake(1))
    monkeypatch.setattr("ivbridge.setup_r.run", fake(2))
    assert invoke("doctor", "--json")[0] == 1
    assert invoke("setup-r", "--dry-run")[0] == 2
    assert asked == [{"json": True, "brief": False}, {"yes": False, "dry_run": True}]


def test_version_help_and_completion() -> None:
    assert invoke("--version") == (0, f"ivbridge {ivbridge.__version__}\n", "")
    code, out, _ = invoke("--help")
    assert code == 0
    for word in ("check", "fit", "datasets", "demo", "doctor", "setup-r", "--install-completion", "Examples:"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80
    assert "Exit code: 0" in invoke("check", "--help")[1]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("ivbridge ch", "check"), ("ivbridge fit --vcov HC4", "HC4m"), ("ivbridge datasets km", "kmenta")],
)
def test_the_shell_completes_commands_vcovs_and_datasets(typed: str, offered: str) -> None:
    environment = {"_IVBRIDGE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    result = CliRunner().invoke(app, [], prog_name="ivbridge", env=environment)
    assert offered in result.stdout.split()

"""The drift sentinel: it finds by itself what changed between two versions, and says nothing where nothing did."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge.cli import app
from ivbridge.references import record
from ivbridge.sentinel import places
from ivbridge.sentinel.places import python_version, r_library, r_program
from ivbridge.sentinel.sources import Function, changed, put_back

DEMAND = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
SARGAN = "stat = nobs * (1 - (u.T @ u) / (eps.T @ eps)).squeeze()"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """R's answers to the cigarette demand, plain and weighted."""
    folder, data = tmp_path_factory.mktemp("recorded"), ivbridge.load("cigarettes_sw")
    record(DEMAND, data, ["classical", "HC3"], folder / "plain.json")
    record(DEMAND, data, ["classical"], folder / "weighted.json", weights="population")
    return folder


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder with the installed linearmodels in which texts of one file are replaced."""

    def made(name: str, **replaced: str) -> Path:
        folder = tmp_path_factory.mktemp("versions") / name
        spec = importlib.util.find_spec("linearmodels")
        assert spec is not None and spec.origin is not None
        installed = Path(spec.origin).parent
        skipped = shutil.ignore_patterns("__pycache__", "tests", "datasets")
        shutil.copytree(installed, folder / "linearmodels", ignore=skipped)
        shutil.copytree(installed / "datasets", folder / "linearmodels" / "datasets",
                        ignore=shutil.ignore_patterns("__pycache__", "*.csv*"))  # fmt: skip
        (folder / "linearmodels-9.dist-info").mkdir()
        (folder / "linearmodels-9.dist-info" / "METADATA").write_text(f"Name: linearmodels\nVersion: 9.{name}\n")
        path = folder / "linearmodels" / "iv" / "results.py"
        text = path.read_text("utf-8")
        for old, new in replaced.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        path.write_text(text, "utf-8")
        return folder

    return made


@pytest.fixture(scope="module")
def found(version: Callable[..., Path], recorded: Path) -> ivbridge.Drift:
    """A version whose Sargan statistic has n − 1 for n, and another comment elsewhere."""
    after = version("new", **{SARGAN: SARGAN.replace("nobs *", "(nobs - 1) *"),
                              '"""Number of observations."""': '"""How many observations."""'})  # fmt: skip
    return ivbridge.drift("linearmodels", version("old"), after, references=[recorded])


def test_what_moved_is_found_with_the_version_that_equals_r(found: ivbridge.Drift) -> None:
    assert not found.ok
    assert {(one.quantity, one.term) for one in found.moved} == {
        ("test statistic", "sargan"), ("test p.value", "sargan")
    }  # fmt: skip
    assert len(found.moved) == 4  # plain and weighted
    for one in found.moved:
        assert (one.before_ok, one.after_ok) == (True, False)
        assert one.r == pytest.approx(one.before, rel=1e-9)
        if one.quantity == "test statistic":
            assert one.after == pytest.approx(one.before * 95 / 96, rel=1e-12)


def test_the_function_that_changed_is_the_proved_reason(found: ivbridge.Drift) -> None:
    for reason in found.reasons:
        assert reason.proved
        assert reason.functions == ("IVResults.sargan (linearmodels/iv/results.py)",)
    named = {label for reason in found.reasons for label in reason.numbers}
    assert named == {"test statistic of sargan", "test p.value of sargan"}


def test_the_summary_says_all_of_it(found: ivbridge.Drift) -> None:
    text = found.summary()
    assert f"linearmodels old -> new: 4 of {found.compared} numbers of 2 questions moved" in text
    assert "old equals R, new does not" in text
    assert "IVResults.sargan" in text and "put back" in text
    assert "HC3: linearmodels has no equal of HC3" in text  # asked of R, and not compared
    plain = json.loads(found.to_json())
    assert plain["type"] == "Drift" and len(plain["moved"]) == 4
    assert list(found.to_frame().columns[:3]) == ["question", "data", "vcov"]


def test_the_same_code_does_not_move(version: Callable[..., Path], recorded: Path) -> None:
    folder = version("same", **{'"""Number of observations."""': '"""How many observations."""'})
    result = CliRunner().invoke(
        app, ["drift", "-p", "linearmodels", "--versions", f"{version('first')},{folder}",
              "--reference", str(recorded / "plain.json")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "nothing moved" in result.output


def test_only_code_counts_as_changed(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    (old / "a.py").write_text('def f(x: int) -> int:\n    """Old."""\n    return x\n\n\nclass C:\n    def g(self):\n'
                              "        return 1\n\n\ndef gone():\n    return 0\n")  # fmt: skip
    text = (
        "import os\n\n\ndef f(x):\n    # a comment\n    return x\n\n\nclass C:\n    def g(self):\n        return 2\n\n"
    )
    (new / "a.py").write_text(text + "    def h(self):\n        return 3\n")
    called = {("a.py", name) for name in ("f", "C.g", "C.h", "gone")} | {("missing.py", "f")}
    assert changed(old, new, called) == [Function("a.py", "C.g")]
    place = put_back(Function("a.py", "C.g"), old, new, tmp_path / "mixed")
    assert place.folder == tmp_path / "mixed"
    text = (tmp_path / "mixed" / "a.py").read_text()
    assert "return 1" in text and "return 3" in text and "return 2" not in text
    assert "return 2" in (new / "a.py").read_text()  # the version itself is left as it is


def _wheel(folder: Path, version: str) -> None:
    name = f"ivbridge_toy-{version}"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("ivbridge_toy.py", f"version = {version!r}\n")
        wheel.writestr(f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: ivbridge-toy\nVersion: {version}\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")


def test_versions_are_installed_once_and_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("1.0", "2.0"):
        _wheel(tmp_path, number)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IVBRIDGE_CACHE", str(tmp_path / "cache"))
    seen = []
    for number in ("1.0", "2.0"):
        place = python_version("ivbridge-toy", number)
        code = "import ivbridge_toy, ivbridge; print(ivbridge_toy.version)"
        done = subprocess.run([sys.executable, "-P", "-c", code], env={**os.environ, **place.environment}, check=True,
                              capture_output=True, text=True)  # fmt: skip
        seen.append(done.stdout.strip())
    assert seen == ["1.0", "2.0"]
    with pytest.raises(ivbridge.UnsupportedError, match=r"ivbridge-toy==3\.0"):
        python_version("ivbridge-toy", "3.0")
    assert len(list((tmp_path / "cache" / "versions").iterdir())) == 2, "a failed installation leaves nothing"
    monkeypatch.setattr(places.subprocess, "run", lambda *_args, **_options: pytest.fail("pip is not asked again"))
    assert python_version("ivbridge-toy", "1.0").label == "1.0"


@pytest.mark.parametrize(
    ("package", "version"),
    [("--index-url=http://x", "1.0"), ("linearmodels", "7.0; rm"), ("linearmodels", "--target=/"), ("a b", "1")],
)
def test_no_option_of_pip_can_be_smuggled_in(package: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.subprocess, "run", lambda *_args, **_options: pytest.fail("pip is asked"))
    with pytest.raises(ivbridge.UnsupportedError, match="no version of a package"):
        python_version(package, version)


def test_what_cannot_be_run_says_what_to_do(tmp_path: Path, recorded: Path) -> None:
    with pytest.raises(ivbridge.UnsupportedError, match="linearmodels"):
        ivbridge.drift("numpy", "1", "2", references=[recorded])
    with pytest.raises(ivbridge.DataError, match="ivbridge record"):
        ivbridge.drift("linearmodels", tmp_path, tmp_path, references=[tmp_path])
    with pytest.raises(ivbridge.DataError, match=r"install\.packages"):
        r_library("sandwich", tmp_path)
    with pytest.raises(ivbridge.DataError, match="Rscript"):
        r_program(tmp_path / "Rscript")
    result = CliRunner().invoke(app, ["drift", "-p", "linearmodels", "--versions", "7.0"])
    assert result.exit_code == 2
    assert "fewer than two versions" in result.output


def test_a_version_that_cannot_be_imported_is_an_error(tmp_path: Path, recorded: Path) -> None:
    (tmp_path / "linearmodels").mkdir()
    (tmp_path / "linearmodels" / "__init__.py").write_text("raise ImportError('this version needs another numpy')\n")
    with pytest.raises(ivbridge.EngineError, match="needs another numpy"):
        ivbridge.drift("linearmodels", tmp_path, recorded, references=[recorded])


def test_no_version_is_taken_for_another(tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without the package would let the installed one answer, and nothing would ever move."""
    with pytest.raises(ivbridge.UnsupportedError, match="was named twice"):
        ivbridge.drift("linearmodels", tmp_path, tmp_path, references=[recorded])
    with pytest.raises(ivbridge.EngineError, match=r"nothing in .* was used"):
        ivbridge.drift("linearmodels", tmp_path, recorded, references=[recorded / "plain.json"])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IVBRIDGE_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(ivbridge.EngineError, match="IVBRIDGE_CACHE"):
        python_version("linearmodels", "7.0")


def rounded(value: float, like: str) -> str:
    """With as many decimals as a printed number."""
    return f"{value:.{len(like.partition('.')[2])}f}"


@pytest.mark.slow
def test_what_linearmodels_7_1_changed(recorded: Path) -> None:
    """Needs the network the first time. The numbers are those of R and of both versions called by hand."""
    found = ivbridge.drift("linearmodels", "7.0", "7.1", references=[recorded])
    moved = {(one.question.partition(" · ")[2], one.quantity, one.term): one for one in found.moved}
    reasons = "\n".join(sentence for reason in found.reasons for sentence in reason.conventions)
    expected = {
        ("", "wu_hausman"): ("1.99946", "1.99377"),
        ("weights=population", "wu_hausman"): ("0.743", "3.8053"),
        ("weights=population", "sargan"): ("8.833", "3.1276"),
    }
    for (question, test), (before, after) in expected.items():
        one = moved[question, "test statistic", test]
        assert one.vcov == "classical"
        assert (rounded(one.before, before), rounded(one.after, after)) == (before, after)
        assert one.r == pytest.approx(one.after, rel=1e-9)
        assert (one.before_ok, one.after_ok) == (False, True)
    assert ("", "test statistic", "sargan") not in moved
    quantities = {one.quantity for one in found.moved}
    stayed = {"estimate", "std.error", "cov", "statistic", "resid", "fitted", "first stage estimate"}
    assert not quantities & stayed
    proved = {label: reason.functions for reason in found.reasons if reason.proved for label in reason.numbers}
    assert proved["test statistic of wu_hausman"] == ("IVResults._endogeneity_setup (linearmodels/iv/results.py)",)
    assert proved["test statistic of sargan"] == ("IVResults.sargan (linearmodels/iv/results.py)",)
    assert "projects the residuals on the excluded instruments only" in reasons
    assert "Sargan's test ignores the weights" in reasons
    assert all(math.isnan(one.r) or one.after_ok for one in found.moved), "7.1 equals R everywhere"


@pytest.mark.slow
def test_a_library_of_r_packages(tmp_path: Path) -> None:
    """The second library has lmtest with a coeftest() whose standard errors are 1 % larger."""
    code = r"""
    args <- commandArgs(TRUE)
    for (lib in args) {
        dir.create(lib); file.copy(system.file(package = "lmtest"), lib, recursive = TRUE)
    }
    ns <- asNamespace("lmtest")
    all <- as.environment(as.list(ns, all.names = TRUE)); parent.env(all) <- baseenv()
    text <- deparse(all$coeftest.default)
    changed <- sub("sqrt(diag(se))", "1.01 * sqrt(diag(se))", text, fixed = TRUE)
    stopifnot(!identical(text, changed))
    all$coeftest.default <- eval(parse(text = changed), ns)
    rm(list = intersect(ls(all, all.names = TRUE), c(".__NAMESPACE__.", ".__S3MethodsTable__.", ".packageName")),
       envir = all)
    assign(".packageName", "lmtest", all)
    tools:::makeLazyLoadDB(all, file.path(args[2], "lmtest", "R", "lmtest"), compress = TRUE)
    """
    libraries = [str(tmp_path / name) for name in ("old", "new")]
    subprocess.run(["Rscript", "--vanilla", "-e", code, *libraries], check=True, capture_output=True, text=True)
    record("Q ~ P + D | D + F + A", ivbridge.load("kmenta"), ["HC1"], tmp_path / "kmenta.json")
    found = ivbridge.drift("lmtest", *libraries, kind="r-library", references=[tmp_path / "kmenta.json"])
    errors = [one for one in found.moved if one.quantity == "std.error"]
    assert len(errors) == 3
    for one in errors:
        assert one.after == pytest.approx(1.01 * one.before, rel=1e-12)
        assert (one.before_ok, one.after_ok) == (True, False)

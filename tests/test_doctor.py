"""Each thing that can be wrong with an installation, made wrong for real, is one row with the command that mends it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from ivbridge import doctor, rfind
from ivbridge.doctor import Check

ROOT = Path(__file__).resolve().parents[1]

#: What `Rscript --vanilla` prints for the probe of rfind; tests replace single lines.
R_SAYS = {
    "home": "home\t/fake/R",
    "version": "version\t4.2.2",
    "blas": "blas\t/fake/libblas.so",
    "attached": "attached\tstats\tbase",
    "AER": "package\tAER\t1.2-10",
    "sandwich": "package\tsandwich\t3.0-2",
    "lmtest": "package\tlmtest\t0.9-40",
    "car": "package\tcar\t3.1-1",
    "jsonlite": "package\tjsonlite\t1.8.4",
    "glmnet": "package\tglmnet\t4.1-6",
}


@pytest.fixture(autouse=True)
def quiet_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home and a working directory without start-up files, a UTF-8 locale, no R_HOME."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("R_HOME", "R_DEFAULT_PACKAGES"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def fake_r(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Put an R on PATH, alone, whose Rscript prints given lines and ends with a given exit code."""

    def make(*, code: int = 0, extra: str = "", **lines: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        said = "".join(line + "\n" for line in (R_SAYS | lines).values() if line)
        (tmp_path / "said").write_text(said)
        reading = f'while IFS= read -r line; do printf "%s\\n" "$line"; done < {tmp_path / "said"}'
        for name, body in (("R", "echo /fake/R"), ("Rscript", f"{extra}\n{reading}\nexit {code}")):
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return folder

    return make


@pytest.fixture
def fake_rpy2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Put an rpy2 of a given version before the real one; importing it runs given code."""

    def make(version: str, code: str = "pass") -> None:
        site = tmp_path / "site"
        (site / "rpy2").mkdir(parents=True)
        (site / "rpy2" / "__init__.py").touch()
        (site / "rpy2" / "rinterface.py").write_text(code)
        metadata = site / f"rpy2_rinterface-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: rpy2-rinterface\nVersion: {version}\n")
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site))

    return make


def row(name: str, rows: tuple[Check, ...] | None = None) -> Check:
    """The one row of that name."""
    (found,) = (r for r in (doctor.checks() if rows is None else rows) if r.name == name)
    return found


def test_a_machine_with_everything_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run() == 0
    said = capsys.readouterr().out
    assert "R and Python are both ready." in said
    for name in (
        "Python ",
        "numpy",
        "R package AER",
        "BLAS of R",
        "rpy2-rinterface",
        "R process of ivbridge",
        "locale",
    ):
        assert name in said
    assert "mode" in said
    assert "to mend" not in said
    assert max(map(len, said.splitlines())) <= 120


def test_no_r_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.run() == 1
    said = capsys.readouterr().out
    assert "no R on PATH" in said
    assert "The main job cannot run: R." in said
    found = row("R")
    assert (found.status, found.required) == ("missing", True)
    assert found.mend == "ivbridge setup-r --yes"  # without apt-get on PATH there is no one command


def test_no_r_but_apt_get(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "apt-get install -y --no-install-recommends --no-remove r-base-core r-cran-aer" in row("R").mend


def test_r_that_is_too_old(fake_r: Callable[..., Path]) -> None:
    fake_r(version="version\t3.6.3")
    found = row("R")
    assert found.status == "incompatible"
    assert found.found.startswith("3.6.3")
    assert found.stops


def test_r_that_fails(fake_r: Callable[..., Path]) -> None:
    fake_r(code=3, extra="echo cannot open libR.so >&2", home="", version="")
    found = row("R")
    assert found.status == "incompatible"
    assert "exit 3" in found.found
    assert "cannot open libR.so" in found.found
    assert found.stops


def test_r_that_never_answers(fake_r: Callable[..., Path]) -> None:
    folder = fake_r(extra="while :; do :; done")
    with pytest.raises(rfind.RNotAvailableError, match=r"did not answer within 0\.3 s"):
        rfind.probe_r(str(folder / "R"), timeout=0.3)


def test_missing_r_package(fake_r: Callable[..., Path]) -> None:
    fake_r(AER="package\tAER\tNA")
    found = row("R package AER")
    assert (found.status, found.found) == ("missing", "not installed")
    assert found.mend.endswith("install.R AER")
    assert found.stops


def test_missing_r_package_of_the_real_r(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("R_LIBS", "R_LIBS_SITE", "R_LIBS_USER"):
        monkeypatch.setenv(name, str(tmp_path))
    executable = rfind.find_r()
    assert executable is not None
    home_library = Path(rfind.probe_r(executable).home) / "library" / "AER"
    assert (row("R package AER").status == "missing") is not home_library.exists()


def test_old_r_package(fake_r: Callable[..., Path]) -> None:
    fake_r(sandwich="package\tsandwich\t2.5-1")
    found = row("R package sandwich")
    assert (found.status, found.found, found.needed) == ("incompatible", "2.5-1", ">= 3.0-1")
    assert found.stops


def test_r_too_old_for_the_installed_rpy2(fake_r: Callable[..., Path], fake_rpy2: Callable[..., None]) -> None:
    fake_r()
    fake_rpy2("3.6.7")
    found = row("rpy2-rinterface")
    assert found.status == "incompatible"
    assert "need R >= 4.5" in found.found
    assert found.mend.endswith("rpy2-rinterface==3.6.5 rpy2-robjects==3.6.6")
    assert not found.stops  # Rscript takes its place


def test_current_rpy2_with_a_current_r(fake_r: Callable[..., Path], fake_rpy2: Callable[..., None]) -> None:
    fake_r(version="version\t4.5.0", AER="package\tAER\tNA")  # without AER no R process is started
    fake_rpy2("3.6.7")
    found = row("rpy2-rinterface")
    assert found.status == "ok"
    assert "mode" in found.found


FAILURES = {
    "ImportError": "raise ImportError('libR.so: cannot open shared object file')",
    "ValueError": "raise ValueError('r_home is None')",
    "OSError": "raise OSError('cannot load library')",
    "FileNotFoundError": "raise FileNotFoundError('/nope/bin/Rscript')",
    "RuntimeError": "raise RuntimeError('Unable to determine R_HOME.')",
    "error: symbol": "import _cffi_backend; raise _cffi_backend.FFI.error(\"symbol 'R_getVar' not found\")",
    "exit code -11": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
}


@pytest.mark.parametrize("said", FAILURES)
def test_every_way_in_which_rpy2_fails_to_import_is_one_row(
    said: str, fake_r: Callable[..., Path], fake_rpy2: Callable[..., None]
) -> None:
    fake_r()
    fake_rpy2("3.6.5", FAILURES[said])
    found = row("rpy2-rinterface")
    assert found.status == "incompatible"
    assert said in found.found
    assert "pip install" in found.mend
    assert not found.stops


def test_no_rpy2(fake_r: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    fake_r()
    monkeypatch.setattr(doctor, "_installed", lambda package: "")
    found = row("rpy2-rinterface")
    assert (found.status, found.found) == ("missing", "not installed")
    assert not found.stops


def test_a_machine_without_rpy2_is_ready(fake_rpy2: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    fake_rpy2("3.6.5", FAILURES["OSError"])
    assert doctor.run() == 0
    said = capsys.readouterr().out
    assert "R and Python are both ready." in said
    rows = doctor.checks()
    assert row("rpy2-rinterface", rows).status == "incompatible"
    found = row("bridge to R", rows)
    assert found.status == "warning"
    assert found.found == "Rscript, since rpy2 cannot be loaded: the same answers, large data go slower"
    assert found.mend == row("rpy2-rinterface", rows).mend
    assert "pip install" in found.mend


def test_rpy2_insisted_on(fake_rpy2: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    fake_rpy2("3.6.5", FAILURES["OSError"])
    monkeypatch.setenv("IVBRIDGE_R_BRIDGE", "rpy2")
    found = row("R process of ivbridge")
    assert found.stops
    assert "rpy2 cannot be used" in found.found


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("IVBRIDGE_R_BRIDGE", "pipe", "There is no bridge 'pipe' to R."),
        ("IVBRIDGE_R_MEMORY", "4GB", "The environment variable IVBRIDGE_R_MEMORY is '4GB'."),
        ("IVBRIDGE_R_MEMORY", "5", "IVBRIDGE_R_MEMORY=5 was asked."),
        ("IVBRIDGE_R_TIMEOUT", "-1", "IVBRIDGE_R_TIMEOUT=-1 was asked."),
    ],
)
def test_settings_that_cannot_be_used(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    found = row("R process of ivbridge")
    assert (found.status, found.found, found.stops) == ("incompatible", said, True)
    assert found.mend.startswith(f"unset {variable}")


def test_both_bridges_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("bridge to R")
    assert (found.status, found.found.split()[0]) == ("ok", "rpy2")
    assert found.found.endswith("; Rscript works too")
    monkeypatch.setenv("IVBRIDGE_R_BRIDGE", "rscript")
    assert row("bridge to R").found == "Rscript, as IVBRIDGE_R_BRIDGE says"


def test_wrong_r_home_is_blamed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_HOME", "/nope")
    rows = doctor.checks()
    found = row("R_HOME", rows)
    assert (found.status, found.found, found.mend) == ("incompatible", "/nope holds no R", "unset R_HOME")
    assert [r.name for r in rows if r.stops] == ["R_HOME"]


def test_r_home_of_another_r(fake_r: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    folder = fake_r(AER="package\tAER\tNA")
    for name in ("R", "Rscript"):
        (other / name).write_text((folder / name).read_text())
        (other / name).chmod(0o755)
    monkeypatch.setenv("R_HOME", str(other.parent))
    found = row("R_HOME")
    assert found.status == "warning"
    assert "the R on PATH is /fake/R" in found.found
    assert rfind.find_r() == str(other / "R")


def test_aer_and_ivreg_both_attached(fake_r: Callable[..., Path]) -> None:
    fake_r(attached="attached\tAER\tivreg\tbase")
    found = row("AER beside ivreg")
    assert (found.status, found.mend) == ("warning", "unset R_DEFAULT_PACKAGES")
    assert not found.stops


def test_attached_packages_come_from_the_real_r(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_DEFAULT_PACKAGES", "utils,stats,lmtest")
    executable = rfind.find_r()
    assert executable is not None
    assert "lmtest" in rfind.probe_r(executable).attached


@pytest.mark.parametrize("name", [".Rprofile", ".RData", ".Renviron"])
def test_stray_startup_files_warn_and_do_not_stop(name: str, quiet_home: Path) -> None:
    path = quiet_home / name
    path.write_text("library(ivreg)\n")
    found = row("R start-up file", tuple(doctor._startup_rows()))
    assert found.status == "warning"
    assert str(path) in found.found
    assert ("names ivreg" in found.found) == (name == ".Rprofile")
    assert found.mend == f"mv {path} {path}.aside"
    assert not found.stops


def test_a_stray_rprofile_is_not_run(quiet_home: Path, tmp_path: Path) -> None:
    (quiet_home / ".Rprofile").write_text(f'file.create("{tmp_path / "ran"}")\n')
    assert doctor.run() == 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("value", "says"), [("C", "sorts levels"), ("de_DE.ISO-8859-1", "sorts"), ("xx_XX.UTF-8", "not")]
)
def test_locale(value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", value)
    found = doctor._locale_row()
    assert (found.status, found.mend) == ("warning", "export LC_ALL=C.UTF-8")
    assert says in found.found


def test_python_packages_missing_from_an_empty_python() -> None:
    """An interpreter that sees the standard library and ivbridge only still prints the whole table."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from ivbridge import doctor; sys.exit(doctor.run(json=True))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert said["ready"] is False
    status = {r["name"]: r["status"] for r in said["checks"]}
    for package in doctor.PYTHON_PACKAGES:
        assert status[f"Python package {package}"] == "missing"
    mend = next(r["mend"] for r in said["checks"] if r["name"] == "Python package linearmodels")
    assert mend.endswith("-m pip install 'linearmodels>=7.1'")


def test_an_optional_package_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda package: "" if package == "pyarrow" else "999")
    found = row("Python package pyarrow", tuple(doctor._python_rows()))
    assert (found.status, found.stops) == ("missing", False)


def test_an_old_python_package_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda package: "7.0" if package == "linearmodels" else "999")
    found = row("Python package linearmodels", tuple(doctor._python_rows()))
    assert (found.status, found.found, found.stops) == ("incompatible", "7.0", True)


def test_a_broken_r_process_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is installed, and still R does not start."""
    from ivbridge.engines.process import RWorker
    from ivbridge.errors import RNotAvailableError

    def refuse(self: RWorker, function: str, /, **arguments: object) -> None:
        raise RNotAvailableError("R could not be started.", do="free some memory.")

    monkeypatch.setattr(RWorker, "call", refuse)
    found = row("R process of ivbridge")
    assert (found.status, found.mend, found.stops) == ("incompatible", "free some memory.", True)


def test_json_has_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ready"] is True
    assert {"name", "status", "found", "needed", "mend", "required"} == set(said["checks"][0])


@pytest.mark.parametrize("other", ["python-glmnet", "glmnet"])
def test_another_package_with_glmstars_module(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.2.1" if name == other else real(name))
    found = row("Python module glmnet")
    assert found.status == "incompatible"
    assert other in found.found
    assert f"uninstall -y {other} glmstar && " in found.mend


def test_without_glmnet_in_r_the_main_job_still_runs(fake_r: Callable[..., Path]) -> None:
    fake_r(glmnet="")
    found = row("R package glmnet")
    assert (found.status, found.stops) == ("missing", False)
    assert "LASSO" in found.needed


def test_brief_table_shows_only_what_is_wrong() -> None:
    rows = (Check("a", "ok", "1"), Check("b", "missing", "2", ">= 3", "do it", True))
    assert doctor.table(rows, brief=True) == (
        "b  missing  2  (needed: >= 3)\n   to mend: do it\n\nThe main job cannot run: b."
    )


def test_lower_bounds_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = dict(line.split(">=") for line in project["dependencies"])
    files = dict(line.partition(",")[0].split(">=") for line in project["optional-dependencies"]["files"])
    assert core == doctor.PYTHON_PACKAGES
    assert files == doctor.PYTHON_FILES
    extras = project["optional-dependencies"]
    selection = [extras[name][0].partition(";")[0].partition(",")[0] for name in ("glmnet", "sklearn", "plots")]
    assert dict(line.split(">=") for line in selection) == doctor.PYTHON_SELECTION
    assert (tuple(extras["r"]), tuple(extras["r-before-4-5"])) == (rfind.RPY2_SINCE_R45, rfind.RPY2_BEFORE_R45)
    assert project["requires-python"] == ">=" + ".".join(map(str, doctor.PYTHON_MINIMUM))

"""The wheel, installed into a virtual environment of its own and used from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import ivbridge

ROOT = Path(__file__).resolve().parents[1]
FORMULA = "Q ~ P + D | D + F + A"


def run(*command: str | Path, cwd: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that knows nothing of this checkout or of this environment."""
    kept = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    env = kept if path is None else {**kept, "PATH": path}
    return subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network."""
    out = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; the dependencies are those of this environment, seen through a .pth file.

    A .pth file adds the folder but does not read the .pth files in it, so an editable install there stays unseen.
    """
    venv = tmp_path_factory.mktemp("venv")
    done = run(sys.executable, "-m", "venv", venv, cwd=venv)
    assert done.returncode == 0, done.stderr
    python = venv / "bin" / "python"
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps")
    done = run(python, *pip, wheel, cwd=venv)
    assert done.returncode == 0, done.stdout + done.stderr
    (site,) = (venv / "lib").glob("python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_everything_that_is_read_at_run_time(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    scripts = {f"ivbridge/r_scripts/{script.name}" for script in (ROOT / "r_scripts").iterdir()}
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "ivbridge"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    package = {name for name in tracked.split("\0") if name}
    assert scripts | package <= names
    assert "ivbridge/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "docs/")) or "__pycache__" in name]


def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path)
    assert run(*build, "--sdist", ROOT, cwd=ROOT).returncode == 0
    (archive,) = tmp_path.glob("*.tar.gz")
    assert run("tar", "-xzf", archive, cwd=tmp_path).returncode == 0
    assert run(*build, "--wheel", tmp_path / archive.name.removesuffix(".tar.gz"), cwd=tmp_path).returncode == 0
    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_the_command_says_its_version(python: Path, tmp_path: Path) -> None:
    done = run(python.with_name("ivbridge"), "--version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ivbridge.__version__ in done.stdout
    metadata = f"import importlib.metadata as m; print(m.version('ivbridge') == {ivbridge.__version__!r})"
    assert run(python, "-c", metadata, cwd=tmp_path).stdout == "True\n"


def test_both_engines_answer_from_another_folder(python: Path, tmp_path: Path) -> None:
    code = f"""
import ivbridge, pathlib
assert pathlib.Path(ivbridge.__file__).is_relative_to({str(python.parents[1])!r}), ivbridge.__file__
from ivbridge.resources import scripts_dir
assert scripts_dir() == pathlib.Path(ivbridge.__file__).parent / "r_scripts"
data = ivbridge.load("kmenta").frame
fits = [ivbridge.fit({FORMULA!r}, data, vcov="HC1", engine=engine) for engine in ("r", "native")]
print(*(repr(float(fit.params["P"])) for fit in fits))
"""
    done = run(python, "-W", "error", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    r, native = map(float, done.stdout.split())
    # 20 rows and a condition number of some 1e4 leave 12 of 16 digits; 1e-9 is far inside and far from chance
    assert r == pytest.approx(native, rel=1e-9)
    assert list(tmp_path.iterdir()) == []


def test_without_r_the_native_engine_works_and_the_r_engine_says_what_to_do(python: Path, tmp_path: Path) -> None:
    code = f"""
import ivbridge
data = ivbridge.load("kmenta").frame
ivbridge.fit({FORMULA!r}, data, vcov="HC1", engine="native")
try:
    ivbridge.fit({FORMULA!r}, data, vcov="HC1", engine="r")
except ivbridge.RNotAvailableError as error:
    print(error)
"""
    (tmp_path / "bin").mkdir()
    done = run(python, "-c", code, cwd=tmp_path, path=str(tmp_path / "bin"))
    assert done.returncode == 0, done.stderr
    assert "R was not found" in done.stdout
    assert "ivbridge setup-r" in done.stdout


def test_without_r_the_gallery_is_checked_with_recorded_answers(python: Path, tmp_path: Path) -> None:
    """And the output says so, with R's version and the day."""
    (tmp_path / "bin").mkdir()
    command = (python.with_name("ivbridge"), "check", FORMULA, "--data", "kmenta")
    done = run(*command, cwd=tmp_path, path=str(tmp_path / "bin"))
    assert done.returncode == 0, done.stderr
    (file,) = python.parents[1].glob("lib/python3*/site-packages/ivbridge/recorded/kmenta_demand.json")
    recorded = json.loads(file.read_text(encoding="utf-8"))["recorded"]
    said = f"its answers are recorded ones of {recorded['on'][:10]} (R {recorded['versions']['R']}, AER "
    assert f"R was not asked: {said}" in " ".join(done.stdout.split())
    done = run(*command, "--engine", "r", "--engine", "native", cwd=tmp_path, path=str(tmp_path / "bin"))
    assert done.returncode == 2
    assert "R was not found" in done.stderr


def test_r_alone_recomputes_a_reference_of_the_wheel(python: Path, tmp_path: Path) -> None:
    (package,) = python.parents[1].glob("lib/python3*/site-packages/ivbridge")
    done = run(
        "Rscript", "--vanilla", package / "r_scripts/replay.R", package / "recorded/mroz_wages.json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("AGREES\n")


def test_a_script_runs_under_rscript_alone(python: Path, tmp_path: Path) -> None:
    """``r_scripts/ivreg.R`` of the installed wheel needs no Python."""
    (script,) = python.parents[1].glob("lib/python3*/site-packages/ivbridge/r_scripts/ivreg.R")
    ivbridge.load("kmenta").frame.to_csv(tmp_path / "kmenta.csv", index=False)
    done = run(
        "Rscript", "--vanilla", script, "--data", "kmenta.csv", "--formula", FORMULA, "--vcov", "HC1", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    expected = ivbridge.fit(FORMULA, ivbridge.load("kmenta").frame, vcov="HC1", engine="native").params["P"]
    estimates = [line.split()[1] for line in done.stdout.splitlines() if line.split()[:1] == ["P"]]
    assert float(estimates[0]) == pytest.approx(expected, rel=1e-9)  # the same reason as above

"""What `make setup` and `ivbridge setup-r` would do and do, on machines faked by a PATH of a few scripts."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ivbridge import rfind, setup_r
from ivbridge.engines.process import RWorker
from ivbridge.errors import IvbridgeError
from ivbridge.rfind import RFound
from ivbridge.setup_r import Step

ROOT = Path(__file__).resolve().parents[1]
DEBIAN_R = RFound("/usr/bin/R", "/usr/lib/R", (4, 2, 2), dict(rfind.R_PACKAGES), debian="4.2.2-1")
OWN_R = RFound("/opt/R/bin/R", "/opt/R", (4, 5, 1), dict(rfind.R_PACKAGES))


def without(found: RFound, *packages: str) -> RFound:
    """The same R without some packages."""
    left = {name: version for name, version in found.packages.items() if name not in packages}
    return RFound(found.executable, found.home, found.version, left, debian=found.debian)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder on PATH: holds `env`, `sh` and an `apt-get` that writes down its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("env", "sh"):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    script(folder / "apt-get", f'echo "$@" >> {tmp_path / "apt.log"}')
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("R_HOME", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


def script(file: Path, body: str) -> None:
    """An executable shell script."""
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def commands(steps: tuple[Step, ...]) -> list[str]:
    """The steps as one reads them."""
    return [" ".join(step.command) for step in steps]


def test_nothing_to_do() -> None:
    assert setup_r.plan(DEBIAN_R) == ()
    assert setup_r.plan(OWN_R) == ()


def test_no_r_on_debian(path: Path) -> None:
    script(path / "make", "")
    update, install = setup_r.plan(None)
    assert update.optional
    assert commands((update, install)) == [
        "env DEBIAN_FRONTEND=noninteractive apt-get update",
        (
            "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove "
            "r-base-core r-cran-aer r-cran-sandwich r-cran-lmtest r-cran-car r-cran-jsonlite "
            "r-cran-glmnet"
        ),
    ]


def test_make_comes_along_because_rpy2_needs_it(path: Path) -> None:
    assert setup_r.plan(None)[-1].command[-1] == "make"


def test_debians_r_keeps_its_version_when_a_package_is_added(path: Path) -> None:
    script(path / "make", "")
    _, install = setup_r.plan(without(DEBIAN_R, "AER", "lmtest"))
    assert install.command[-3:] == ("r-base-core=4.2.2-1", "r-cran-aer", "r-cran-lmtest")
    assert "--no-remove" in install.command


def test_an_r_of_ones_own_gets_packages_from_cran_and_only_when_asked(path: Path) -> None:
    (step,) = setup_r.plan(without(OWN_R, "AER"))
    assert commands((step,)) == [f"/opt/R/bin/Rscript --vanilla {ROOT / 'r_scripts' / 'install.R'} AER"]
    assert not step.manual
    (step,) = setup_r.plan(without(OWN_R, "AER"), for_checkout=True)
    assert "its owner's to install" in step.manual


def test_condas_r_gets_packages_from_conda(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PREFIX", "/opt")
    (step,) = setup_r.plan(without(OWN_R, "AER", "sandwich"))
    assert commands((step,)) == ["conda install -y -c conda-forge r-aer r-sandwich"]


def test_an_ordinary_account_uses_sudo_or_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (step,) = setup_r.plan(None)
    assert step.command[:2] == ("apt-get", "install")
    assert step.manual == "this account is not root and has no sudo"
    script(path / "sudo", "")
    assert all(step.command[:2] == ("sudo", "-n") for step in setup_r.plan(None))


def test_without_apt_get_one_is_told(path: Path) -> None:
    (path / "apt-get").unlink()
    (step,) = setup_r.plan(None)
    assert "not Debian or Ubuntu" in step.manual


def test_debians_python_gets_venv(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in {"ensurepip", "pip"} else real(n))
    assert setup_r.plan(DEBIAN_R) == ()
    _, install, peers = setup_r.plan(DEBIAN_R, for_checkout=True)
    assert peers.optional
    assert f"python3.{sys.version_info.minor}-venv" in install.command
    assert not any(word.startswith("r-") for word in install.command)


def test_a_checkout_gets_rs_other_packages_once(path: Path) -> None:
    script(path / "dpkg-query", 'test "$4" = r-cran-gmm || echo installed')
    (step,) = setup_r.plan(DEBIAN_R, for_checkout=True)
    assert (step.command[-2:], step.optional) == (("--no-remove", "r-cran-gmm"), True)
    script(path / "dpkg-query", "echo installed")
    assert setup_r.plan(DEBIAN_R, for_checkout=True) == ()


@pytest.mark.parametrize(
    ("r", "rpy2", "fits"),
    [((4, 2, 2), "3.6.5", True), ((4, 2, 2), "3.6.6", False), ((4, 4, 3), "3.6.7", False), ((4, 5, 0), "3.6.7", True)],
)
def test_the_rpy2_follows_from_r(r: tuple[int, ...], rpy2: str, fits: bool) -> None:
    assert rfind.rpy2_fits(rpy2, r) is fits
    assert ("rpy2-rinterface==3.6.5" in rfind.rpy2_requirement(r)) is (r < (4, 5))


def test_r_is_reached_without_rpy2_where_pip_cannot_bring_it() -> None:
    (step,) = setup_r._rpy2_steps("/no/such/python", DEBIAN_R)
    assert step.optional
    assert "rpy2-rinterface==3.6.5" in step.command


def test_versions_compare_as_r_compares_them() -> None:
    assert rfind.version_tuple("1.2-10") > rfind.version_tuple("1.2-9")
    assert without(DEBIAN_R, "car").missing == ("car",)
    assert RFound("R", "/R", (4, 2, 2), {**rfind.R_PACKAGES, "AER": "1.2-8"}).missing == ("AER",)


def test_a_process_that_embeds_r_finds_rs_own_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The R command sets this path; without it an R outside the system's folders cannot load its packages."""
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert rfind.library_path("/opt/R") == {"LD_LIBRARY_PATH": "/opt/R/lib"}
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    assert rfind.library_path("/opt/R") == {"LD_LIBRARY_PATH": "/opt/R/lib:/mine"}
    with RWorker() as worker:
        home = worker.call("ivb_provenance").value["home"][0]
        environment = Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
    assert f"LD_LIBRARY_PATH={home}/lib:/mine" in environment


def test_setup_r_explains_and_installs_nothing(path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in ({"dry_run": True}, {"dry_run": True, "yes": True}, {}):
        assert setup_r.run(**arguments) == 2
        said = capsys.readouterr().out
        assert "apt-get install -y --no-install-recommends" in said
        assert "Nothing was installed" in said
    assert not (tmp_path / "apt.log").exists()


def test_setup_r_asks_a_terminal(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert setup_r.run() == 2
    assert not (tmp_path / "apt.log").exists()


def test_setup_r_runs_its_steps_when_told(path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """apt-get here installs nothing, so R is missing afterwards and the doctor's exit code says so."""
    assert setup_r.run(yes=True) == 1
    assert [line.split()[0] for line in (tmp_path / "apt.log").read_text().splitlines()] == ["update", "install"]


def test_a_failing_step_shows_its_output(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script(path / "apt-get", "echo Unable to locate package r-cran-aer; exit 100")
    assert setup_r.run(yes=True) == 1
    said = capsys.readouterr()
    assert "that failed, going on" in said.out  # the update, which may
    assert "Unable to locate package" in said.err
    assert "exit code 100" in said.err


def test_setup_r_with_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert setup_r.run() == 0
    assert "all there" in capsys.readouterr().out


def test_a_step_that_is_not_ours_to_run_is_refused() -> None:
    with pytest.raises(IvbridgeError, match=r"why was left to you: no\. Do this: false"):
        setup_r._perform(Step("why", ("false",), manual="no"))


def test_a_checkout_that_is_set_up_returns_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    aer = tmp_path / "AER"
    aer.mkdir()
    stamp = tmp_path / ".venv" / "ivbridge-setup.json"
    stamp.write_text(json.dumps([setup_r._stamp(tmp_path, list(setup_r.EXTRAS)), [str(aer)]]))
    monkeypatch.setattr(setup_r, "_install", lambda root, extras: pytest.fail("nothing is to be installed"))
    assert setup_r.main(["--checkout", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    aer.rmdir()
    with pytest.raises(pytest.fail.Exception, match="nothing is to be installed"):
        setup_r.main(["--checkout", str(tmp_path)])


@pytest.mark.parametrize("damaged", ["", "{", "[1]", "null"])
def test_a_damaged_stamp_counts_as_none(damaged: str, tmp_path: Path) -> None:
    (tmp_path / "stamp").write_text(damaged)
    assert setup_r._stamped(tmp_path / "stamp") == ({}, [])


@pytest.mark.parametrize("change", ["pyproject.toml", "constraints.txt", "the R", "the folder", "an extra"])
def test_the_stamp_notices(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
    before = setup_r._stamp(folders[0], ["dev"])
    assert setup_r._stamp(folders[0], ["dev"]) == before
    if change.endswith((".toml", ".txt")):
        with (folders[0] / change).open("a") as file:
            file.write("\n")
    if change == "the R":
        monkeypatch.setattr(setup_r, "find_r", lambda: None)
    extras = ["dev", "docs"] if change == "an extra" else ["dev"]
    assert setup_r._stamp(folders[change == "the folder"], extras) != before


def test_a_failure_leaves_no_stamp(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(setup_r, "_python_steps", lambda root, extras: None)
    script(path / "apt-get", "exit 100")
    assert setup_r.checkout(tmp_path) == 1
    assert "make setup: The command above failed" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(("rpy2", "stamped"), [("3.6.5 3.6.6", True), ("3.6.7 3.6.6", False), ("", False)])
def test_setup_without_the_right_rpy2_works_but_is_tried_again(
    rpy2: str, stamped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    # says which rpy2 there is; cannot install another one; as doctor finds nothing wrong
    says = f'case "$*" in *m.version*) echo {rpy2};; *"-m pip"*) exit 1;; esac'
    script(tmp_path / ".venv" / "bin" / "python", says)
    monkeypatch.setattr(setup_r, "_python_steps", lambda root, extras: None)
    monkeypatch.setattr(setup_r, "_current_r", lambda: DEBIAN_R)
    assert setup_r.checkout(tmp_path) == 0
    assert (tmp_path / ".venv" / "ivbridge-setup.json").exists() is stamped


def test_usage() -> None:
    assert setup_r.main([]) == 2
    assert setup_r.main(["--checkout"]) == 2


def test_setup_needs_the_standard_library_only() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import ivbridge.setup_r; print('imported')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "imported\n", done.stderr


def test_make_refuses_an_old_python(tmp_path: Path) -> None:
    """Every python3 on PATH is 3.10: make says what to install and stops."""
    for tool in ("make", "bash", "sh"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    script(tmp_path / "python3", 'case "$1" in --version) echo Python 3.10.12;; *) exit 1;; esac')
    done = subprocess.run(
        ["make", "SHELL=bash", "setup"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs Python 3.11 or newer; found: Python 3.10.12" in done.stdout
    assert "apt-get install python3.11" in done.stdout


def test_install_r_leaves_what_is_there_alone() -> None:
    rscript = shutil.which("Rscript") or ""
    command = [rscript, "--vanilla", str(ROOT / "r_scripts" / "install.R")]
    done = subprocess.run([*command, "AER", "sandwich"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "Nothing to install: AER, sandwich are there.\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Name the packages" in done.stderr


def test_torch_comes_without_cuda() -> None:
    step = setup_r._torch_step(ROOT, ("pip", "install"))
    assert step.optional  # without that index the checkout still gets a torch
    assert step.command[-1] == "torch==2.13.0+cpu"
    assert "https://download.pytorch.org/whl/cpu" in step.command
    assert "--no-deps" in step.command

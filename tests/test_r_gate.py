"""R, rpy2 or a package is missing or does not fit: one error class, the cause, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import stat
from pathlib import Path

import pytest

from ivbridge.engines import r_gate
from ivbridge.engines.process import RWorker
from ivbridge.errors import RNotAvailableError

FAULTS = Path(__file__).with_name("worker_faults.R")


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without R, and no R_HOME."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("R_HOME", raising=False)
    return folder


def call() -> None:
    with RWorker(scripts=[FAULTS], bridge="rpy2") as worker:
        worker.call("ivb_pid")


def fake_r(folder: Path, text: str) -> None:
    path = folder / "R"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_no_r(empty_path: Path) -> None:
    with pytest.raises(RNotAvailableError, match=r"R was not found.*ivbridge setup-r.*apt-get install"):
        call()


def test_wrong_r_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_HOME", str(tmp_path))
    with pytest.raises(RNotAvailableError, match=r"R_HOME is .*not an R.*unset R_HOME"):
        call()


def test_right_r_home_without_r_on_the_path(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    home = r_gate.r_home()
    monkeypatch.setenv("R_HOME", str(home))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert r_gate.r_home() == home
    call()


@pytest.mark.parametrize(
    ("text", "message"),
    [("echo broken >&2; exit 3", "exit 3.*broken"), ("echo /no/such/folder", "RHOME failed"), ("", "RHOME failed")],
)
def test_broken_r(empty_path: Path, text: str, message: str) -> None:
    fake_r(empty_path, text)
    with pytest.raises(RNotAvailableError, match=message):
        r_gate.r_home()


def test_r_without_its_base_package(tmp_path: Path) -> None:
    with pytest.raises(RNotAvailableError, match="incomplete"):
        r_gate.r_version(tmp_path)
    description = tmp_path / "library" / "base" / "DESCRIPTION"
    description.parent.mkdir(parents=True)
    description.write_text("Package: base\n")
    with pytest.raises(RNotAvailableError, match="names no version"):
        r_gate.r_version(tmp_path)
    description.write_text("Package: base\nVersion: 4.5.1\n")
    assert r_gate.r_version(tmp_path) == (4, 5, 1)


@pytest.mark.parametrize(
    ("rpy2", "r", "fits"),
    [
        ("3.6.7", (4, 2, 2), False),
        ("3.6.6", (4, 4, 3), False),
        ("3.6.5", (4, 2, 2), True),
        ("3.6.7", (4, 5, 0), True),
        (None, (4, 2, 2), True),
    ],
)
def test_version_gate(rpy2: str | None, r: tuple[int, ...], fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if rpy2 is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return rpy2

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(r_gate, "r_version", lambda home: r)
    if fits:
        r_gate.check_before_import()
    else:
        mend = r"R >= 4.5.*RPY2_CFFI_MODE=ABI pip install .*'rpy2-rinterface==3.6.5'"
        with pytest.raises(RNotAvailableError, match=mend):
            r_gate.check_before_import()


def test_no_rpy2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RNotAvailableError, match=r"rpy2-rinterface is not installed.*ivbridge setup-r.*pip install"):
        r_gate.check_before_import()


@pytest.mark.parametrize(
    "raising",
    [
        "ImportError('undefined symbol: R_ParentEnv')",
        "OSError('cannot load library libR.so')",
        "FileNotFoundError(2, 'bin/Rscript')",
        "ValueError('r_home is None')",
        "RuntimeError('Unable to determine R_HOME.')",
        "__import__('_cffi_backend').FFI.error('symbol not found')",
        "StopIteration()",
        "IndexError('list index out of range')",
    ],
)
def test_every_way_in_which_rpy2_fails_to_import(raising: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "rpy2" / "rinterface_lib"
    fake.mkdir(parents=True)
    (tmp_path / "rpy2" / "__init__.py").touch()
    (fake / "__init__.py").touch()
    (fake / "embedded.py").write_text(f"raise {raising}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    kind = raising.partition("(")[0] if "cffi" not in raising else "error"
    with pytest.raises(RNotAvailableError, match=rf"rpy2 cannot be used with R \d.*{kind}.*ivbridge setup-r"):
        call()


def test_python_that_ends_while_r_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "rpy2" / "rinterface_lib"
    fake.mkdir(parents=True)
    (tmp_path / "rpy2" / "__init__.py").touch()
    (fake / "__init__.py").touch()
    (fake / "embedded.py").write_text("import os\nos.write(2, b'libR gave up')\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RNotAvailableError, match=r"could not be started.*exit code 3.*libR gave up.*ivbridge doctor"):
        call()


def test_missing_r_package(tmp_path: Path) -> None:
    with RWorker(scripts=[FAULTS]) as worker:
        with pytest.raises(RNotAvailableError, match=r"package 'no.such.package' is not installed.*setup-r"):
            worker.call("ivb_library", package="no.such.package")
        assert worker.call("ivb_echo", x=1.5).value[0] == 1.5
    script = tmp_path / "needs.R"
    script.write_text("library(no.such.package)\n")
    with pytest.raises(RNotAvailableError, match=r"package 'no.such.package' is not installed"):
        RWorker(scripts=[script]).call("ivb_pid")

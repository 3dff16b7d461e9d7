"""Where a version of a package lies, and the environment in which a process finds it before any other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ivbridge
from ivbridge.errors import DataError, EngineError, UnsupportedError
from ivbridge.rfind import probe_r

__all__ = ["Place", "cache_folder", "first_on_path", "python_version", "r_library", "r_program"]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,80}[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.!+_-]{0,60}")
#: Seconds that pip may take, a build from source included.
PIP_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Place:
    """One version of a package.

    Attributes
    ----------
    label : str
        What tables call it: the version.
    environment : mapping of str to str
        Variables of a process that shall use it.
    folder : Path or None
        Where its Python source is; None for R.
    """

    label: str
    environment: Mapping[str, str]
    folder: Path | None = None


def cache_folder() -> Path:
    """Where versions are kept: ``IVBRIDGE_CACHE``, else ``XDG_CACHE_HOME/ivbridge`` or ``~/.cache/ivbridge``."""
    named = os.environ.get("IVBRIDGE_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ivbridge"


def python_version(package: str, version: str) -> Place:
    """A version of a Python package, installed by pip into a folder of its own the first time that it is asked for.

    Only the package itself is installed: what it depends on is that of this environment, so that nothing else differs.

    Parameters
    ----------
    package : str
        As pip names it.
    version : str
        A version, or a folder that holds the package (as ``pip install --target`` leaves it).

    Raises
    ------
    UnsupportedError
        If the name or the version is none, or pip cannot install it.
    EngineError
        If nothing can be written where versions are kept.
    """
    if Path(version).is_dir():
        folder = Path(version).resolve()
        return Place(folder.name, {"PYTHONPATH": first_on_path(folder)}, folder)
    if not _NAME.fullmatch(package) or not _VERSION.fullmatch(version):
        raise UnsupportedError(f"{package}=={version} is no version of a package and no folder.", do="give 7.0, say.")
    python = sysconfig.get_config_var("py_version_nodot")
    folder = cache_folder().resolve() / "versions" / f"{package}-{version}-py{python}"
    if not folder.is_dir():
        _install(f"{package}=={version}", folder)
    return Place(version, {"PYTHONPATH": first_on_path(folder)}, folder)


def first_on_path(folder: Path) -> str:
    """``PYTHONPATH`` with this folder in front, and this ivbridge behind it."""
    already = os.environ.get("PYTHONPATH")
    own = Path(ivbridge.__file__).resolve().parents[1]
    return os.pathsep.join([str(folder), str(own), *([already] if already else [])])


def _install(requirement: str, folder: Path) -> None:
    """Into a folder beside, which is renamed when it is whole: an interrupted pip leaves nothing that looks whole."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".pip-"))
    except OSError as error:
        do = "let IVBRIDGE_CACHE name a folder that can be written."
        raise EngineError(f"Versions cannot be kept in {folder.parent}: {error.strerror}.", do=do) from error
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
               "--no-deps", "--target", str(beside), requirement]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            why = (said or ["it does not say why"])[-1].removeprefix("ERROR: ")
            if "connection broken" in done.stderr:
                why += " (the package index cannot be reached)"
            raise UnsupportedError(f"pip cannot install {requirement}: {why}", do="look at it: " + " ".join(command))
        if not folder.is_dir():  # another process may have been faster
            beside.rename(folder)
    except subprocess.TimeoutExpired as error:
        raise UnsupportedError(f"pip took longer than {PIP_SECONDS} seconds to install {requirement}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def r_library(package: str, folder: str | Path) -> Place:
    """A folder of installed R packages that R shall look at first.

    Parameters
    ----------
    package : str
        Its version in that folder is the label.
    folder : path

    Raises
    ------
    DataError
        If the folder does not hold the package.
    """
    description = Path(folder) / package / "DESCRIPTION"
    if not description.is_file():
        raise DataError(
            f"{folder} holds no installed R package {package}.",
            do=f"""Rscript -e 'install.packages("{package}", lib = "{folder}")'""",
        )
    found = re.search(r"^Version: *(\S+)", description.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    already = os.environ.get("R_LIBS")
    libraries = [str(Path(folder).resolve()), *([already] if already else [])]
    return Place(found.group(1) if found else str(folder), {"R_LIBS": os.pathsep.join(libraries)})


def r_program(rscript: str | Path) -> Place:
    """An R of its own, given by its ``Rscript`` or ``R``; it is spoken to through Rscript, not through rpy2.

    Raises
    ------
    DataError
        If there is no such program.
    """
    program = Path(rscript)
    beside = program.with_name("R")
    if not program.is_file() or not beside.is_file():
        raise DataError(f"There is no R beside {rscript}.", do="give the path of an Rscript, such as /usr/bin/Rscript.")
    found = probe_r(str(beside))
    version = ".".join(map(str, found.version))
    path = os.pathsep.join([str(program.resolve().parent), os.environ.get("PATH", os.defpath)])
    return Place(version, {"R_HOME": found.home, "PATH": path, "IVBRIDGE_R_BRIDGE": "rscript"})

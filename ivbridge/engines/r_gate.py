"""Checks made before rpy2 is imported, and one error for the many ways in which that import fails.

Nothing here imports rpy2.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
from pathlib import Path

from ivbridge.errors import RNotAvailableError
from ivbridge.rfind import find_r, rpy2_fits, rpy2_requirement, version_tuple

__all__ = ["IMPORT_FAILURES", "check_before_import", "import_failure", "r_home", "r_version"]

SETUP = "run `ivbridge setup-r`"
APT = "sudo apt-get install --no-install-recommends r-base-core r-cran-aer make"

#: What importing rpy2 raises, depending on how R and rpy2 do not fit; `_cffi_backend.FFI.error` comes on top.
IMPORT_FAILURES = (ImportError, OSError, RuntimeError, ValueError, LookupError, AttributeError, StopIteration)


def r_home() -> Path:
    """R's home directory: ``R_HOME`` if set, otherwise what ``R RHOME`` says.

    Raises
    ------
    RNotAvailableError
        No R was found, or ``R_HOME`` is not an R.
    """
    named = os.environ.get("R_HOME")
    if named:
        if not (Path(named) / "library" / "base").is_dir():
            raise RNotAvailableError(f"The variable R_HOME is {named!r}, which is not an R.", do="unset R_HOME")
        return Path(named)
    executable = find_r()
    if executable is None:
        raise RNotAvailableError("R was not found: it is not on PATH and R_HOME is not set.", do=f"{SETUP}, or: {APT}")
    try:
        done = subprocess.run(
            [executable, "RHOME"], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RNotAvailableError(f"{executable} RHOME failed: {error}.", do="reinstall R") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines or not Path(lines[-1]).is_dir():
        said = (done.stderr or done.stdout).strip()[-300:]
        raise RNotAvailableError(f"{executable} RHOME failed (exit {done.returncode}): {said}", do="reinstall R")
    return Path(lines[-1])


def r_version(home: Path) -> tuple[int, ...]:
    """Version of the R at `home`, read from its base package without starting R."""
    description = home / "library" / "base" / "DESCRIPTION"
    try:
        found = re.search(r"^Version:\s*(\S+)", description.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError as error:
        raise RNotAvailableError(f"The R at {home} is incomplete: {error}.", do="reinstall R") from None
    if found is None:
        raise RNotAvailableError(f"{description} names no version.", do="reinstall R")
    return version_tuple(found[1])


def check_before_import() -> None:
    """Raise `RNotAvailableError` if rpy2 is missing, R is missing, or their versions do not fit."""
    version = r_version(r_home())
    mend = _install(version)
    if importlib.util.find_spec("rpy2") is None:
        raise RNotAvailableError("The Python package rpy2-rinterface is not installed.", do=mend)
    try:
        rpy2 = importlib.metadata.version("rpy2-rinterface")
    except importlib.metadata.PackageNotFoundError:  # rpy2 before 3.6 was one distribution
        return
    if not rpy2_fits(rpy2, version):
        shown = ".".join(map(str, version))
        raise RNotAvailableError(f"rpy2-rinterface {rpy2} needs R >= 4.5; R {shown} was found.", do=mend)


def import_failure(error: Exception) -> RNotAvailableError:
    """The error that says why rpy2 could not be imported and how to mend it."""
    home = r_home()
    version = r_version(home)
    shown = ".".join(map(str, version))
    cause = f"{type(error).__name__}: {error}".strip()
    return RNotAvailableError(f"rpy2 cannot be used with R {shown} at {home}: {cause}.", do=_install(version))


def _install(version: tuple[int, ...]) -> str:
    wanted = " ".join(f"'{one}'" for one in rpy2_requirement(version))
    return f"{SETUP}, or: RPY2_CFFI_MODE=ABI pip install --force-reinstall --no-cache-dir {wanted}"

"""Which R there is: where it lies, its version, its packages, and which rpy2 goes with it.

Standard library only, because ``make setup`` runs this before any environment exists.

The version of rpy2 follows from the version of R: rpy2-rinterface 3.6.6 and later call functions that R has only
since 4.5, so with an older R they install without complaint and then cannot be imported.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ivbridge.errors import RNotAvailableError

__all__ = [
    "R_MINIMUM",
    "R_PACKAGES",
    "R_SELECTION",
    "RFound",
    "find_r",
    "library_path",
    "output_of",
    "probe_r",
    "rpy2_fits",
    "rpy2_requirement",
    "rpy2_version",
    "version_tuple",
]

#: R packages that the R engine loads, with the lowest version that has every function it calls.
R_PACKAGES = {
    "AER": "1.2-9", "sandwich": "3.0-1", "lmtest": "0.9-39", "car": "3.0-12", "jsonlite": "1.7", "glmnet": "4.1",
}  # fmt: skip
#: Those that only LASSO selection needs.
R_SELECTION = frozenset({"glmnet"})
R_MINIMUM = (4, 1)
RPY2_BEFORE_R45 = ("rpy2-rinterface==3.6.5", "rpy2-robjects==3.6.6")
RPY2_SINCE_R45 = ("rpy2-rinterface>=3.6.6", "rpy2-robjects>=3.6.6")

_PROBE = """
say <- function(...) cat(..., "\\n", sep = "\\t")
say("home", R.home()); say("version", as.character(getRversion()))
say("blas", tryCatch(extSoftVersion()[["BLAS"]], error = function(e) "unknown"))
say("attached", sub("^package:", "", grep("^package:", search(), value = TRUE)))
version <- function(p) suppressWarnings(utils::packageDescription(p, fields = "Version"))
for (p in commandArgs(TRUE)) say("package", p, version(p), system.file(package = p))
"""
_QUIET_R = {"R_PROFILE_USER": os.devnull, "R_ENVIRON_USER": os.devnull}


@dataclass(frozen=True)
class RFound:
    """An R installation as ``Rscript --vanilla`` describes it.

    ``packages`` maps the names of :data:`R_PACKAGES` (and any other asked for) to installed versions; a missing
    package has no entry. ``folders`` are theirs. ``debian`` is the version of Debian's r-base-core when R came from
    there, else empty.
    """

    executable: str
    home: str
    version: tuple[int, ...]
    packages: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    blas: str = "unknown"
    debian: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Needed packages that are absent or too old."""
        have = {name: version_tuple(text) for name, text in self.packages.items()}
        return tuple(p for p, least in R_PACKAGES.items() if have.get(p, ()) < version_tuple(least))


def version_tuple(text: str) -> tuple[int, ...]:
    """Numbers of a version text, for comparing: ``"1.2-10"`` gives ``(1, 2, 10)``."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def rpy2_requirement(r_version: tuple[int, ...]) -> tuple[str, ...]:
    """Requirements, as pip reads them, of the rpy2 that works with this version of R."""
    return RPY2_SINCE_R45 if r_version >= (4, 5) else RPY2_BEFORE_R45


def rpy2_fits(rpy2: str, r_version: tuple[int, ...]) -> bool:
    """Whether rpy2-rinterface of this version can be imported with this version of R."""
    return r_version >= (4, 5) or version_tuple(rpy2) <= (3, 6, 5)


def rpy2_version() -> str:
    """Version of the installed rpy2-rinterface, or of rpy2 before 3.6, which was one package; empty without either."""
    for package in ("rpy2-rinterface", "rpy2"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(package)
    return ""


def library_path(home: str) -> dict[str, str]:
    """Environment in which R's own shared libraries are found.

    The ``R`` command sets this before it starts R; a process that embeds R has to do it itself. Without it an R whose
    libraries the system's loader does not know (CRAN's, or built from source) cannot load its packages.
    """
    already = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": os.pathsep.join([str(Path(home) / "lib"), *([already] if already else [])])}


def find_r() -> str | None:
    """Path of the R in ``R_HOME``, which rpy2 takes first, else of the one on ``PATH``, else None."""
    home = os.environ.get("R_HOME")
    return (shutil.which("R", path=str(Path(home) / "bin")) if home else None) or shutil.which("R")


def probe_r(executable: str, *, timeout: float = 60.0) -> RFound:
    """Ask an R for its home, version, packages, BLAS and attached packages, in one ``Rscript --vanilla`` call.

    Raises
    ------
    RNotAvailableError
        If Rscript is missing, fails, does not answer within `timeout` seconds or answers something else.
    """
    rscript = shutil.which("Rscript", path=str(Path(executable).parent)) or shutil.which("Rscript")
    if rscript is None:
        raise RNotAvailableError(f"R is at {executable}, but there is no Rscript beside it.", do="reinstall R.")
    command = [rscript, "--vanilla", "-e", _PROBE, *R_PACKAGES]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            env={**os.environ, **_QUIET_R, "LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RNotAvailableError(
            f"{rscript} did not answer within {timeout:g} s.", do=f"try {rscript} --vanilla -e 1"
        ) from None
    except OSError as error:
        raise RNotAvailableError(f"{rscript} cannot be started: {error}.", do="reinstall R.") from None
    rows = [line.rstrip("\t").split("\t") for line in done.stdout.splitlines()]
    one = {row[0]: row[1] for row in rows if len(row) == 2}
    if done.returncode != 0 or not {"home", "version"} <= set(one):
        said = (done.stderr or done.stdout).strip()[-300:]
        raise RNotAvailableError(
            f"{rscript} --vanilla failed (exit {done.returncode}): {said}", do=f"try {rscript} --vanilla -e 1"
        )
    return RFound(
        executable=executable,
        home=one["home"],
        version=version_tuple(one["version"]),
        packages={row[1]: row[2] for row in rows if row[0] == "package" and row[2] != "NA"},
        folders=tuple(row[3] for row in rows if row[0] == "package" and len(row) == 4),
        attached=next((tuple(row[1:]) for row in rows if row[0] == "attached"), ()),
        blas=one.get("blas", "unknown"),
        debian=_debian_version(executable),
    )


def _debian_version(executable: str) -> str:
    """Version of Debian's r-base-core if it owns this R, else an empty text."""
    if shutil.which("dpkg-query") is None:
        return ""
    owner = output_of("dpkg-query", "-S", os.path.realpath(executable))
    return output_of("dpkg-query", "-W", "-f", "${Version}", "r-base-core") if owner.startswith("r-base-core") else ""


def output_of(*command: str) -> str:
    """Standard output of a short command; empty if it fails or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

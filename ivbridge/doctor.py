"""``ivbridge doctor``: everything that the main job needs, what is there, and the command that mends what is not.

:func:`checks` looks; each row is a :class:`Check`. Whatever can crash (Python packages that bind R, R itself) is tried
in a process of its own, so that each of the many ways in which rpy2 fails to import ends up as one readable row.
"""

from __future__ import annotations

import importlib.metadata
import json as json_module
import locale
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ivbridge import rfind, setup_r
from ivbridge.errors import IvbridgeError, RNotAvailableError
from ivbridge.threads import blas_text

if TYPE_CHECKING:
    from ivbridge.engines.process import RWorker

__all__ = [
    "PYTHON_FILES",
    "PYTHON_MINIMUM",
    "PYTHON_PACKAGES",
    "PYTHON_SELECTION",
    "Check",
    "checks",
    "main",
    "run",
    "table",
]

PYTHON_MINIMUM = (3, 11)
#: Python packages of the main job; the same lower bounds as in pyproject.toml (a test compares them).
PYTHON_PACKAGES = {
    "numpy": "2.0", "pandas": "2.2.3", "scipy": "1.13", "threadpoolctl": "3.8", "linearmodels": "7.1", "jinja2": "3.1",
    "typer": "0.15", "rich": "13.8",
}  # fmt: skip
#: Python packages that only some file formats need.
PYTHON_FILES = {"pyarrow": "16", "rdata": "1.1"}
#: Python packages that LASSO selection and charts need.
PYTHON_SELECTION = {"glmstar": "0.6", "scikit-learn": "1.5", "matplotlib": "3.9"}
#: Packages that install a module of glmstar's name over it; pip does not notice.
SAME_MODULE = ("python-glmnet", "glmnet")

Status = Literal["ok", "missing", "incompatible", "warning"]


@dataclass(frozen=True, slots=True)
class Check:
    """One row: what was looked at, how it stands, what was found and needed, and the command that mends it.

    ``required`` tells whether the main job (one question through R and Python) stops when the row is missing or
    incompatible.
    """

    name: str
    status: Status
    found: str
    needed: str = ""
    mend: str = ""
    required: bool = False

    @property
    def stops(self) -> bool:
        """Whether the main job cannot run because of this row."""
        return self.required and self.status in {"missing", "incompatible"}


def checks() -> tuple[Check, ...]:
    """Look at everything: Python, R, what connects them, and the surroundings that change R's answers.

    Returns
    -------
    tuple of Check
        In the order in which a reader should mend them. Nothing is installed or changed.
    """
    rows = [*_python_rows(), _numpy_blas_row(), *_r_home_rows()]
    found: rfind.RFound | None = None
    executable = rfind.find_r()
    if executable is None:
        rows.append(Check("R", "missing", "no R on PATH, none in R_HOME", _r_needed(), _install_command(None), True))
    else:
        try:
            found = rfind.probe_r(executable)
        except RNotAvailableError as error:
            rows.append(Check("R", "incompatible", error.message, _r_needed(), error.do, True))
    if found is not None:
        rows += [*_r_rows(found), *_rpy2_rows(found)]
        if not any(row.stops for row in rows):
            (rpy2,) = (row for row in rows if row.name == "rpy2-rinterface")
            rows += _worker_rows(rpy2.mend)
    return (*rows, _locale_row(), *_startup_rows())


def _r_needed() -> str:
    return ">= " + ".".join(map(str, rfind.R_MINIMUM))


def _install_command(found: rfind.RFound | None) -> str:
    """What `ivbridge setup-r` would run; its own name where that is not one command."""
    steps = [step for step in setup_r.plan(found) if not step.optional]
    return shlex.join(steps[0].command) if len(steps) == 1 else "ivbridge setup-r --yes"


def _pip_install(*requirements: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _python_rows() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    status: Status = "ok" if sys.version_info[:2] >= PYTHON_MINIMUM else "incompatible"
    needed = ".".join(map(str, PYTHON_MINIMUM))
    mend = "" if status == "ok" else f"make a virtual environment with python{needed} or newer"
    yield Check("Python", status, f"{version} at {sys.executable}", f">= {needed}", mend, True)
    for package, least in (PYTHON_PACKAGES | PYTHON_FILES | PYTHON_SELECTION).items():
        yield _python_package(package, least, required=package in PYTHON_PACKAGES)
    if others := [name for name in SAME_MODULE if _installed(name)]:
        remove = shlex.join([sys.executable, "-m", "pip", "uninstall", "-y", *others, "glmstar"])
        mend = f"{remove} && {_pip_install('glmstar>=0.6,<0.7')}"
        yield Check("Python module glmnet", "incompatible", f"from {', '.join(others)}", "glmstar's alone", mend)


def _python_package(package: str, least: str, *, required: bool) -> Check:
    found = _installed(package)
    late_enough = rfind.version_tuple(found) >= rfind.version_tuple(least)
    status: Status = "missing" if not found else "ok" if late_enough else "incompatible"
    needed = f">= {least}" if required else f">= {least}, optional"
    mend = "" if status == "ok" else _pip_install(f"{package}>={least}")
    return Check(f"Python package {package}", status, found or "not installed", needed, mend, required)


def _numpy_blas_row() -> Check:
    try:
        found = blas_text()
    except ImportError as error:
        return Check("BLAS of numpy", "missing", str(error).partition("\n")[0], "", _pip_install("numpy>=2.0"), True)
    return Check("BLAS of numpy", "ok", f"{found}, threads: 1")


def _r_rows(found: rfind.RFound) -> Iterator[Check]:
    version = ".".join(map(str, found.version))
    new_enough = found.version >= rfind.R_MINIMUM
    mend = "" if new_enough else "install a newer R: https://cran.r-project.org"
    status: Status = "ok" if new_enough else "incompatible"
    yield Check("R", status, f"{version} at {found.home}", _r_needed(), mend, True)
    for package, least in rfind.R_PACKAGES.items():
        have = found.packages.get(package, "")
        short: Status = "incompatible" if have else "missing"
        status = short if package in found.missing else "ok"
        mend = "" if status == "ok" else _install_command(found)
        needed = f">= {least}, for LASSO selection" if package in rfind.R_SELECTION else f">= {least}"
        required = package not in rfind.R_SELECTION
        yield Check(f"R package {package}", status, have or "not installed", needed, mend, required)
    yield Check("BLAS of R", "ok", f"{found.blas or 'unknown'}, threads: 1")
    if {"AER", "ivreg"} <= set(found.attached):
        yield Check("AER beside ivreg", "warning", "R attaches both by itself (R_DEFAULT_PACKAGES)",
                    "one of them: both define class ivreg", "unset R_DEFAULT_PACKAGES")  # fmt: skip


_IMPORT = """
import importlib.util
import rpy2.rinterface
mode = "API" if importlib.util.find_spec("_rinterface_cffi_api") else "ABI"
print("rpy2 works", rpy2.rinterface.__name__, mode)
"""


def _rpy2_rows(found: rfind.RFound) -> Iterator[Check]:
    """Version against R's version first; only a suitable one is imported. Rscript takes its place where it fails."""
    wanted = rfind.rpy2_requirement(found.version)
    mend = f"RPY2_CFFI_MODE=ABI {_pip_install('--no-cache-dir', *wanted)}"
    have = _installed("rpy2-rinterface") or _installed("rpy2")
    needed = "<= 3.6.5 with R before 4.5" if found.version < (4, 5) else ">= 3.6"
    if not have:
        yield Check("rpy2-rinterface", "missing", "not installed", needed, mend)
    elif not rfind.rpy2_fits(have, found.version):
        said = f"{have}: 3.6.6 and later need R >= 4.5"
        yield Check("rpy2-rinterface", "incompatible", said, needed, mend)
    else:
        ok, said = _try_import(found.home)
        status: Status = "ok" if ok else "incompatible"
        yield Check("rpy2-rinterface", status, f"{have}, {said}", needed, "" if ok else mend)


def _try_import(home: str) -> tuple[bool, str]:
    """Import rpy2 in a process of its own: whether it worked, and its mode or the last line that it said."""
    quiet = {"R_PROFILE_USER": os.devnull, "R_ENVIRON_USER": os.devnull, "R_HOME": home}
    env = {**os.environ, **quiet, **rfind.library_path(home)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT], capture_output=True, text=True, errors="replace", timeout=120,
            check=False, env=env, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False, "import did not end within 120 s"
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines and lines[-1].startswith("rpy2 works"):
        return True, f"{lines[-1].split()[-1]} mode"
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return False, f"cannot be imported: {said[:200]}"


def _worker_rows(rpy2_mend: str) -> Iterator[Check]:
    """Start the R process that every question uses, let it load AER, and ask it what it runs; then the other bridge."""
    from ivbridge.engines.limits import timeout_now
    from ivbridge.engines.process import RWorker

    name, needed = "R process of ivbridge", "loads AER, not ivreg"
    try:
        timeout_now()
        with RWorker(timeout=120.0) as worker:
            said = worker.call("ivb_provenance").value
    except IvbridgeError as error:
        mend = error.do or "Rscript --vanilla -e 'library(AER)'"
        yield Check(name, "incompatible", error.message, needed, mend, True)
        return
    if bool(said["clash"][0]):
        mend = "Rscript -e 'remove.packages(\"ivreg\")'"
        yield Check(name, "incompatible", "AER and ivreg are both loaded", needed, mend, True)
        return
    yield Check(name, "ok", f"R {said['r'][0]} answered, {said['locale'][0]}", needed, "", True)
    yield _bridge_row(worker, rpy2_mend)


def _bridge_row(worker: RWorker, rpy2_mend: str) -> Check:
    """Which bridge R was reached through, and where that is rpy2, whether Rscript would do in its place."""
    from ivbridge.engines.process import RWorker

    name, needed = "bridge to R", "rpy2 or Rscript"
    if worker.no_rpy2:
        said = "Rscript, since rpy2 cannot be loaded: the same answers, large data go slower"
        return Check(name, "warning", said, needed, rpy2_mend)
    if worker.bridge == "rscript":
        return Check(name, "ok", "Rscript, as IVBRIDGE_R_BRIDGE says", needed)
    try:
        with RWorker(scripts=(), timeout=60.0, bridge="rscript") as other:
            other.call("ivb_provenance")
    except IvbridgeError as error:
        return Check(name, "warning", f"{worker.connection}; Rscript fails: {error.message}", needed, error.do)
    return Check(name, "ok", f"{worker.connection}; Rscript works too", needed)


def _locale_row() -> Check:
    name = next((os.environ[v] for v in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(v)), "C")
    needed, mend = "UTF-8", "export LC_ALL=C.UTF-8"
    if not re.search(r"utf-?8", name, flags=re.IGNORECASE):
        said = f"{name}: R elsewhere sorts levels differently, misreads names"
        return Check("locale", "warning", said, needed, mend)
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        return Check("locale", "warning", f"{name} is asked for but not installed here", needed, mend)
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return Check("locale", "ok", name, needed)


def _r_home_rows() -> Iterator[Check]:
    home = os.environ.get("R_HOME")
    if not home:
        return
    on_path = shutil.which("R")
    other = rfind.output_of(on_path, "RHOME").rpartition("\n")[2] if on_path else ""
    needed = f"unset, or {other}" if other else "unset"
    if shutil.which("R", path=str(Path(home) / "bin")) is None:
        yield Check("R_HOME", "incompatible", f"{home} holds no R", needed, "unset R_HOME", True)
    elif other and Path(home).resolve() != Path(other).resolve():
        yield Check("R_HOME", "warning", f"{home} is used, the R on PATH is {other}", needed, "unset R_HOME")
    else:
        yield Check("R_HOME", "ok", home)


def _startup_rows() -> Iterator[Check]:
    """Files that R reads by itself when a session starts; ivbridge's R process does not."""
    for folder in dict.fromkeys((Path.cwd(), Path.home())):
        for name in (".Rprofile", ".RData", ".Renviron"):
            path = folder / name
            if path.is_file():
                said = f"{path}: ivbridge ignores it, your own R sessions load it"
                both = name == ".Rprofile" and re.search(r"\bivreg\b", path.read_text(errors="replace"))
                said += "; it names ivreg, which masks AER's methods" if both else ""
                quoted = shlex.quote(str(path))
                yield Check("R start-up file", "warning", said, "none", f"mv {quoted} {quoted}.aside")


def table(rows: tuple[Check, ...], *, brief: bool = False) -> str:
    """Plain-text table, one row a check and the mending command below each row that is not ok.

    Parameters
    ----------
    rows : tuple of Check
    brief : bool, default False
        Leave out the rows that are ok.
    """
    shown = [row for row in rows if not brief or row.status != "ok"]
    widths = [max((len(getattr(row, part)) for row in shown), default=0) for part in ("name", "status")]
    lines = []
    for row in shown:
        needed = f"  (needed: {row.needed})" if row.needed else ""
        lines.append(f"{row.name.ljust(widths[0])}  {row.status.ljust(widths[1])}  {row.found}{needed}")
        if row.status != "ok" and row.mend:
            lines.append(f"{' ' * widths[0]}  to mend: {row.mend}")
    stopped = [row.name for row in rows if row.stops]
    verdict = f"The main job cannot run: {', '.join(stopped)}." if stopped else "R and Python are both ready."
    return "\n".join([*lines, *([""] if lines else []), verdict])


def run(*, json: bool = False, brief: bool = False) -> int:
    """``ivbridge doctor``: print the table (or one JSON object) and return the exit code.

    Parameters
    ----------
    json : bool, default False
        Print ``{"ready": …, "checks": [{"name", "status", "found", "needed", "mend", "required"}, …]}``.
    brief : bool, default False
        Leave out the rows that are ok.

    Returns
    -------
    int
        0 when one question can go through R and Python, 1 when it cannot. Warnings do not count.
    """
    rows = checks()
    ready = not any(row.stops for row in rows)
    if json:
        print(json_module.dumps({"ready": ready, "checks": [asdict(row) for row in rows]}, indent=2))
    else:
        print(table(rows, brief=brief))
    return 0 if ready else 1


def main(arguments: list[str]) -> int:
    """``python -m ivbridge.doctor``: the same without the command line's packages, which may be what is missing.

    Parameters
    ----------
    arguments : list of str
        Any of ``--json`` and ``--brief``.
    """
    return run(json="--json" in arguments, brief="--brief" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

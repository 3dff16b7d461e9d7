"""Releases of rpy2 tried against an R, each in an environment of its own, and what each has to do.

    python tests/version_cases.py OUT.json

tries every release against the R on PATH. Standard library only, so that it runs in a root that has nothing else; the
environments come and go in a temporary folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from ivbridge.rfind import find_r, probe_r, rpy2_fits  # noqa: E402

#: rpy2 before 3.6 was one package; since then ivbridge needs its part rpy2-rinterface only.
RPY2 = ("3.5.17", "3.6.0", "3.6.1", "3.6.2", "3.6.3", "3.6.4", "3.6.5", "3.6.6", "3.6.7")
#: Rows of the table without an rpy2.
NONE = "none"
#: Debian releases whose R is tried besides the one that is here.
SUITES = ("trixie", "testing")
FIELDS = ("r", "python", "rpy2", "mode", "loads", "said", "bridge", "verdict", "numbers", "bits")

#: Whether rpy2 by itself can be loaded and reckon; ivbridge is not involved.
_LOADS = """
import importlib.util
import rpy2.rinterface as r
r.initr()
assert list(r.baseenv["sum"](r.IntSexpVector([1, 1]))) == [2]
print("API" if importlib.util.find_spec("_rinterface_cffi_api") else "ABI")
"""
#: The demand for cigarettes by 2SLS and LIML through R and Python; what R answered, bit by bit.
_CHECK = """
import hashlib, json
import ivbridge
found, verdicts, numbers = hashlib.sha256(), set(), 0
for method in ("2sls", "liml"):
    question = ("log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + I(tax / cpi)",
                ivbridge.load("cigarettes_sw"), ["classical", "HC1", "cluster(state)", "nw(4, prewhite=0)"])
    check = ivbridge.crosscheck(*question, method=method)
    check.assert_ok()
    verdicts.add(check.verdict)
    numbers += len(check.gaps)
    for one in check.comparisons:
        for part in (one.reference.coefs.estimate, one.reference.cov, one.reference.residuals):
            found.update(part.tobytes())
    bridge = check.provenance[0].versions["bridge"]
print(json.dumps({"bridge": bridge, "verdict": ", ".join(sorted(verdicts)), "numbers": numbers,
                  "bits": found.hexdigest()[:16]}))
"""


def expected(rpy2: str, r: str) -> bool:
    """Whether ivbridge takes this rpy2 with this R, rather than Rscript."""
    return rpy2 != NONE and rpy2_fits(rpy2, tuple(map(int, r.split("."))))


def cells(releases: tuple[str, ...] = RPY2) -> list[dict[str, Any]]:
    """Try releases of rpy2 against the R that is found; one row each, and one for Rscript alone."""
    executable = find_r()
    assert executable is not None, "no R on PATH"
    r = ".".join(map(str, probe_r(executable).version))
    with tempfile.TemporaryDirectory(prefix="ivbridge-versions-") as folder:
        base = _environment(Path(folder) / "base")
        _run("installing ivbridge", base, "-m", "pip", "install", "--quiet", str(ROOT))
        return [_cell(r, release, base, Path(folder)) for release in (NONE, *releases)]


def _cell(r: str, release: str, base: str, folder: Path) -> dict[str, Any]:
    python = base
    if release != NONE:
        python = _environment(folder / release, without_pip=True)
        package = f"rpy2=={release}" if release.startswith("3.5.") else f"rpy2-rinterface=={release}"
        options = ("--quiet", "--no-cache-dir", "--no-deps")
        _run(f"installing {package}", base, "-m", "pip", "--python", python, "install", *options, package, "cffi")
        site = _run("", python, "-c", "import site; print(site.getsitepackages()[0])")
        shared = _run("", base, "-c", "import site; print(site.getsitepackages()[0])")
        (Path(site) / "base.pth").write_text(shared)
    loading = _try(python, _LOADS) if release != NONE else None
    loads = loading is not None and loading.returncode == 0
    failure = "" if loading is None or loads else (loading.stderr.strip().splitlines() or ["it crashed"])[-1]
    checked = json.loads(_run(f"a check with rpy2 {release}", python, "-c", _CHECK).splitlines()[-1])
    version = _run("", python, "-c", "import platform; print(platform.python_version())")
    mode = loading.stdout.split()[-1] if loading is not None and loads else ""
    print(f"R {r}, Python {version}, rpy2 {release}: {checked['bridge']}, {checked['verdict']}", flush=True)
    return {"r": r, "python": version, "rpy2": release, "mode": mode, "loads": loads, "said": failure, **checked}


def _environment(folder: Path, *, without_pip: bool = False) -> str:
    """A virtual environment; its Python."""
    flags = ("--without-pip",) if without_pip else ()
    _run("making an environment", getattr(sys, "_base_executable", sys.executable), "-m", "venv", *flags, str(folder))
    return str(folder / "bin" / "python")


def _try(python: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", code], env=_clean(), capture_output=True, text=True, timeout=600, check=False)


def _run(what: str, *command: str) -> str:
    """Output of a command that has to work."""
    done = subprocess.run(command, env=_clean(), capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise SystemExit(f"{what} failed: {shown(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout.strip()


def shown(command: tuple[str, ...]) -> str:
    """The command without long code."""
    return " ".join(part if len(part) < 100 else "…" for part in command)


def _clean() -> dict[str, str]:
    """The environment without what would choose another R, bridge or module."""
    unwanted = {"R_HOME", "IVBRIDGE_R_BRIDGE", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "RPY2_CFFI_MODE": "ABI", "LC_ALL": "C.UTF-8"}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(cells(), indent=1))

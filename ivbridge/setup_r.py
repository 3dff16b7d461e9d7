"""Install what the R engine needs: the plan behind ``make setup`` and ``ivbridge setup-r``.

Standard library only, because ``make setup`` runs this module with the system's Python before any environment exists.

Three rules. An R that is already there is never upgraded, removed or replaced. Nothing is installed silently: each
step is a sentence and the exact command. Where this account may not install, the command is printed instead.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivbridge.errors import IvbridgeError
from ivbridge.resources import scripts_dir
from ivbridge.rfind import RFound, find_r, output_of, probe_r, rpy2_fits, rpy2_requirement

__all__ = ["Step", "checkout", "main", "plan", "run"]

#: Extras of pyproject.toml that the checkout's environment always has.
EXTRAS = (
    "causal", "dev", "diagrams", "doubleml", "econml", "files", "glmnet", "peers", "plots", "ports", "scale", "sklearn",
    "torch",
)  # fmt: skip
_DEBIAN = ("r-cran-aer", "r-cran-sandwich", "r-cran-lmtest", "r-cran-car", "r-cran-jsonlite", "r-cran-glmnet")
#: What the checkout has besides: R's peer engines and causal methods, and what renders an R Markdown report.
_DEBIAN_CHECKOUT = (
    "r-cran-clubsandwich", "r-cran-coin", "r-cran-estimatr", "r-cran-gmm", "r-cran-matching", "r-cran-matchit",
    "r-cran-plm", "r-cran-ranger", "r-cran-sem", "r-cran-survey", "r-cran-systemfit", "r-cran-knitr",
    "r-cran-reticulate",
    "r-cran-rmarkdown", "pandoc",
)  # fmt: skip


#: Prints the version of torch where it is installed.
_TORCH = "from importlib.metadata import version; print(version('torch'))"


@dataclass(frozen=True)
class Step:
    """One thing to do: a sentence, the command, and whether it may fail without harm (``optional``).

    ``manual`` says why the command is only printed; empty when it can be run here.
    """

    why: str
    command: tuple[str, ...]
    optional: bool = False
    manual: str = ""


def plan(found: RFound | None, *, for_checkout: bool = False) -> tuple[Step, ...]:
    """Steps that bring R and its packages; nothing is run.

    The steps for rpy2 are not among them: they follow from the version of R once it is there.

    Parameters
    ----------
    found : RFound or None
        The R that :func:`ivbridge.rfind.probe_r` described; None if there is none.
    for_checkout : bool, default False
        As ``make setup`` does: add what Debian's Python lacks for a virtual environment, and leave an R that did not
        come from Debian's archive wholly to its owner (its missing packages become a printed command).
    """
    debian: list[str] = []
    if found is None:
        debian += ["r-base-core", *_DEBIAN]
    elif found.missing and found.debian:
        debian += [f"r-base-core={found.debian}", *(f"r-cran-{p.lower()}" for p in found.missing)]
    if debian and shutil.which("make") is None:
        debian.append("make")
    if for_checkout and importlib.util.find_spec("ensurepip") is None and importlib.util.find_spec("pip") is None:
        debian.append(f"python3.{sys.version_info.minor}-venv")
    steps = _debian_steps(tuple(debian)) if debian else ()
    if for_checkout and (found is None or found.debian):
        steps += _peer_steps()
    if found is not None and found.missing and not found.debian:
        mine = "this R did not come from Debian, so its packages are its owner's to install"
        steps = (*steps, dataclasses.replace(_cran_step(found), manual=mine if for_checkout else ""))
    return steps


def _peer_steps() -> tuple[Step, ...]:
    """The packages of :data:`_DEBIAN_CHECKOUT` that are missing; everything else works without them."""
    status = ("dpkg-query", "-W", "-f", "${db:Status-Status}")
    wanted = list(_DEBIAN_CHECKOUT)
    if Path(sys.executable).resolve().parent == Path("/usr/bin"):  # Debian's Python, whose library reticulate loads
        wanted.append(f"libpython3.{sys.version_info.minor}")
    missing = [name for name in wanted if output_of(*status, name) != "installed"]
    if not missing or shutil.which("apt-get") is None:
        return ()
    why = "Installing R's other IV packages, those of causal methods, and R Markdown, for the tests"
    return tuple(dataclasses.replace(step, why=why, optional=True) for step in _debian_steps(tuple(missing))[-1:])


def _debian_steps(packages: tuple[str, ...]) -> tuple[Step, ...]:
    install = ("apt-get", "install", "-y", "--no-install-recommends", "--no-remove", *packages)
    brings_r = "r-base-core" in packages
    what = "R and the R packages" if brings_r else "the missing packages"
    if shutil.which("apt-get") is None:
        other = (
            "install R >= 4.1 as your system does it (dnf install R-core; brew install r; conda install r-aer), then"
        )
        manual = f"this is not Debian or Ubuntu; {other} run the command again"
        return (Step(f"Installing {what}", ("ivbridge", "setup-r", "--yes"), manual=manual),)
    sudo = () if os.geteuid() == 0 else ("sudo",) if sys.stdin.isatty() else ("sudo", "-n")
    if sudo and shutil.which("sudo") is None:
        return (Step(f"Installing {what}", install, manual="this account is not root and has no sudo"),)
    prefix = (*sudo, "env", "DEBIAN_FRONTEND=noninteractive")
    size = " (some 200 MB to download)" if brings_r else ""
    return (
        Step("Refreshing Debian's package lists", (*prefix, "apt-get", "update"), optional=True),
        Step(f"Installing {what} with apt-get, without recommended extras{size}", (*prefix, *install)),
    )


def _cran_step(found: RFound) -> Step:
    """R did not come from Debian, so its packages must not either."""
    names = ", ".join(found.missing)
    why = f"Installing {names} into the R at {found.home}"
    conda = os.environ.get("CONDA_PREFIX")
    if conda and found.home.startswith(conda):
        return Step(why, ("conda", "install", "-y", "-c", "conda-forge", *(f"r-{p.lower()}" for p in found.missing)))
    rscript = str(Path(found.executable).with_name("Rscript"))
    return Step(why, (rscript, "--vanilla", str(scripts_dir() / "install.R"), *found.missing))


def _rpy2_steps(python: str, found: RFound) -> tuple[Step, ...]:
    """Install the rpy2 for this R, unless the environment of `python` already has a suitable one.

    It may fail: R is then reached through Rscript.
    """
    ask = "import importlib.metadata as m; print(m.version('rpy2-rinterface'), m.version('rpy2-robjects'))"
    have = output_of(python, "-c", ask).split()
    if have and rpy2_fits(have[0], found.version):
        return ()
    wanted = rpy2_requirement(found.version)
    version = ".".join(map(str, found.version))
    command = ("env", f"RPY2_CFFI_MODE={os.environ.get('RPY2_CFFI_MODE', 'ABI')}", python, "-m", "pip", "install")
    why = f"Installing the rpy2 that works with R {version}"
    return (Step(why, (*command, "--no-cache-dir", "--quiet", *wanted), optional=True),)


def _perform(step: Step) -> None:
    """Say a step, run it, and show its output only if it fails."""
    if step.manual and step.optional:
        print(f"  {step.why}: left to you, {step.manual}:\n      {' '.join(step.command)}", flush=True)
        return
    if step.manual:
        raise IvbridgeError(f"{step.why} was left to you: {step.manual}.", do=" ".join(step.command))
    print(f"  {step.why}:\n      {' '.join(step.command)}", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        try:
            code = subprocess.run(step.command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        except OSError as error:
            raise IvbridgeError(f"{step.command[0]} cannot be started: {error}.") from None
        log.seek(0)
        said = log.read().decode(errors="replace")
    if code and not step.optional:
        print("".join(f"      | {line}\n" for line in said.splitlines()[-25:]), file=sys.stderr)
        raise IvbridgeError(f"The command above failed with exit code {code}.", do="mend its cause and run again.")
    print(f"      {'that failed, going on' if code else 'done'} after {time.monotonic() - start:.0f} s", flush=True)


def _current_r() -> RFound | None:
    executable = find_r()
    return None if executable is None else probe_r(executable)


def run(*, yes: bool = False, dry_run: bool = False) -> int:
    """``ivbridge setup-r``: bring the R engine into the environment that this Python belongs to.

    Parameters
    ----------
    yes : bool, default False
        Run the steps. Without it they are explained, and a terminal is asked whether to go on.
    dry_run : bool, default False
        Only explain.

    Returns
    -------
    int
        Exit code: 0 when nothing is left to do, 1 when a step failed, 2 when steps were only explained.
    """
    try:
        found = _current_r()
        steps = plan(found) + (_rpy2_steps(sys.executable, found) if found else ())
        if not steps:
            print("R, its packages and rpy2 are all there. `ivbridge doctor` checks them in detail.")
            return 0
        if dry_run or not yes:
            _explain(steps, then_rpy2=found is None)
        if dry_run or not (yes or _agreed()):
            print("Nothing was installed. Run `ivbridge setup-r --yes` to do this.")
            return 2
        for step in plan(found):
            _perform(step)
        found = _current_r()
        for step in _rpy2_steps(sys.executable, found) if found else ():
            _perform(step)
    except IvbridgeError as error:
        print(f"ivbridge setup-r: {error}", file=sys.stderr)
        return 1
    return subprocess.run([sys.executable, "-m", "ivbridge.doctor", "--brief"], check=False).returncode


def _explain(steps: tuple[Step, ...], *, then_rpy2: bool) -> None:
    for step in steps:
        print(f"  {step.why}:\n      {' '.join(step.command)}")
        if step.manual:
            print(f"      ({step.manual})")
    if then_rpy2:
        print("  Then the rpy2 that works with that R, with pip, into this Python environment.")


def _agreed() -> bool:
    return sys.stdin.isatty() and input("Do this now? [y/N] ").strip().lower() in {"y", "yes"}


def checkout(root: Path, extra: tuple[str, ...] = ()) -> int:
    """``make setup``: R by apt-get where it is missing, ``.venv`` with ivbridge in it, and the right rpy2.

    Parameters
    ----------
    root : Path
        The checkout.
    extra : tuple of str, default ()
        Extras of pyproject.toml to install besides :data:`EXTRAS`.

    Returns
    -------
    int
        Exit code: 0 when both engines work. A second call only compares a stamp and returns in a moment.
    """
    root = root.resolve()
    stamp_file = root / ".venv" / "ivbridge-setup.json"
    extras = sorted({*EXTRAS, *extra, *_stamped(stamp_file)[0].get("extras", ())})
    stamp, watched = _stamped(stamp_file)
    if stamp == _stamp(root, extras) and all(one.exists() for one in [root / ".venv/bin/python", *map(Path, watched)]):
        return 0
    print(f"Setting up ivbridge in {root}:")
    try:
        _install(root, extras)
    except IvbridgeError as error:
        print(f"make setup: {error}", file=sys.stderr)
        return 1
    code = subprocess.run([str(root / ".venv/bin/python"), "-m", "ivbridge.doctor", "--brief"], check=False).returncode
    found = _current_r()
    if code == 0 and found is not None and not _rpy2_steps(str(root / ".venv/bin/python"), found):
        stamp_file.write_text(json.dumps([_stamp(root, extras), found.folders], indent=1))
    return code


def _install(root: Path, extras: list[str]) -> None:
    try:
        for step in plan(_current_r(), for_checkout=True):
            _perform(step)
    except IvbridgeError:
        if importlib.util.find_spec("ensurepip"):
            _python_steps(root, extras)
        raise
    _python_steps(root, extras)
    found = _current_r()
    for step in _rpy2_steps(str(root / ".venv/bin/python"), found) if found else ():
        _perform(step)


def _python_steps(root: Path, extras: list[str]) -> None:
    """Make ``.venv`` (again, if it was made elsewhere or for another Python) and install the checkout into it."""
    venv = root / ".venv"
    python = str(venv / "bin" / "python")
    version = output_of(python, "-c", "import sys, pip; print(sys.prefix, *sys.version_info[:2])")
    if version != f"{venv} {sys.version_info.major} {sys.version_info.minor}":
        base = getattr(sys, "_base_executable", sys.executable)
        pip = importlib.util.find_spec("ensurepip") is not None
        _perform(Step("Making the virtual environment .venv",
                      (base, "-m", "venv", "--clear", *(() if pip else ("--without-pip",)), str(venv))))  # fmt: skip
        if not pip:
            _perform(Step("Giving it pip", (base, "-m", "pip", "--python", python, "install", "--quiet", "pip")))
    pins = ("-c", str(root / "constraints.txt"))
    pip_install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins)
    if not output_of(python, "-c", "import hatchling; print('yes')"):
        _perform(Step("Installing the build backend", (*pip_install, "hatchling", "editables")))
    if sys.platform == "linux" and "torch" in extras and not output_of(python, "-c", _TORCH):
        _perform(_torch_step(root, (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")))
    target = f"{root}[{','.join(extras)}]"
    why = "Installing ivbridge, its Python packages and its development tools into .venv"
    _perform(Step(why, (*pip_install, "--no-build-isolation", "-e", target)))


def _torch_step(root: Path, pip_install: tuple[str, ...]) -> Step:
    """PyTorch from its own index of builds without CUDA: PyPI's build for Linux brings gigabytes of it."""
    pin = next(line for line in (root / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    where = ("--retries", "1", "--timeout", "15", "--extra-index-url", "https://download.pytorch.org/whl/cpu")
    why = "Installing PyTorch without CUDA (where that fails, the next step takes PyPI's build)"
    return Step(why, (*pip_install, *where, "--no-deps", f"{pin}+cpu"), optional=True)


def _stamp(root: Path, extras: list[str]) -> dict[str, object]:
    """What differs whenever the environment has to be looked at again."""
    inputs = [root / "pyproject.toml", root / "constraints.txt", Path(__file__)]
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in inputs)).hexdigest()
    executable = find_r()
    r = [executable, output_of(executable, "--version").partition("\n")[0]] if executable else []
    return {"root": str(root), "python": sys.version, "extras": extras, "r": r, "inputs": digest}


def _stamped(file: Path) -> tuple[dict[str, Any], list[str]]:
    """The stamp of the last setup that ended well, and the folders of the R packages that it found."""
    if not file.is_file():
        return {}, []
    try:
        stamp, folders = json.loads(file.read_text())
    except (ValueError, TypeError):  # cut short, or written by another version
        return {}, []
    return stamp, folders


def main(arguments: list[str]) -> int:
    """``python -m ivbridge.setup_r``: what the Makefile calls.

    Parameters
    ----------
    arguments : list of str
        ``["--checkout", directory]`` or ``["--checkout", directory, "--extra", name]``.
    """
    if arguments[:1] != ["--checkout"] or len(arguments) not in {2, 4}:
        print("usage: python -m ivbridge.setup_r --checkout DIRECTORY [--extra NAME]", file=sys.stderr)
        return 2
    return checkout(Path(arguments[1]), tuple(arguments[3:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Which rpy2 works with which R, and what ivbridge does where none does: tests/version_cases.py on three R."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from tests.version_cases import FIELDS, NONE, ROOT, RPY2, SUITES, expected

APT = "DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Check-Valid-Until=false"
PACKAGES = "r-base-core r-cran-aer r-cran-sandwich r-cran-lmtest r-cran-car r-cran-jsonlite make python3-venv"
#: The mounts live in a namespace of their own and vanish with it, whatever happens inside.
INSIDE = """set -e; mount -t proc proc "$0/proc"; mount --rbind /sys "$0/sys"; mount --rbind /dev "$0/dev"
exec chroot "$0" env -i "${@:2}" bash -c "$1" """


def measure() -> pd.DataFrame:
    """One row an R and release of rpy2: the R that is here, then those of Debian roots (needs root and debootstrap).

    Through the environment, as for tests/bare_root.sh: MIRROR, CARRY, PASS; VERSION_ROOTS names a folder whose
    subfolders are used as roots, made where they are missing, and kept.
    """
    asked = [sys.executable, "-m", "pip", "index", "versions", "rpy2-rinterface"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    known = set(re.search(r"Available versions: (.*)", said)[1].split(", "))  # type: ignore[index]
    if known - set(RPY2):
        raise SystemExit(f"There are releases that are not tried: {known - set(RPY2)}. Add them to tests/version_cases.py")
    with tempfile.TemporaryDirectory(prefix="ivbridge-roots-", dir="/var/tmp") as scratch:
        target = Path(scratch) / "here.json"
        subprocess.run([sys.executable, ROOT / "tests" / "version_cases.py", target], check=True)
        rows = json.loads(target.read_text())
        folder = Path(os.environ.get("VERSION_ROOTS") or scratch)
        for suite in SUITES:
            rows += in_root(folder / suite, suite)
    return pd.DataFrame(rows, columns=list(FIELDS))


def in_root(root: Path, suite: str) -> list[dict[str, object]]:
    """The rows of the R of a Debian release, tried in a root of that release."""
    if not (root / "usr/bin/python3").exists():
        mirror = os.environ.get("MIRROR", "http://deb.debian.org/debian")
        include = "--include=ca-certificates,python3"
        subprocess.run(["debootstrap", "--variant=minbase", include, suite, root, mirror], check=True)
    named = [os.environ[name] for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ]
    for file in ["/etc/resolv.conf", "/etc/hosts", *os.environ.get("CARRY", "").split(), *named]:
        (root / file[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(file).resolve(), root / file[1:])
    source = root / "root" / "ivbridge"
    shutil.rmtree(source, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # not one that is deleted and not yet committed
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    kept = {"PIP_CERT", "SSL_CERT_FILE", "PIP_DEFAULT_TIMEOUT", *os.environ.get("PASS", "").split()}
    clean = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", *(f"{n}={v}" for n, v in os.environ.items() if n in kept)]
    install = f"{APT} update; {APT} install -y --no-install-recommends {PACKAGES}"
    command = f"set -e; {install}; cd /root/ivbridge; python3 tests/version_cases.py /root/rows.json"
    unshare = ["unshare", "--mount", "--pid", "--fork", "bash", "-c", INSIDE, root, command, *clean]
    subprocess.run(unshare, check=True, stdout=sys.stderr)
    rows: list[dict[str, object]] = json.loads((root / "root/rows.json").read_text())
    return rows


def text(found: pd.DataFrame) -> list[str]:
    """Lines of the page."""
    r = list(dict.fromkeys(found["r"]))
    tried = found[found["rpy2"] != NONE]
    through = tried[tried["bridge"].str.startswith("rpy2")]
    alike = found.groupby("r")["bits"].nunique().eq(1)
    agreed = found["verdict"].isin(["identical", "rounding"])
    pythons = [found.loc[found["r"] == one, "python"].iloc[0] for one in r]
    how = (
        f"{tried['rpy2'].nunique()} releases of rpy2 (in ABI mode) against R {', '.join(r)} (with Python "
        f"{', '.join(pythons)}), each in an environment of its own. In each, the demand for cigarettes is estimated by "
        "2SLS and LIML with four covariances through R and through Python, by whichever bridge to R ivbridge takes "
        "there by itself: the table says which."
    )
    totals = (
        f"**{agreed.sum()} of {len(found)} checks agree, {found['numbers'].min()} numbers each. "
        f"{len(through)} of {len(tried)} pairs go through rpy2, the others through Rscript, which needs no rpy2. "
        f"{'With each R' if alike.all() else 'Only with R ' + ', '.join(alike[alike].index)}, what R answers is the same "
        "to the last bit through every bridge.**"
    )
    lines = ["## Versions of R and rpy2", "", how, "", totals, ""]
    lines += [f"| | {' | '.join(f'R {one}' for one in r)} |", "|---|" + "---|" * len(r)]
    for release in dict.fromkeys(found["rpy2"]):
        cells = []
        for one in r:
            cell = found[(found["r"] == one) & (found["rpy2"] == release)].iloc[0]
            cells.append("rpy2" if cell["bridge"].startswith("rpy2") else "Rscript")
        name = "no rpy2" if release == NONE else f"rpy2 {release}" if release < "3.6" else f"rpy2-rinterface {release}"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    failures = tried[tried["said"] != ""].groupby(["r", "said"], sort=False)["rpy2"].agg(", ".join)
    lines += ["", "What those releases say that cannot be loaded:", ""]
    lines += [f"- {releases} with R {one}: `{said}`" for (one, said), releases in failures.items()]
    return lines


def surprises(found: pd.DataFrame) -> list[str]:
    """Rows that are not what `ivbridge.rfind.rpy2_fits` says, or whose check did not agree; none, one hopes."""
    return [
        f"rpy2 {row.rpy2} with R {row.r}: {row.bridge}, {row.verdict}"
        for row in found.itertuples()
        if not row.bridge.startswith("rpy2" if expected(row.rpy2, row.r) else "Rscript")
        or (row.rpy2 != NONE and (row.loads is True) != expected(row.rpy2, row.r))
        or row.verdict not in ("identical", "rounding")
    ]

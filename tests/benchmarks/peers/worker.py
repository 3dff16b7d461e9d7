"""A process that answers the calls of one Python package: one JSON text a line in, one a line out.

``{"load": {size}, "folder": …}`` reads the data, ``{"run": task, "inner": …}`` makes the call so many times. The first
line out names the package's version, or says what is missing.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.peers import answers, worlds

#: Where a name on the page is not the package's.
OURS = "ivbridge fast"
PACKAGES = {OURS: "ivbridge", "limit": "numpy"}
SAME = {"Intercept": "(Intercept)"}


def serve(name: str, say: Callable[[dict[str, Any]], None]) -> None:
    """Answer until the input ends."""
    package = PACKAGES.get(name, name)
    if importlib.util.find_spec(package) is None:
        say({"missing": "not installed"})
        return
    if name == OURS:  # a checkout need not be installed
        import ivbridge

        say({"version": ivbridge.__version__})
    else:
        say({"version": importlib.metadata.version(package)})
    call: answers.Call | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "load" in asked:
                call = None
                gc.collect()
                size = worlds.Size(**asked["load"])
                call = answers.CALLS[name](worlds.read(size, Path(asked["folder"])), size)
                gc.collect()
                gc.freeze()  # what packages hold is not looked at before every call
                say({})
            else:
                assert call is not None
                say(run(call, asked["run"], asked["inner"]))
        except Exception as problem:  # noqa: BLE001  # whatever a package raises is its row on the page
            say({"failed": f"{type(problem).__name__}: {problem}"[:200]})


def run(call: answers.Call, task: str, inner: int) -> dict[str, Any]:
    """Seconds of each call, and the numbers."""
    gc.collect()
    seconds = []
    for _ in range(inner):
        begun = time.perf_counter()
        found = call(task)
        seconds.append(time.perf_counter() - begun)
    terms = [SAME.get(term, term) for term in found.terms]
    se = None if found.se is None else dict(zip(terms, map(float, found.se), strict=True))
    coef = dict(zip(terms, map(float, found.coef), strict=True))
    tests = {key: float(value) for key, value in found.tests.items()}
    return {"seconds": seconds, "coef": coef, "se": se, "tests": tests}


def main() -> None:
    """Keep what packages print out of the answers."""
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr

    def say(reply: dict[str, Any]) -> None:
        out.write(json.dumps(reply) + "\n")
        out.flush()

    serve(sys.argv[1], say)


if __name__ == "__main__":
    main()

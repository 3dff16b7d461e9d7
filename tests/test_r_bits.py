"""What the R engine leaves out to be quick changes no bit: its answers are those of the plain calls, in R itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import ivbridge
from ivbridge.engines.process import RReply, RWorker
from ivbridge.resources import scripts_dir
from tests.cases import frame

CODE = """
source("{scripts}/ivreg.R")
data <- read.csv("{data}")
formula <- {formula}
weights <- {weights}
invisible(ivb_load("key", "{formula}", data, weights))
# plain calls; ivreg() and lm() evaluate weights inside the data
fit <- if (is.null(weights)) ivreg(formula, data = data) else ivreg(formula, data = data, weights = wt)
for (type in c("HC0", "HC1", "HC2", "HC3", "HC4")) {{
  plain <- function(x) vcovHC(x, type = type)
  mine <- ivb_infer("key", list(kind = "HC", type = type))
  whole <- summary(fit, vcov. = plain, diagnostics = TRUE)
  stage <- if (is.null(weights)) lm({stage}, data = data) else lm({stage}, data = data, weights = wt)
  test <- coeftest(stage, vcov. = plain)
  stopifnot(
    identical(mine$cov, unname(plain(fit))), identical(mine$diagnostics, unname(whole$diagnostics)),
    identical(mine$wald, whole$waldtest), identical(unname(mine$coefs$std_error), unname(whole$coefficients[, 2L])),
    identical(mine$first_stages$x1$cov, unname(plain(stage))),
    identical(unname(mine$first_stages$x1$coefs$p_value), unname(test[, 4L]))
  )
  cat(type, "")
}}
cat(identical(unname(hatvalues(fit)), unname(hatvalues(ivb_state$fit))))
"""


@pytest.mark.parametrize("weights", [None, "wt"])
def test_the_r_engine_has_the_bits_of_plain_calls(tmp_path: Path, weights: str | None) -> None:
    frame().drop(columns=["day"]).to_csv(tmp_path / "data.csv", index=False)
    code = CODE.format(
        scripts=scripts_dir(),
        data=tmp_path / "data.csv",
        formula="y ~ x1 + w1 | w1 + z1 + z2",
        stage="x1 ~ w1 + z1 + z2",
        weights="NULL" if weights is None else f'"{weights}"',
    )
    (tmp_path / "bits.R").write_text(code)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    command = [shutil.which("Rscript") or "/usr/bin/Rscript", "--vanilla", str(tmp_path / "bits.R")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "HC0 HC1 HC2 HC3 HC4 TRUE"


FORMULA = "y ~ x1 + w1 | w1 + z1 + z2"


def test_matrices_with_the_same_bits_are_kept_once() -> None:
    (comparison,) = ivbridge.crosscheck(FORMULA, frame(), ["HC1"]).comparisons
    seen, other = comparison.reference.seen, comparison.candidate.seen
    assert seen.x is other.x and seen.z is other.z


def test_a_matrix_with_another_last_bit_stays_rs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    call = RWorker.call

    def changed(worker: RWorker, function: str, /, **arguments: object) -> RReply:
        reply = call(worker, function, **arguments)
        if function == "ivb_load":
            reply.value["x"][3, 1] = np.nextafter(reply.value["x"][3, 1], np.inf)
        return reply

    monkeypatch.setattr(RWorker, "call", changed)
    data = frame()
    data["y"] += 1.0  # R may hold the question without the change already
    (comparison,) = ivbridge.crosscheck(FORMULA, data, ["HC1"]).comparisons
    assert comparison.verdict == "rounding"
    seen, other = comparison.reference.seen, comparison.candidate.seen
    assert np.argwhere(seen.x != other.x).tolist() == [[3, 1]]
    assert seen.z is other.z
    (check,) = [check for check in comparison.handshake if check.name == "columns"]
    assert not check.candidate.endswith("0.0e+00")

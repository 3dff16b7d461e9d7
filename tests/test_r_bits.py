"""What the R engine leaves out to be quick changes no bit: its answers are those of the plain calls, in R itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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

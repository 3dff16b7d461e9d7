# One fit of a Monte Carlo study in R alone; `tests/benchmarks/pool_speed.py` shares out many.

suppressPackageStartupMessages({
  library(AER)
  library(sandwich)
})

ivb_fit <- function(data) {
  fit <- ivreg(y ~ x + w | w + z1 + z2, data = data)
  c(coef(fit), sqrt(diag(vcovHC(fit, type = "HC1"))))
}

# Sensitivity to omitted variables, and the permutation distribution of a placebo, by other routes than the formulas
# that are to be checked: least squares with the omitted variable in it, roots instead of closed forms, sums of squares
# of nested models. stats and coin only.

# groups: list of columns of x that belong together. tries: (k, 2) matrix of partial R2 with treatment and outcome.
ivb_causal_ovb <- function(y, t, x, groups, tries, q, alpha) {
  short <- stats::lm(y ~ x + t)
  row <- summary(short)$coefficients["t", ]
  list(estimate = row[[1L]], std_error = row[[2L]], df = short$df.residual,
       partial_r2 = ovb_share(stats::lm(y ~ x), short),
       rv = ovb_root(short, t, q, 1), rv_alpha = ovb_root(short, t, q, alpha),
       r2_treatment = vapply(groups, function(g) ovb_share(ovb_lm(t, x[, -g]), stats::lm(t ~ x)), 0),
       r2_outcome = vapply(groups, function(g) ovb_share(ovb_lm(y, cbind(x[, -g], t)), short), 0),
       adjusted = t(apply(tries, 1L, function(r) ovb_long(short, y, t, x, r[1L], r[2L], alpha))))
}

ovb_lm <- function(y, x) if (ncol(as.matrix(x))) stats::lm(y ~ x) else stats::lm(y ~ 1)

# share of what the small model leaves that the large one explains
ovb_share <- function(small, large) 1 - stats::deviance(large) / stats::deviance(small)

# a variable with exactly these partial R2 that pulls the coefficient away from zero, and the regression with it
ovb_long <- function(short, y, t, x, r2_treatment, r2_outcome, alpha) {
  unit <- function(v) v / sqrt(sum(v^2))
  of_t <- unit(stats::residuals(stats::lm(t ~ x)))
  of_y <- unit(stats::residuals(short)) * sign(stats::coef(short)[["t"]])
  noise <- unit(stats::residuals(stats::lm(sin(seq_along(y)^2) ~ x + t + y)))
  u <- sqrt(r2_treatment) * of_t +
    sqrt(1 - r2_treatment) * (sqrt(r2_outcome) * of_y + sqrt(1 - r2_outcome) * noise)
  long <- stats::lm(y ~ x + t + u)
  c(summary(long)$coefficients["t", 1:3], stats::confint(long, "t", 1 - alpha))
}

# partial R2 r, with both, at which the adjusted statistic of (1 - q) of the effect is the critical value at worst
ovb_root <- function(short, t, q, alpha) {
  df <- short$df.residual
  strength <- q * abs(summary(short)$coefficients["t", 3L])
  critical <- stats::qt(1 - alpha / 2, df - 1)
  left <- function(r) {
    at <- function(outcome) (strength / sqrt(df) * sqrt(1 - r) - sqrt(outcome * r)) / sqrt(1 - outcome) * sqrt(df - 1)
    worst <- if (alpha == 1) r else min(r, r / (critical^2 / (df - 1) + r))
    at(worst) - critical
  }
  if (left(0) <= 0) return(0)
  stats::uniroot(left, c(0, 1 - 1e-9), tol = 1e-15, maxiter = 1000L)$root
}

# permutation distribution of the sum over the treated, and exact two-sided p where there are few units
ivb_causal_permutation <- function(y, t, exact) {
  arm <- factor(t, levels = c(1, 0))
  test <- coin::independence_test(y ~ arm, teststat = "scalar", distribution = coin::asymptotic())
  p <- if (exact) coin::pvalue(coin::oneway_test(y ~ arm, distribution = coin::exact())) else NA_real_
  list(statistic = as.numeric(coin::statistic(test, "standardized")),
       expectation = as.numeric(coin::expectation(test)), variance = as.numeric(coin::covariance(test)),
       p_asymptotic = as.numeric(coin::pvalue(test)), p_exact = as.numeric(p))
}

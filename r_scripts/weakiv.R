# Inference that stays right when instruments are weak: the Anderson-Rubin test, its inversion, and the effective F.
#
# ivbridge's R engine sources this file after ivreg.R. By hand, with ivreg.R beside it:
#
#   source("weakiv.R"); ivb_load("q", "lwage ~ educ + exper | exper + nearc2 + nearc4", data)
#   ivb_confidence_set("q", list(kind = "HC", type = "HC1"), level = 0.95)

if (!exists("ivb_load")) {
  folder <- c(dirname(as.character(unlist(lapply(sys.frames(), function(frame) frame$ofile)))), ".")
  source(Find(file.exists, file.path(folder, "ivreg.R")))
}

# Least squares of a variable on instruments that are orthonormal (with weights) and have the exogenous regressors in
# front: coefficients of the excluded ones, and their covariance.
ivb_reduced <- function(key, vcov) {
  if (!identical(ivb_state$key, key)) ivb_stop("ivb_stale", "R holds another question")
  z <- ivb_state$z
  w <- ivb_state$w
  root <- if (is.null(w)) rep(1, nrow(z)) else sqrt(w)
  shared <- colnames(z) %in% colnames(ivb_state$x)
  columns <- qr.Q(qr(z[, order(!shared)] * root, tol = 0)) / root
  kept <- seq.int(sum(shared) + 1L, ncol(z))
  f <- ivb_vcov_function(vcov)
  endog <- ivb_state$x[, setdiff(colnames(ivb_state$x), colnames(z)), drop = FALSE]
  list(
    y = ivb_state$y, endog = endog, df1 = length(kept), df2 = nrow(z) - ncol(z), root = root,
    coefficients = function(v) drop(crossprod(columns[, kept, drop = FALSE] * root, v * root)),
    covariance = function(v) {
      fit <- if (is.null(w)) lm(v ~ 0 + columns) else lm(v ~ 0 + columns, weights = w)
      (if (is.null(f)) stats::vcov(fit) else f(fit))[kept, kept, drop = FALSE]
    },
    outside = function(v) {
      exog <- columns[, seq_len(sum(shared)), drop = FALSE] * root
      sqrt(sum((v * root - exog %*% crossprod(exog, v * root))^2))
    }
  )
}

#' The test that the coefficients of the endogenous regressors are beta0: F, or chi-squared where z.
ivb_anderson_rubin <- function(key, vcov, beta0, z = FALSE) {
  if (!identical(ivb_state$key, key)) ivb_stop("ivb_stale", "R holds another question")
  x <- ivb_state$x
  instruments <- ivb_state$z
  shared <- colnames(instruments) %in% colnames(x)
  e <- drop(ivb_state$y - x[, setdiff(colnames(x), colnames(instruments)), drop = FALSE] %*% beta0)
  found <- ivb_added(e, instruments[, shared, drop = FALSE], instruments[, !shared, drop = FALSE],
                     ivb_vcov_function(vcov))
  if (!z) return(list(df1 = found[1L], df2 = found[2L], statistic = found[3L], p_value = found[4L]))
  chi2 <- found[1L] * found[3L]
  list(df1 = found[1L], df2 = Inf, statistic = chi2, p_value = pchisq(chi2, found[1L], lower.tail = FALSE))
}

#' Intervals of values that the test does not reject. The covariance is a quadratic in the tested value, so three fits
#' give it everywhere; the ends are real eigenvalues of a companion matrix, each refined by uniroot().
ivb_confidence_set <- function(key, vcov, level = 0.95, z = FALSE) {
  at <- ivb_reduced(key, vcov)
  limit <- if (z) qchisq(level, at$df1) else at$df1 * qf(level, at$df1, at$df2)
  x <- at$endog[, 1L]
  b <- at$coefficients(x)
  centre <- sum(b * at$coefficients(at$y)) / sum(b^2)
  e <- at$y - centre * x
  unit <- at$outside(e) / at$outside(x)
  a <- at$coefficients(e)
  b <- unit * b
  v <- lapply(c(-1, 0, 1), function(t) at$covariance(e - t * unit * x))
  v0 <- v[[2L]]
  v1 <- (v[[3L]] - v[[1L]]) / 2
  v2 <- (v[[3L]] + v[[1L]]) / 2 - v0
  excess <- function(t) {
    g <- a - t * b
    sum(g * solve(v0 + t * v1 + t^2 * v2, g)) - limit
  }
  roots <- ivb_real_eigenvalues(limit * v0 - tcrossprod(a), limit * v1 + tcrossprod(a, b) + tcrossprod(b, a),
                                limit * v2 - tcrossprod(b))
  pieces <- ivb_pieces(excess, roots)
  list(low = centre + unit * pieces$low, high = centre + unit * pieces$high)
}

# Nearly real values t at which m0 + t m1 + t^2 m2 is singular.
ivb_real_eigenvalues <- function(m0, m1, m2) {
  k <- nrow(m0)
  forward <- rcond(m2) >= rcond(m0)
  first <- if (forward) m2 else m0
  companion <- rbind(cbind(matrix(0, k, k), diag(k)), -cbind(solve(first, if (forward) m0 else m2), solve(first, m1)))
  values <- eigen(companion, symmetric = FALSE, only.values = TRUE)$values
  if (!forward) values <- 1 / values[Mod(values) > 1e-12]
  sort(unique(Re(values[abs(Im(values)) <= 1e-3 * (1 + abs(Re(values)))])))
}

# Where a function is at most zero, given all points at which it may change sign.
ivb_pieces <- function(excess, roots) {
  if (!length(roots)) {
    return(if (excess(0) <= 0) list(low = -Inf, high = Inf) else list(low = numeric(), high = numeric()))
  }
  margin <- max(1, diff(range(roots)))
  points <- c(roots[1L] - margin, (roots[-1L] + roots[-length(roots)]) / 2, roots[length(roots)] + margin)
  inside <- vapply(points, function(t) excess(t) <= 0, NA)
  change <- which(inside[-1L] != inside[-length(inside)])
  ends <- vapply(change, function(i) uniroot(excess, points[c(i, i + 1L)], tol = 1e-300, maxiter = 10000L)$root, 0)
  opens <- !inside[change]
  list(low = c(if (inside[1L]) -Inf, ends[opens]), high = c(ends[!opens], if (inside[length(inside)]) Inf))
}

#' The effective F of Montiel Olea and Pflueger (2013) with effective degrees of freedom and simplified 5 % critical
#' values for the given shares of the worst-case bias.
ivb_effective_f <- function(key, vcov, shares) {
  at <- ivb_reduced(key, vcov)
  x <- at$endog[, 1L]
  w <- at$covariance(x)
  trace <- sum(diag(w))
  largest <- max(eigen(w, symmetric = TRUE, only.values = TRUE)$values)
  df <- trace^2 * (1 + 2 / shares) / (sum(w^2) + 2 / shares * trace * largest)
  list(statistic = sum(at$coefficients(x)^2) / trace, df = df, critical = qchisq(0.95, df, ncp = df / shares) / df)
}

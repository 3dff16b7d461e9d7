# LIML and Fuller's estimator, which AER does not have, as a model that sandwich and lmtest understand.
#
# ivbridge's R engine sources this file after ivreg.R; it also runs alone, with ivreg.R in the same folder:
#
#   Rscript kclass.R --data card.csv --formula "lwage ~ educ + exper | exper + nearc2 + nearc4" --fuller 0 --vcov HC1
#
# --fuller 0, the default, is LIML; all other options are those of ivreg.R, and --vcov bekker [--cse TRUE] is there too. In R:
#
#   source("kclass.R"); fit <- ivb_kclass_model(lwage ~ educ + exper | exper + nearc2 + nearc4, data, fuller = 1)
#   coeftest(fit, vcov. = vcovHC(fit, type = "HC1")); fit$kappa

if (!exists("ivb_load")) {
  script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
  folder <- c(dirname(script), dirname(as.character(unlist(lapply(sys.frames(), function(frame) frame$ofile)))), ".")
  source(Find(file.exists, file.path(folder, "ivreg.R")))
}

# ---- the estimator -----------------------------------------------------------------------------------------------

#' Fit on given matrices: x and z with column names that say which regressors are exogenous, w weights or NULL.
#' The coefficients solve (P'P + (1 - kappa) V'V) b = P'y + (1 - kappa) V'y, P the regressors projected on the
#' instruments and V what this leaves, in coordinates in which P is orthonormal.
ivb_kclass_fit <- function(y, x, z, w = NULL, fuller = 0) {
  root <- if (is.null(w)) rep(1, length(y)) else sqrt(w)
  endog <- setdiff(colnames(x), colnames(z))
  exog <- setdiff(colnames(x), endog)
  instruments <- qr(z * root, tol = 0)
  both <- cbind(y, x[, endog, drop = FALSE]) * root
  on_all <- qr.resid(instruments, both)
  on_exog <- if (length(exog)) qr.resid(qr(x[, exog, drop = FALSE] * root, tol = 0), both) else both
  liml <- if (ncol(z) == ncol(x)) 1 else ivb_least_ratio(on_exog, on_all)
  kappa <- liml - fuller / (length(y) - ncol(z))

  projected <- qr.fitted(instruments, x * root)
  basis <- qr(projected, tol = 0)
  inverse <- backsolve(qr.R(basis), diag(ncol(x)))
  rest <- qr.resid(instruments, x * root) %*% inverse
  gram <- diag(ncol(x)) + (1 - kappa) * crossprod(rest)
  moments <- qr.qty(basis, y * root)[seq_len(ncol(x))] + (1 - kappa) * crossprod(rest, y * root)
  coef <- drop(inverse %*% solve(gram, moments))
  unscaled <- inverse %*% solve(gram, t(inverse))
  dimnames(unscaled) <- list(colnames(x), colnames(x))
  names(coef) <- colnames(x)
  fitted <- drop(x %*% coef)
  structure(class = "ivb_kclass", list(
    coefficients = coef, residuals = y - fitted, fitted.values = fitted, kappa = kappa, liml = liml,
    unscaled = unscaled, projected = projected / root, inverse = inverse, instruments = instruments, y = y, x = x,
    z = z, weights = w, root = root, df.residual = length(y) - ncol(x)
  ))
}

# The smallest eigenvalue of A'A relative to B'B, from the singular values of A times the inverse root of B'B.
ivb_least_ratio <- function(a, b) {
  scaled <- backsolve(qr.R(qr(b, tol = 0)), t(qr.R(qr(a, tol = 0))), transpose = TRUE)
  min(svd(scaled, 0L, 0L)$d)^2
}

#' The same from a formula and a data frame, for use by hand.
ivb_kclass_model <- function(formula, data, weights = NULL, fuller = 0) {
  text <- if (is.character(formula)) formula else paste(deparse(formula, width.cutoff = 500L), collapse = " ")
  loaded <- ivb_load("by hand", text, data, weights)
  fit <- ivb_kclass_fit(ivb_state$y, ivb_state$x, ivb_state$z, ivb_state$w, fuller)
  names(fit$residuals) <- names(fit$fitted.values) <- rownames(data)[loaded$rows]
  fit
}

# ---- what sandwich and lmtest ask of a model ---------------------------------------------------------------------

ivb_kclass_methods <- list(
  estfun = function(x, ...) {
    scores <- x$projected * as.vector(x$residuals * x$root^2)
    dimnames(scores) <- list(NULL, colnames(x$x))
    scores
  },
  bread = function(x, ...) length(x$residuals) * x$unscaled,
  vcov = function(object, ...) ivb_s2(object) * object$unscaled,
  nobs = function(object, ...) length(object$residuals),
  model.matrix = function(object, ...) object$projected,
  hatvalues = function(model, ...) stop("LIML and Fuller have no leverages", call. = FALSE)
)
for (generic in c("estfun", "bread")) {
  registerS3method(generic, "ivb_kclass", ivb_kclass_methods[[generic]], envir = asNamespace("sandwich"))
}
for (generic in c("vcov", "nobs", "model.matrix", "hatvalues")) {
  registerS3method(generic, "ivb_kclass", ivb_kclass_methods[[generic]], envir = asNamespace("stats"))
}
rm(generic)

ivb_s2 <- function(fit) sum((fit$root * fit$residuals)^2) / fit$df.residual

#' Bekker's (1994) covariance, with cse = TRUE that of Hansen, Hausman and Newey (2008), in the coordinates of the fit.
ivb_bekker <- function(fit, cse = FALSE) {
  u <- as.vector(fit$root * fit$residuals)
  x <- (fit$x * fit$root) %*% fit$inverse
  share <- sum(qr.fitted(fit$instruments, u)^2) / sum(u^2)
  bread <- solve(crossprod(qr.fitted(fit$instruments, x)) - share * crossprod(x))
  corrected <- x - tcrossprod(u, crossprod(x, u)) / sum(u^2)
  rest <- qr.resid(fit$instruments, corrected)
  meat <- ivb_s2(fit) * ((1 - share)^2 * crossprod(qr.fitted(fit$instruments, corrected)) + share^2 * crossprod(rest))
  if (cse) {
    leverage <- rowSums(qr.Q(fit$instruments)^2)
    n <- length(u)
    tau <- mean(leverage)
    ratio <- sum(leverage^2) / sum(leverage)
    third <- crossprod(qr.fitted(fit$instruments, x), leverage - tau) %*% (crossprod(u^2, rest) / n)
    weight <- sum(leverage) * (ratio - tau) / (n * (1 - 2 * tau + ratio * tau))
    meat <- meat + third + t(third) + weight * crossprod(rest, (u^2 - ivb_s2(fit)) * rest)
  }
  covariance <- fit$inverse %*% bread %*% meat %*% bread %*% t(fit$inverse)
  dimnames(covariance) <- dimnames(fit$unscaled)
  covariance
}

# ---- the engine's call -------------------------------------------------------------------------------------------

#' Everything about a LIML (fuller = 0) or Fuller fit: what ivb_infer() returns for two-stage least squares, and the
#' parts of the fit that ivb_load() returns. First stages, weak instruments and Wu-Hausman do not depend on the method.
ivb_kclass <- function(key, vcov, df = NULL, skip = NULL, fuller = 0) {
  if (!identical(ivb_state$key, key)) ivb_stop("ivb_stale", "R holds another question")
  fit <- ivb_kclass_fit(ivb_state$y, ivb_state$x, ivb_state$z, ivb_state$w, fuller)
  bekker <- identical(vcov$kind, "bekker")
  auxiliary <- if (!bekker) ivb_vcov_function(vcov)
  vc <- if (bekker) ivb_bekker(fit, isTRUE(vcov$cse)) else if (is.null(auxiliary)) vcov(fit) else auxiliary(fit)
  if (!is.null(auxiliary)) auxiliary <- ivb_once(auxiliary, vc, keep = identical(vcov$kind, "HC"))
  endog <- setdiff(colnames(fit$x), colnames(fit$z))
  squares <- ivb_kclass_squares(fit)
  r2 <- 1 - squares$rss / squares$tss
  list(cov = unname(vc), coefs = ivb_table(fit, vc, if (is.null(df)) fit$df.residual else df),
       r2 = r2, r2_adj = 1 - (1 - r2) * (length(fit$y) - squares$centred) / fit$df.residual,
       wald = ivb_kclass_wald(fit, vc, df, skip), diagnostics = ivb_kclass_tests(fit, endog, auxiliary, skip),
       first_stages = lapply(stats::setNames(endog, endog), ivb_first_stage, f = auxiliary, df = df),
       kappa = fit$kappa, residuals = as.vector(fit$residuals), fitted = as.vector(fit$fitted.values),
       sigma = sqrt(ivb_s2(fit)), df_resid = fit$df.residual)
}

ivb_kclass_squares <- function(fit) {
  w <- fit$root^2
  centred <- "(Intercept)" %in% colnames(fit$x)
  centre <- if (centred) stats::weighted.mean(fit$y, w) else 0
  list(rss = sum(w * fit$residuals^2), tss = sum(w * (fit$y - centre)^2), centred = centred)
}

ivb_kclass_wald <- function(fit, vc, df, skip) {
  slopes <- setdiff(names(fit$coefficients), "(Intercept)")
  if ("wald" %in% skip || ivb_singular(vc[slopes, slopes, drop = FALSE])) return(NULL)
  q <- length(slopes)
  chi2 <- ivb_quadratic(fit$coefficients[slopes], vc[slopes, slopes, drop = FALSE])
  if (identical(df, Inf)) return(c(chi2, pchisq(chi2, q, lower.tail = FALSE), q))
  c(chi2 / q, pf(chi2 / q, q, fit$df.residual, lower.tail = FALSE), q, fit$df.residual)
}

# One row a test: df1, df2, statistic, p; weak instruments, Wu-Hausman, Sargan, and n log(kappa) of Anderson and Rubin.
ivb_kclass_tests <- function(fit, endog, auxiliary, skip) {
  x <- fit$x
  z <- fit$z
  shared <- colnames(z) %in% colnames(x)
  added <- function(key, y, base, extra) if (!(key %in% skip)) ivb_added(y, base, extra, auxiliary) else rep(NA_real_, 4L)
  weak <- lapply(endog, function(name) {
    added(paste0("weak_instruments:", name), x[, name], z[, shared, drop = FALSE], z[, !shared, drop = FALSE])
  })
  projected <- fit$projected
  colnames(projected) <- colnames(x)
  hausman <- added("wu_hausman", fit$y, x, projected[, endog, drop = FALSE])
  n <- length(fit$y)
  q <- ncol(z) - ncol(x)
  w <- fit$root^2
  left <- sum(qr.resid(fit$instruments, fit$root * fit$residuals)^2)
  total <- sum(w * (fit$residuals - stats::weighted.mean(fit$residuals, w))^2)
  chi2 <- c(n * (1 - left / total), n * log(fit$liml))
  overid <- cbind(q, NA_real_, chi2, if (q > 0) pchisq(chi2, q, lower.tail = FALSE) else NA_real_)
  unname(rbind(do.call(rbind, weak), hausman, overid))
}

if (sys.nframe() == 0L && length(commandArgs(trailingOnly = TRUE))) {
  arguments <- commandArgs(trailingOnly = TRUE)
  ivb_main(c(arguments, if (!("--fuller" %in% arguments)) c("--fuller", "0")))
}

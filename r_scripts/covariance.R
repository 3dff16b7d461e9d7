# The covariance estimators of sandwich, as ivbridge's R engine asks for them: for the ivreg fit and for the lm fits of its
# diagnostics, whatever the units of their columns. Sourced before ivreg.R, which sources it when it runs alone.

suppressPackageStartupMessages(library(sandwich))

# AER::hatvalues.ivreg forms an n x n matrix. Above this many rows the same numbers are computed row by row.
ivb_hat_limit <- 3000L

# The hat values of the loaded fit, computed once for all types of vcovHC() that use them.
hatvalues.ivb_ivreg <- function(model, ...) {
  if (is.null(ivb_state$hat)) ivb_state$hat <- if (nobs(model) > ivb_hat_limit) ivb_hat_by_row(model) else NextMethod()
  ivb_state$hat
}

ivb_hat_by_row <- function(model) {
  x <- model.matrix(model, component = "regressors")
  projected <- model.matrix(model, component = "projected")
  plain <- if (is.null(weights(model))) projected  # without weights, as AER does
           else lm.fit(model.matrix(model, component = "instruments"), x)$fitted.values
  rowSums((x %*% chol2inv(qr.R(qr(projected)))) * plain)
}

# vcovHC() asks for hat values whatever the type and goes on without where they fail; HC0 and HC1 do not use them.
ivb_vcov_hc <- function(x, type) {
  if (type %in% c("HC0", "HC1")) class(x) <- c("ivb_without_hat", class(x))
  # vcovHC() takes scores below 2.2e-16 for zeros, whatever their unit, and divides them by the regressors again, which
  # leaves no digit of those below 2.2e-308. So the largest is made 2^200; powers of two change no digit.
  scores <- abs(estfun(x))
  largest <- max(scores)
  if (inherits(x, "ivreg") && isTRUE(largest > 0 && largest < 1e-6) && ivb_lost(scores)) {
    warning("sandwich's vcovHC() alone takes scores below 2.2e-16 for zeros, which some rows have; here they count.")
  }
  power <- ivb_power(largest) * 2^200
  x$residuals <- x$residuals * power
  vcovHC(x, type = type) / power / power
}
# Of larger scores (1e-6) those that vcovHC() drops make up less than 1e-12 of the sum of squares, up to 1e7 rows.
ivb_lost <- function(scores) {
  of_row <- apply(scores, 1L, max)
  any(of_row > 0 & of_row < .Machine$double.eps)
}
ivb_power <- function(size) ifelse(is.finite(size) & size > 0, 2^-floor(log2(size)), 1)
hatvalues.ivb_without_hat <- function(model, ...) stop("not needed", call. = FALSE)

for (kind in c("ivb_ivreg", "ivb_without_hat")) {
  registerS3method("hatvalues", kind, get(paste0("hatvalues.", kind)), envir = asNamespace("stats"))
}
rm(kind)

# A function(x) that works on the ivreg fit and on the lm fits of the diagnostics; NULL means each one's own vcov().
ivb_vcov_function <- function(v) {
  # places among the sorted values: factor() takes numbers for equal that differ after the 15th digit
  codes <- function(values) match(values, sort(unique(values)))
  column <- function(name) if (is.null(name)) NULL else codes(ivb_state$data[[name]])
  switch(v$kind,
    classical = NULL,
    HC = function(x) ivb_vcov_hc(x, v$type),
    cluster = {
      groups <- ivb_state$data[v$by]
      groups[] <- lapply(groups, codes)
      function(x) vcovCL(x, cluster = groups, type = v$type, cadjust = v$cadjust, multi0 = v$multi0)
    },
    nw = {
      times <- column(v$order_by)
      lag <- function(x) if (is.null(v$lag)) floor(bwNeweyWest(x, order.by = times, prewhite = v$prewhite)) else v$lag
      function(x) ivb_hac(x, v$prewhite, function(scaled) NeweyWest(
        scaled, lag = lag(x), prewhite = v$prewhite, adjust = v$adjust, order.by = times
      ))
    },
    andrews = {
      times <- column(v$order_by)
      function(x) ivb_hac(x, v$prewhite, function(scaled) kernHAC(
        scaled, kernel = v$kernel, bw = if (is.null(v$bw)) function(scaled, ...) bwAndrews(x, ...) else v$bw,
        prewhite = v$prewhite, adjust = v$adjust, order.by = times
      ))
    },
    dk = function(x) {
      # without aggregation vcovPL() takes the code of the last row in time for the number of units
      units <- column(v$cluster)
      last <- units[order(column(v$order_by))][length(units)]
      units[units %in% c(last, max(units))] <- last + max(units) - units[units %in% c(last, max(units))]
      vcovPL(x, cluster = units, order.by = column(v$order_by), lag = v$lag, aggregate = v$aggregate, adjust = v$adjust)
    },
    pc = function(x) vcovPC(x, cluster = column(v$cluster), order.by = column(v$order_by)),
    bootstrap = function(x) {
      matrices <- ivb_fit_matrices(ivb_state$y, ivb_state$x, ivb_state$z, ivb_state$w)
      set.seed(v$seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
      vcovBS(matrices, R = v$R, cluster = column(v$cluster))
    },
    stop("unknown vcov kind ", v$kind, call. = FALSE)
  )
}

# Where scores of very different size make vcovHAC() call I minus the VAR coefficients singular, it gets them in powers of
# two of their units; the automatic bandwidths, which add scores up, are those of the scores as they are.
ivb_hac <- function(x, order, covariance) {
  tryCatch(ivb_prewhitened(order, covariance(x)), error = function(e) {
    if (!grepl("computationally singular", conditionMessage(e), fixed = TRUE)) stop(e)
    power <- ivb_power(apply(abs(estfun(x)), 2L, max))
    scaled <- structure(list(fit = x, power = power), class = "ivb_scaled")
    ivb_prewhitened(order, covariance(scaled)) * outer(power, power)
  })
}
estfun.ivb_scaled <- function(x, ...) estfun(x$fit) * rep(x$power, each = nobs(x$fit))
bread.ivb_scaled <- function(x, ...) bread(x$fit) / outer(x$power, x$power)
nobs.ivb_scaled <- function(object, ...) nobs(object$fit)
registerS3method("estfun", "ivb_scaled", estfun.ivb_scaled, envir = asNamespace("sandwich"))
registerS3method("bread", "ivb_scaled", bread.ivb_scaled, envir = asNamespace("sandwich"))
registerS3method("nobs", "ivb_scaled", nobs.ivb_scaled, envir = asNamespace("stats"))

# ar() gives up on collinear scores with a warning and no model, and what follows fails in one of several ways.
ivb_prewhitened <- function(order, covariance) {
  singular <- FALSE
  tryCatch(
    withCallingHandlers(covariance, warning = function(w) {
      if (grepl("singularities in the computation", conditionMessage(w), fixed = TRUE)) singular <<- TRUE
    }),
    error = function(e) {
      if (!singular) stop(e)
      ivb_stop("ivb_prewhitening", "VAR(", order, ") prewhitening fails: the estimating functions are too collinear.")
    }
  )
}

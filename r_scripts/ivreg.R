# One IV question, answered by AER::ivreg, sandwich and lmtest.
#
# ivbridge's R engine sources this file after covariance.R and calls the functions whose names start with "ivb_"; it also
# runs alone, with covariance.R in the same folder:
#
#   Rscript ivreg.R --data cigarettes.csv --formula "log(packs) ~ log(rprice) | tdiff" --vcov HC1 [--df Inf]
#   Rscript ivreg.R --data d.csv --formula "y ~ x + w | w + z" --vcov cluster --by state,year --type HC1 [--weights w]
#
# Options after --vcov are the arguments of the estimator: by, type, cadjust, multi0 (cluster); lag, prewhite, adjust,
# order_by (nw); kernel, bw, prewhite, adjust, order_by (andrews); cluster, order_by, lag, aggregate, adjust (dk);
# cluster, order_by (pc); R, seed, cluster (bootstrap).

suppressPackageStartupMessages({
  library(AER)
  library(sandwich)
  library(lmtest)
  library(splines)
})

if (!exists("ivb_vcov_function")) {
  script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
  folder <- c(dirname(as.character(unlist(lapply(sys.frames(), function(frame) frame$ofile)))), dirname(script), ".")
  source(Find(file.exists, file.path(folder, "covariance.R")))
}

# ---- formulas: parsed, checked against a list of functions, never evaluated as code -------------------------------

ivb_functions <- c("~", "|", "+", "-", ":", "*", "/", "^", "(", "I", "log", "log2", "log10", "log1p", "exp", "sqrt",
                   "abs", "poly", "factor", "C", "relevel", "scale", "bs", "ns", "offset", "c")
ivb_constants <- c("TRUE", "FALSE", "contr.treatment", "contr.sum")

# A sum of 500 terms is a tree of depth 500: a recursive walk would exhaust R's C stack.
ivb_check_language <- function(language, columns) {
  left <- list(language)
  while (length(left) > 0L) {
    node <- left[[1L]]
    left <- left[-1L]
    if (is.call(node)) {
      head <- node[[1L]]
      if (!is.name(head) || !(as.character(head) %in% ivb_functions)) {
        stop("the formula uses ", deparse(head)[1L], ", which is not allowed. Available: ",
             paste(ivb_functions, collapse = " "), call. = FALSE)
      }
      left <- c(as.list(node)[-1L], left)
    } else if (is.name(node)) {
      if (!(as.character(node) %in% c(columns, ivb_constants))) {
        stop("the formula uses the column ", sQuote(as.character(node), FALSE), ", which the data does not have. ",
             "Available: ", paste(columns, collapse = ", "), call. = FALSE)
      }
    } else if (!(is.numeric(node) || is.logical(node) || is.character(node))) {
      stop("the formula holds a ", class(node)[1L], ", which is not allowed", call. = FALSE)
    }
  }
  invisible(TRUE)
}

ivb_formula <- function(text, columns) {
  language <- str2lang(text)
  if (!is.call(language) || !identical(language[[1L]], as.name("~")) || length(language) != 3L) {
    stop("not a formula with a left-hand side: ", text, call. = FALSE)
  }
  ivb_check_language(language, columns)
  allowed <- mget(ivb_functions, inherits = TRUE, ifnotfound = list(NULL), mode = "function")
  allowed <- Filter(Negate(is.null), allowed)
  constants <- list(contr.treatment = stats::contr.treatment, contr.sum = stats::contr.sum)
  environment <- list2env(c(allowed, constants), parent = baseenv())
  as.formula(language, env = environment)
}

# ---- the fit -----------------------------------------------------------------------------------------------------

ivb_state <- new.env(parent = emptyenv())

ivb_independent <- function(matrix, weights) {
  scaled <- if (is.null(weights)) matrix else matrix * sqrt(weights)
  decomposition <- qr(scaled, tol = 1e-7)
  sort(decomposition$pivot[seq_len(decomposition$rank)])
}

# The same model on given matrices: for aliased columns, for offsets (AER 1.2 leaves the offset out of its residuals)
# and for resampling rows without losing a factor level.
ivb_fit_matrices <- function(y, x, z, weights) {
  columns <- union(colnames(x), colnames(z))
  alias <- stats::setNames(paste0("v", seq_along(columns)), columns)  # syntactic names, one per column of X and Z
  frame <- as.data.frame(cbind(x, z[, setdiff(colnames(z), colnames(x)), drop = FALSE]))
  names(frame) <- alias[columns]
  part <- function(m) {
    slopes <- alias[setdiff(colnames(m), "(Intercept)")]
    paste(c(if ("(Intercept)" %in% colnames(m)) "1" else "0", slopes), collapse = " + ")
  }
  frame$y <- y
  frame$w <- weights
  formula <- as.formula(paste("y ~", part(x), "|", part(z)), env = list2env(list(frame = frame), parent = globalenv()))
  # the call holds the formula itself and symbols of its environment, so that update() can evaluate it again
  call <- bquote(ivreg(.(formula), data = frame, x = TRUE))
  if (!is.null(weights)) call$weights <- quote(w)
  fit <- eval(call, environment(formula))
  named <- names(fit$coefficients)
  names(fit$coefficients) <- ifelse(named == "(Intercept)", named, names(alias)[match(named, alias)])
  dimnames(fit$cov.unscaled) <- rep(list(names(which(!is.na(fit$coefficients)))), 2L)
  fit
}

#' Fit and keep under `key`. Returns what R saw (rows, matrices) and the parts of the fit that no vcov changes.
ivb_load <- function(key, formula, data, weights = NULL) {
  if (anyDuplicated(names(data))) stop("duplicate column names", call. = FALSE)
  language <- ivb_formula(formula, names(data))
  rm(list = ls(ivb_state), envir = ivb_state)
  fit <- if (is.null(weights)) {
    ivreg(language, data = data, na.action = na.omit, x = TRUE)
  } else {
    # literal symbols: ivreg() evaluates weights and subset inside the data
    frame <- data
    frame$.ivb_weights <- as.numeric(data[[weights]])
    frame$.ivb_use <- is.na(frame$.ivb_weights) | frame$.ivb_weights != 0
    ivreg(language, data = frame, subset = .ivb_use, weights = .ivb_weights, na.action = na.omit, x = TRUE)
  }
  model <- model.frame(fit)
  y <- model.response(model)
  x <- model.matrix(fit, component = "regressors")
  z <- model.matrix(fit, component = "instruments")
  w <- weights(fit)
  shift <- model.offset(model)
  keep_x <- ivb_independent(x, w)
  keep_z <- ivb_independent(z, w)
  full <- list(x = colnames(x), z = colnames(z))
  strip <- function(m, keep) {
    if (length(keep) < ncol(m)) m <- m[, keep, drop = FALSE]
    attributes(m) <- list(dim = dim(m), dimnames = list(NULL, colnames(m)))
    m
  }
  x <- strip(x, keep_x)
  z <- strip(z, keep_z)
  y <- as.vector(y) - if (is.null(shift)) 0 else as.vector(shift)
  reduced <- length(keep_x) < length(full$x) || length(keep_z) < length(full$z)
  if (reduced || !is.null(shift)) fit <- ivb_fit_matrices(y, x, z, w)
  else fit$x[c("regressors", "instruments")] <- list(x, z)  # R shares them with what is kept below
  if (anyNA(coef(fit))) {
    stop("the projected regressors are linearly dependent: ", paste(names(which(is.na(coef(fit)))), collapse = ", "),
         call. = FALSE)
  }
  class(fit) <- c("ivb_ivreg", class(fit))
  rows <- as.integer(rownames(model))
  ivb_state$key <- key
  ivb_state$fit <- fit
  ivb_state$y <- y
  ivb_state$x <- x
  ivb_state$z <- z
  ivb_state$w <- w
  ivb_state$data <- if (length(rows) < nrow(data)) data[rows, , drop = FALSE] else data
  on.exit(ivb_tidy(length(y)))
  list(rows = rows, y = y, x = unname(x), x_names = colnames(x), z = unname(z), z_names = colnames(z),
       aliased = setdiff(full$x, colnames(x)), aliased_instruments = setdiff(full$z, colnames(z)),
       levels = lapply(stats::.getXlevels(terms(model), model), as.character), weights = if (!is.null(w)) as.vector(w),
       residuals = as.vector(residuals(fit)), fitted = as.vector(y - residuals(fit)), sigma = fit$sigma,
       df_resid = df.residual(fit))
}

ivb_stop <- function(class, ...) {
  stop(structure(class = c(class, "error", "condition"), list(message = paste0(...), call = NULL)))
}

# ---- inference ----------------------------------------------------------------------------------------------------

ivb_table <- function(fit, vc, df) {
  test <- coeftest(fit, vcov. = vc, df = df)
  interval <- coefci(fit, vcov. = vc, df = df)
  list(terms = rownames(test), estimate = test[, 1L], std_error = test[, 2L], statistic = test[, 3L],
       p_value = test[, 4L], conf_low = interval[, 1L], conf_high = interval[, 2L])
}

#' Everything that depends on the vcov: table, joint test, diagnostics, first stages. df: NULL (n - k), Inf or a number.
#' skip: tests that this vcov cannot carry ("weak_instruments:<endog>", "wu_hausman", "wald"); their rows are NA.
ivb_infer <- function(key, vcov, df = NULL, skip = NULL) {
  if (!identical(ivb_state$key, key)) ivb_stop("ivb_stale", "R holds another question")
  fit <- ivb_state$fit
  f <- ivb_vcov_function(vcov)
  vc <- if (is.null(f)) vcov(fit) else f(fit)
  if (!is.null(f)) f <- ivb_once(f, vc, keep = identical(vcov$kind, "HC"))
  slopes <- setdiff(names(coef(fit)), "(Intercept)")
  if (length(slopes) && ivb_singular(vc[slopes, slopes, drop = FALSE])) skip <- union(skip, "wald")
  summarised <- if (length(slopes)) ivb_summary(fit, f, vc, df, skip)
  endog <- setdiff(colnames(ivb_state$x), colnames(ivb_state$z))
  resampled <- identical(vcov$kind, "bootstrap")
  on.exit(ivb_tidy(nobs(fit)))
  list(cov = unname(vc), coefs = ivb_table(fit, vc, if (is.null(df)) df.residual(fit) else df),
       r2 = if (is.null(summarised)) 0 else summarised$r.squared,
       r2_adj = if (is.null(summarised)) 0 else summarised$adj.r.squared,
       wald = summarised$waldtest, diagnostics = unname(summarised$diagnostics),
       first_stages = if (!resampled) lapply(stats::setNames(endog, endog), ivb_first_stage, f = f, df = df))
}

# summary() asks twice more for the covariance of the fit, and vcovHC() is the same for the first stage that it tests as
# for ivb_first_stage(): each of them is computed once. Other kinds look at the names of the columns, which differ.
ivb_once <- function(f, vc, keep) {
  force(f) # the caller gives the result the same name
  stages <- list()
  function(x) {
    if (inherits(x, "ivreg")) return(vc)
    ivb_tidy(nobs(x))
    columns <- if (is.null(attr(x, "ivb_columns"))) colnames(x$model[[2L]]) else attr(x, "ivb_columns")
    response <- as.vector(x$model[[1L]])
    for (stage in stages) {
      if (identical(stage$columns, columns) && identical(stage$response, response)) {
        return(structure(stage$vc, dimnames = rep(list(names(which(!is.na(coef(x))))), 2L)))
      }
    }
    found <- f(x)
    if (keep) stages[[length(stages) + 1L]] <<- list(columns = columns, response = response, vc = found)
    found
  }
}

# R collects garbage late, which doubles the memory that a large question needs.
ivb_tidy <- function(n) if (n > 1e5) invisible(gc())

ivb_singular <- function(vc) {
  scale <- sqrt(abs(diag(vc)))
  if (!all(scale > 0)) return(TRUE)
  values <- abs(eigen(vc / outer(scale, scale), symmetric = TRUE, only.values = TRUE)$values)
  min(values) < 1e-12 * max(values)
}

# summary.ivreg() in one call where every test exists. Otherwise, and where its solve() refuses a covariance matrix that
# is only badly scaled, its classical version with the tests that do exist put in one by one.
ivb_summary <- function(fit, f, vc, df, skip) {
  has_endog <- !all(colnames(ivb_state$x) %in% colnames(ivb_state$z))
  df <- if (identical(df, Inf)) Inf
  if (!length(skip)) {
    whole <- tryCatch(summary(fit, vcov. = f, df = df, diagnostics = has_endog), error = function(e) {
      if (!grepl("singular", conditionMessage(e), fixed = TRUE)) stop(e)
    })
    if (!is.null(whole)) return(whole)
  }
  # only what no covariance matrix changes is taken from here
  summarised <- tryCatch(summary(fit, df = df, diagnostics = has_endog), error = function(e) {
    summary(fit, vcov. = function(x) diag(length(coef(x))), df = df, diagnostics = has_endog)
  })
  slopes <- setdiff(names(coef(fit)), "(Intercept)")
  summarised["waldtest"] <- list(if (!("wald" %in% skip)) {
    q <- length(slopes)
    chi2 <- ivb_quadratic(coef(fit)[slopes], vc[slopes, slopes])
    n_k <- df.residual(fit)
    if (is.null(df)) c(chi2 / q, pf(chi2 / q, q, n_k, lower.tail = FALSE), q, n_k)
    else c(chi2, pchisq(chi2, q, lower.tail = FALSE), q)
  })
  if (has_endog) summarised$diagnostics <- ivb_diagnostics(fit, f, skip, summarised$diagnostics)
  summarised
}

ivb_diagnostics <- function(fit, f, skip, rows) {
  x <- ivb_state$x
  z <- ivb_state$z
  endog <- setdiff(colnames(x), colnames(z))
  projected <- model.matrix(fit, component = "projected")
  colnames(projected) <- colnames(x)
  added <- function(key, y, base, extra) if (!(key %in% skip)) ivb_added(y, base, extra, f) else NA_real_
  base <- z[, colnames(z) %in% colnames(x), drop = FALSE]
  extra <- z[, !(colnames(z) %in% colnames(x)), drop = FALSE]
  for (i in seq_along(endog)) {
    rows[i, ] <- added(paste0("weak_instruments:", endog[i]), x[, endog[i]], base, extra)
  }
  rows[length(endog) + 1L, ] <- added("wu_hausman", ivb_state$y, x, projected[, endog, drop = FALSE])
  rows
}

# df1, df2, F and p of the columns `extra` added to `base`, with the vcov of the least-squares fit
ivb_added <- function(y, base, extra, f) {
  w <- ivb_state$w
  columns <- cbind(base, extra)
  fit <- if (is.null(w)) lm(y ~ 0 + columns) else lm(y ~ 0 + columns, weights = w)
  vc <- if (is.null(f)) vcov(fit, complete = FALSE) else f(fit)
  estimated <- which(!is.na(coef(fit)))
  tested <- which(estimated > ncol(base))
  value <- coef(fit)[estimated][tested]
  statistic <- ivb_quadratic(value, vc[tested, tested, drop = FALSE]) / length(tested)
  c(length(tested), df.residual(fit), statistic,
    pf(statistic, length(tested), df.residual(fit), lower.tail = FALSE))
}

ivb_quadratic <- function(value, vc) {
  scale <- sqrt(abs(diag(as.matrix(vc)))) # several cluster dimensions can give a negative variance
  value <- value / scale
  drop(value %*% solve(vc / outer(scale, scale), value))
}

ivb_first_stage <- function(endog, f, df) {
  z <- ivb_state$z
  response <- ivb_state$x[, endog]
  has_intercept <- "(Intercept)" %in% colnames(z)
  slopes <- z[, setdiff(colnames(z), "(Intercept)"), drop = FALSE]
  formula <- if (has_intercept) response ~ slopes else response ~ 0 + slopes
  w <- ivb_state$w
  fit <- if (is.null(w)) lm(formula) else lm(formula, weights = w)
  # renamed before the vcov is taken: automatic bandwidths look for a column called "(Intercept)"
  names(fit$coefficients) <- c(if (has_intercept) "(Intercept)", colnames(slopes))
  attr(fit, "ivb_columns") <- names(fit$coefficients)
  vc <- if (is.null(f)) vcov(fit) else f(fit)
  described <- summary(fit)
  table <- ivb_table(fit, vc, if (is.null(df)) df.residual(fit) else df)
  table$terms <- names(fit$coefficients)
  list(coefs = table, cov = unname(vc), df_resid = df.residual(fit), r2 = described$r.squared,
       r2_adj = described$adj.r.squared, sigma = described$sigma)
}

# ---- on its own --------------------------------------------------------------------------------------------------

ivb_main <- function(arguments) {
  if (length(arguments) %% 2L || !length(arguments)) {
    stop("usage: Rscript ivreg.R --data FILE.csv --formula FORMULA --vcov KIND [--NAME VALUE ...]", call. = FALSE)
  }
  keys <- sub("^--", "", arguments[c(TRUE, FALSE)])
  options <- stats::setNames(as.list(arguments[c(FALSE, TRUE)]), keys)
  data <- utils::read.csv(options$data, check.names = FALSE)
  loaded <- ivb_load("main", options$formula, data, options$weights)
  own <- c("data", "formula", "weights", "df", "vcov", "fuller")
  v <- lapply(options[setdiff(keys, own)], function(text) utils::type.convert(text, as.is = TRUE))
  if (!is.null(v$by)) v$by <- strsplit(v$by, ",", fixed = TRUE)[[1L]]
  kind <- if (is.null(options$vcov)) "classical" else options$vcov
  v <- c(if (startsWith(kind, "HC")) list(kind = "HC", type = kind) else list(kind = kind), v)
  defaults <- list(cluster = list(cadjust = TRUE, multi0 = FALSE), nw = list(prewhite = 1, adjust = FALSE),
                   andrews = list(kernel = "Quadratic Spectral", prewhite = 1, adjust = TRUE),
                   dk = list(lag = "NW1987", aggregate = TRUE, adjust = TRUE), bootstrap = list(R = 250, seed = 1))
  for (name in names(defaults[[kind]])) if (is.null(v[[name]])) v[[name]] <- defaults[[kind]][[name]]
  df <- if (is.null(options$df)) NULL else as.numeric(options$df)
  answer <- if (is.null(options$fuller)) ivb_infer("main", v, df)
            else ivb_kclass("main", v, df, fuller = as.numeric(options$fuller)) # needs kclass.R
  base::options(width = 200L)
  cat(options$formula, "\nvcov ", kind, ", n = ", length(loaded$rows), "\n\n", sep = "")
  columns <- answer$coefs
  print(structure(do.call(cbind, columns[-1L]), dimnames = list(columns$terms, names(columns)[-1L])), digits = 15L)
  if (!is.null(answer$diagnostics)) {
    tests <- c(paste("Weak instruments:", names(answer$first_stages)), "Wu-Hausman", "Sargan",
               if (!is.null(answer$kappa)) "Anderson-Rubin (overidentification)")
    print(structure(answer$diagnostics, dimnames = list(tests, c("df1", "df2", "statistic", "p-value"))), digits = 15L)
  }
  if (!is.null(answer$kappa)) cat("kappa ", format(answer$kappa, digits = 15L), "\n", sep = "")
  invisible(answer)
}

if (sys.nframe() == 0L && length(commandArgs(trailingOnly = TRUE))) ivb_main(commandArgs(trailingOnly = TRUE))

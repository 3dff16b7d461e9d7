# One cross-validated LASSO, answered by glmnet::cv.glmnet.
#
# ivbridge's R engine sources this file and calls the functions whose names start with "ivb_"; it also runs alone:
#
#   Rscript cv_glmnet.R --data d.csv --dependent x --candidates z1,z2,z3 --seed 1 [--nfolds 10] [--alpha 1]
#                       [--weights w] [--penalty.factor 0,1,1] [--foldid column] [--standardize TRUE] [--intercept TRUE]
#                       [--family gaussian] [--type.measure default] [--thresh 1e-7] [--sample.kind Rejection]
#
# glmnet is loaded by the first call that needs it, so this file can be sourced where glmnet is not installed.

# ---- the matrix and the arguments ----------------------------------------------------------------------------------

# A matrix, or list(i, p, x, dim) with the row numbers (from 0), column starts and values of compressed sparse columns.
lasso_matrix <- function(x, names) {
  if (is.list(x)) {
    x <- Matrix::sparseMatrix(i = x$i, p = x$p, x = as.double(x$x), dims = as.integer(x$dim), index1 = FALSE)
  } else {
    storage.mode(x) <- "double"
  }
  colnames(x) <- names
  x
}

# Arguments of glmnet() and of cv.glmnet(), which passes them on; what is NULL keeps R's default.
lasso_arguments <- function(options) {
  known <- c("weights", "penalty.factor", "lambda", "alpha", "standardize", "intercept", "family", "thresh")
  unknown <- setdiff(names(options), known)
  if (length(unknown)) stop("unknown arguments: ", toString(unknown), ". Available: ", toString(known), call. = FALSE)
  options <- Filter(Negate(is.null), options)
  # 1e5 passes over the data are enough for the default threshold, not for much smaller ones
  if (!is.null(options$thresh) && options$thresh < 1e-7) options$maxit <- 1e8
  options
}

lasso_path <- function(fit) {
  beta <- as.matrix(fit$beta)
  list(lambda = fit$lambda, a0 = as.numeric(fit$a0), beta = unname(beta), names = rownames(beta),
       dev_ratio = fit$dev.ratio, classes = fit$classnames, passes = fit$npasses, error = fit$jerr)
}

# Evaluate with R's generator seeded, and leave it afterwards as it was.
lasso_seeded <- function(seed, sample.kind, work) {
  kinds <- RNGkind()
  state <- if (exists(".Random.seed", globalenv(), inherits = FALSE)) get(".Random.seed", globalenv())
  on.exit({
    suppressWarnings(RNGkind(kinds[1L], kinds[2L], kinds[3L]))
    if (is.null(state)) suppressWarnings(rm(".Random.seed", envir = globalenv()))
    else assign(".Random.seed", state, globalenv())
  })
  # "Rounding" warns that it is not quite uniform; it is asked for to repeat answers of R before 3.6
  suppressWarnings(RNGkind("Mersenne-Twister", "Inversion", sample.kind))
  set.seed(seed)
  work()
}

# ---- what ivbridge calls -------------------------------------------------------------------------------------------

#' Solutions on all rows: glmnet::glmnet(x, y, ...).
#'
#' x: matrix or list(i, p, x, dim); y: numbers, or two values for family = "binomial"; names: columns of x;
#' options: named list of glmnet's own arguments.
ivb_glmnet_path <- function(x, y, names, options = list()) {
  x <- lasso_matrix(x, names)
  lasso_path(do.call(glmnet::glmnet, c(list(x = quote(x), y = quote(y)), lasso_arguments(options))))
}

#' The path with its cross-validation: glmnet::cv.glmnet(x, y, ...).
#'
#' folds: list(foldid = ) with the fold of each row, or list(k = , seed = , sample.kind = ): then R draws them itself,
#' by set.seed(seed); cv.glmnet(x, y, nfolds = k).
ivb_cv_glmnet <- function(x, y, names, folds, type.measure = "default", options = list()) {
  x <- lasso_matrix(x, names)
  arguments <- c(list(x = quote(x), y = quote(y), type.measure = type.measure, keep = TRUE), lasso_arguments(options))
  fit <- if (!is.null(folds$foldid)) {
    do.call(glmnet::cv.glmnet, c(arguments, list(foldid = folds$foldid)))
  } else {
    loadNamespace("glmnet") # before the seed is set: loading must not use up random numbers
    lasso_seeded(folds$seed, folds$sample.kind, function() {
      do.call(glmnet::cv.glmnet, c(arguments, list(nfolds = folds$k)))
    })
  }
  path <- lasso_path(fit$glmnet.fit)
  # cv.glmnet leaves out penalties whose loss is missing in a fold
  at <- match(path$lambda, fit$lambda)
  c(path, list(cvm = as.numeric(fit$cvm)[at], cvsd = as.numeric(fit$cvsd)[at], nzero = as.numeric(fit$nzero)[at],
               index_min = match(fit$lambda.min, path$lambda), index_1se = match(fit$lambda.1se, path$lambda),
               lambda_min = fit$lambda.min, lambda_1se = fit$lambda.1se, measure = unname(fit$name),
               foldid = as.integer(fit$foldid), n = nrow(x)))
}

# ---- on its own ----------------------------------------------------------------------------------------------------

lasso_question <- function(arguments) {
  keys <- sub("^--", "", arguments[c(TRUE, FALSE)])
  options <- stats::setNames(as.list(arguments[c(FALSE, TRUE)]), keys)
  needed <- c("data", "dependent", "candidates")
  if (length(arguments) %% 2L || !all(needed %in% keys)) {
    stop("usage: Rscript cv_glmnet.R --data FILE.csv --dependent NAME --candidates NAME,NAME,... [--seed 1] ",
         "[--NAME VALUE ...]", call. = FALSE)
  }
  options$candidates <- strsplit(options$candidates, ",", fixed = TRUE)[[1L]]
  data <- utils::read.csv(options$data, check.names = FALSE)
  columns <- c(options$dependent, options$candidates, options$weights, options$foldid)
  absent <- setdiff(columns, names(data))
  if (length(absent)) stop("the data has no column ", toString(absent), call. = FALSE)
  options$data <- stats::na.omit(data[columns])
  options
}

lasso_main <- function(arguments) {
  asked <- lasso_question(arguments)
  data <- asked$data
  value <- function(name, default) {
    if (is.null(asked[[name]])) default else utils::type.convert(asked[[name]], as.is = TRUE)
  }
  folds <- if (!is.null(asked$foldid)) list(foldid = data[[asked$foldid]])
           else list(k = value("nfolds", 10), seed = value("seed", 1), sample.kind = value("sample.kind", "Rejection"))
  options <- list(alpha = value("alpha", 1), standardize = value("standardize", TRUE), thresh = value("thresh", 1e-7),
                  intercept = value("intercept", TRUE), family = value("family", "gaussian"))
  if (!is.null(asked$weights)) options$weights <- data[[asked$weights]]
  for (name in c("penalty.factor", "lambda")) {
    if (!is.null(asked[[name]])) options[[name]] <- as.numeric(strsplit(asked[[name]], ",", fixed = TRUE)[[1L]])
  }
  x <- as.matrix(data[asked$candidates])
  y <- data[[asked$dependent]]
  answer <- ivb_cv_glmnet(x, y, asked$candidates, folds, value("type.measure", "default"), options)
  at <- c(lambda.min = answer$index_min, lambda.1se = answer$index_1se)
  base::options(width = 200L)
  cat(asked$dependent, " on ", length(asked$candidates), " candidates, n = ", answer$n, ", ", answer$measure, "\n\n",
      sep = "")
  print(cbind(lambda = answer$lambda[at], index = at, measure = answer$cvm[at], se = answer$cvsd[at],
              nonzero = answer$nzero[at]), digits = 15L)
  cat("\n")
  coefs <- rbind(answer$a0[at], answer$beta[, at, drop = FALSE])
  dimnames(coefs) <- list(c("(Intercept)", asked$candidates), names(at))
  print(coefs[rowSums(coefs != 0) > 0 | rownames(coefs) == "(Intercept)", , drop = FALSE], digits = 15L)
  invisible(answer)
}

if (sys.nframe() == 0L && length(commandArgs(trailingOnly = TRUE))) lasso_main(commandArgs(trailingOnly = TRUE))

# "Machine Learning Meets Instrumental Variables" in R alone: both simulations of the post, with its code corrected.
#
#   Rscript post.R [--json out.json] [--seeds 30]
#
# `ivbridge post` gives the same numbers from Python. What is corrected, and why, is in docs/how-to/old-ivreg-call.md:
#
#   post                                       here
#   ivreg(Y ~ X, Z, data = df)                 ivreg(Y ~ X | Z, data = df)
#   <- cv.glmnet(…); predict(, …)              lasso <- cv.glmnet(…); predict(lasso, …), names lost in print
#   predict(lasso, type = "nonzero")           the same with s = "lambda.1se", its default, said aloud
#   R 3.4's sample()                           RNGkind(sample.kind = "Rounding")
#   confint(fit)                               coefci(fit, vcov. = sandwich, df = Inf), the post's printed interval

suppressPackageStartupMessages({
  library(AER)
  library(glmnet)
  library(lmtest)
  library(sandwich)
})

# ---- the two worlds; the order of the draws is what makes the numbers ---------------------------------------------

post_a <- function(n = 1000, seed = 1) {
  set.seed(seed)
  weak <- rnorm(n)
  good <- rnorm(n)
  invalid <- rnorm(n)
  unobserved <- 3 * invalid + rnorm(n)
  x <- -0.000001 * round(weak) + 2.5 * invalid + 2.5 * good + 0.5 * unobserved + rnorm(n)
  y <- 2 * x + 1.1 * unobserved + rnorm(n)
  data.frame(Y = y, X = x, good, weak, invalid)
}

post_b <- function(n = 1000, p = 500, seed = 1) {
  set.seed(seed)
  half <- rep(1:0, c(n %/% 2, n - n %/% 2))
  tests <- replicate(p, sample(half))
  colnames(tests) <- paste0("M.", seq_len(p))
  unobserved <- rnorm(n)
  on_x <- rnorm(p, 0, 5) * sign(rnorm(p))
  on_x[1:20] <- rnorm(20, 1, 4)
  on_x[21:25] <- 100
  on_x[201:p] <- 0
  x <- drop(tests %*% on_x + 120 * unobserved + rnorm(n))
  on_y <- rnorm(20, 5, 3) * sign(rnorm(20))
  y <- drop(2 * x + 200 * unobserved + rnorm(n) + tests[, 1:20] %*% on_y)
  data.frame(Y = y, X = x, tests)
}

# ---- estimates, one row each --------------------------------------------------------------------------------------

post_least_squares <- function(data) {
  fit <- lm(Y ~ X, data = data)
  interval <- confint(fit)["X", ]
  post_row("OLS", coef(fit)[["X"]], coef(summary(fit))["X", "Std. Error"], interval)
}

post_instrumented <- function(label, instruments, data) {
  formula <- as.formula(paste("Y ~ X |", paste(instruments, collapse = " + ")))
  fit <- ivreg(formula, data = data)
  row <- post_row(label, coef(fit)[["X"]], coeftest(fit, vcov. = sandwich, df = Inf)["X", "Std. Error"],
                  coefci(fit, "X", vcov. = sandwich, df = Inf))
  tests <- summary(fit, vcov. = sandwich, df = Inf, diagnostics = TRUE)$diagnostics
  row$f <- summary(fit, diagnostics = TRUE)$diagnostics["Weak instruments", "statistic"]
  row$f.hc0 <- tests["Weak instruments", "statistic"]
  row$wu.hausman <- tests["Wu-Hausman", "statistic"]
  row$sargan <- tests["Sargan", "statistic"]
  row$sargan.p <- tests["Sargan", "p-value"]
  row$selected <- length(instruments)
  row
}

post_row <- function(label, estimate, std.error, interval) {
  data.frame(label, estimate, std.error, conf.low = interval[[1L]], conf.high = interval[[2L]], f = NA_real_,
             f.hc0 = NA_real_, wu.hausman = NA_real_, sargan = NA_real_, sargan.p = NA_real_, selected = NA_integer_)
}

# Instruments that the LASSO of X on tests 21 … chooses. The folds are what R draws next, as in the post.
post_selected <- function(data) {
  candidates <- as.matrix(data[, -(1:22)])
  lasso <- cv.glmnet(candidates, data$X, alpha = 1)
  chosen <- predict(lasso, type = "nonzero", s = "lambda.1se")
  colnames(candidates)[unlist(chosen)]
}

# ---- the whole post -----------------------------------------------------------------------------------------------

post_sampler <- function(kind) suppressWarnings(RNGkind(sample.kind = kind)) # "Rounding" warns that it is not uniform

post_run <- function(seeds = 30L) {
  on.exit(post_sampler("default"))
  data <- post_a()
  a <- rbind(post_least_squares(data), post_instrumented("good", "good", data),
             post_instrumented("weak", "weak", data), post_instrumented("invalid", "invalid", data))

  post_sampler("Rounding")
  data <- post_b()
  chosen <- post_selected(data)
  b <- rbind(post_least_squares(data), post_instrumented("LASSO", chosen, data),
             post_instrumented("all instruments", names(data)[-(1:2)], data))

  post_sampler("Rejection")
  folds <- do.call(rbind, lapply(seq_len(seeds), function(seed) {
    set.seed(seed)
    cbind(seed = seed, post_instrumented("LASSO", post_selected(data), data))
  }))

  data <- post_b()
  today <- post_instrumented("LASSO", post_selected(data), data)
  list(a = a, b = b, chosen = chosen, folds = folds, today = today)
}

post_print <- function(result) {
  options(width = 160L)
  show <- function(rows, columns) print(format(rows[, columns], digits = 7, nsmall = 3), row.names = FALSE)
  columns <- c("label", "estimate", "std.error", "conf.low", "conf.high", "f", "f.hc0", "wu.hausman")
  cat("The true effect is 2. Intervals are 95 %: classical for OLS, HC0 and normal otherwise.\n\nSimulation A\n")
  show(result$a, columns)
  cat("\nSimulation B, sample.kind = \"Rounding\"\n")
  show(result$b, c(columns, "sargan.p", "selected"))
  cat("The LASSO (lambda.1se) chose ", toString(result$chosen), ".\n\n", sep = "")
  cat("The same data with other folds, set.seed(1), set.seed(2), … before cv.glmnet\n")
  show(result$folds, c("seed", "selected", "estimate", "conf.low", "conf.high", "sargan.p"))
  five <- sum(result$folds$selected == 5L)
  cat("Five instruments, as in the post, with ", five, " of ", nrow(result$folds), " fold seeds.\n\n", sep = "")
  cat("The same code with today's sample()\n")
  show(result$today, c("label", "selected", "estimate", "conf.low", "conf.high", "sargan.p"))
}

post_json <- function(result) {
  value <- function(x) if (is.character(x)) dQuote(x, FALSE) else ifelse(is.na(x), "null", sprintf("%.17g", x))
  record <- function(row) {
    paste0("{", paste0(dQuote(names(row), FALSE), ": ", vapply(row, value, ""), collapse = ", "), "}")
  }
  records <- function(rows) {
    paste0("[", paste(vapply(seq_len(nrow(rows)), function(i) record(rows[i, ]), ""), collapse = ",\n"), "]")
  }
  versions <- list(R = paste(R.version$major, R.version$minor, sep = "."))
  for (package in c("AER", "glmnet", "lmtest", "sandwich")) {
    versions[[package]] <- as.character(packageVersion(package))
  }
  chosen <- paste0("[", toString(value(result$chosen)), "]")
  parts <- c(versions = record(versions), a = records(result$a), b = records(result$b), chosen = chosen,
             folds = records(result$folds), today = record(result$today))
  paste0("{", paste0(dQuote(names(parts), FALSE), ": ", parts, collapse = ",\n"), "}")
}

post_main <- function(arguments) {
  known <- list("--json" = NULL, "--seeds" = "30")
  while (length(arguments)) {
    if (!arguments[1L] %in% c("--json", "--seeds") || length(arguments) < 2L) {
      stop("usage: Rscript post.R [--json out.json] [--seeds 30]", call. = FALSE)
    }
    known[[arguments[1L]]] <- arguments[2L]
    arguments <- arguments[-(1:2)]
  }
  seeds <- suppressWarnings(as.integer(known[["--seeds"]]))
  if (is.na(seeds) || seeds < 1L) stop("--seeds takes a whole number, 1 or more", call. = FALSE)
  result <- post_run(seeds)
  post_print(result)
  if (!is.null(known[["--json"]])) writeLines(post_json(result), known[["--json"]])
}

if (sys.nframe() == 0L) post_main(commandArgs(trailingOnly = TRUE))

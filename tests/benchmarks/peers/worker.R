# A process that answers the calls of one R package, as worker.py does of Python packages: Rscript worker.R NAME
# Lines in, separated by tabs: `load FOLDER ROWS FORMULA COLUMN ...`, `run TASK INNER`. One JSON text a line out.

name <- commandArgs(TRUE)[1L]
package <- c("AER" = "AER", "AER, vcovHC" = "AER", "ivreg" = "ivreg", "estimatr" = "estimatr", "fixest" = "fixest")[[name]]

say <- function(...) {
  cat(sprintf(...), "\n", sep = "")
  flush(stdout())
}
json <- function(values) {
  paste0("{", paste0('"', names(values), '": ', sprintf("%.17g", values), collapse = ", "), "}")
}
quoted <- function(text) gsub('["\\\\[:cntrl:]]', " ", substr(text, 1L, 200L))

if (!requireNamespace(package, quietly = TRUE) || (package == "ivreg" && !requireNamespace("sandwich", quietly = TRUE))) {
  say('{"missing": "not installed"}')
  quit(save = "no")
}
suppressPackageStartupMessages({
  library(package, character.only = TRUE)
  if (package == "ivreg") library(sandwich)
})
if (package == "fixest") setFixest_nthreads(1)
say('{"version": "%s"}', packageVersion(package))

# fixest writes the endogenous part apart
fixest_formula <- function(exog, excluded) {
  as.formula(sprintf("y ~ %s | x ~ %s", paste(exog, collapse = " + "), paste(excluded, collapse = " + ")))
}
errors <- function(covariance) sqrt(diag(covariance))
calls <- list(
  "AER" = function(task) {
    fit <- ivreg(formula, data = data)
    v <- if (task == "HC1") sandwich(fit) * nobs(fit) / df.residual(fit) else vcovCL(fit, cluster = data$g, type = "HC1")
    list(coef(fit), errors(v))
  },
  "AER, vcovHC" = function(task) {
    fit <- ivreg(formula, data = data)
    list(coef(fit), errors(vcovHC(fit, type = "HC1")))
  },
  "ivreg" = function(task) {
    fit <- ivreg::ivreg(formula, data = data)
    v <- if (task == "HC1") vcovHC(fit, type = "HC1") else vcovCL(fit, cluster = data$g, type = "HC1")
    list(coef(fit), errors(v))
  },
  "estimatr" = function(task) {
    fit <- if (task == "HC1") {
      iv_robust(formula, data = data, se_type = "HC1")
    } else {
      iv_robust(formula, data = data, clusters = g, se_type = "stata")
    }
    list(fit$coefficients, fit$std.error)
  },
  "fixest" = function(task) {
    fit <- feols(parted, data, vcov = if (task == "HC1") "hetero" else ~g, notes = FALSE, warn = FALSE)
    found <- list(coef(fit), se(fit))
    lapply(found, function(values) setNames(values, sub("^fit_", "", names(values))))
  }
)

data <- formula <- parted <- NULL
load <- function(asked) {
  rows <- as.integer(asked[3L])
  columns <- asked[-(1:4)]
  file <- file(file.path(asked[2L], "columns"), "rb")
  data <<- lapply(setNames(columns, columns), function(name) readBin(file, "double", rows))
  close(file)
  data$g <<- readBin(file.path(asked[2L], "g"), "integer", rows)
  data <<- structure(data, row.names = .set_row_names(rows), class = "data.frame")
  formula <<- as.formula(asked[4L])
  parted <<- fixest_formula(grep("^w", columns, value = TRUE), grep("^z", columns, value = TRUE))
  say("{}")
}
run <- function(task, inner) {
  invisible(gc())
  seconds <- numeric(inner)
  for (i in seq_len(inner)) {
    begun <- Sys.time()
    found <- calls[[name]](task)
    seconds[i] <- as.numeric(difftime(Sys.time(), begun, units = "secs"))
  }
  say('{"seconds": [%s], "coef": %s, "se": %s, "tests": {}}',
      paste(sprintf("%.9g", seconds), collapse = ", "), json(found[[1L]]), json(found[[2L]]))
}

input <- file("stdin", "r")
while (length(line <- readLines(input, 1L)) == 1L) {
  asked <- strsplit(line, "\t", fixed = TRUE)[[1L]]
  tryCatch(
    if (asked[1L] == "load") load(asked) else run(asked[2L], as.integer(asked[3L])),
    error = function(problem) say('{"failed": "%s"}', quoted(conditionMessage(problem)))
  )
}

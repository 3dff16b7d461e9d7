# The same question by plain R calls, on data that are there: Rscript plain.R FOLDER ROWS REPEATS TYPE ...
# FOLDER holds the columns one after the other as doubles in `data`, their names in `names` and the formula in `formula`.
# Prints JSON: for every type the least seconds of the repeats, and the peak memory of this process in bytes.

suppressPackageStartupMessages(library(AER))

folder <- commandArgs(TRUE)[1L]
rows <- as.integer(commandArgs(TRUE)[2L])
repeats <- as.integer(commandArgs(TRUE)[3L])
types <- commandArgs(TRUE)[-(1:3)]

connection <- file(file.path(folder, "data"), "rb")
columns <- lapply(readLines(file.path(folder, "names")), function(name) readBin(connection, "double", rows))
close(connection)
data <- as.data.frame(stats::setNames(columns, readLines(file.path(folder, "names"))))
rm(columns)
formula <- as.formula(readLines(file.path(folder, "formula")))

covariance <- function(type) {
  switch(type,
    classical = NULL,
    sandwich = function(x) sandwich(x) * nobs(x) / df.residual(x),
    function(x) vcovHC(x, type = type)
  )
}
answer <- function(type) {
  fit <- ivreg(formula, data = data)
  summary(fit, vcov. = covariance(type), diagnostics = TRUE)
}
seconds <- sapply(types, function(type) min(replicate(repeats, system.time(answer(type))[["elapsed"]])))
peak <- grep("VmHWM", readLines("/proc/self/status"), value = TRUE)
cat(sprintf('{"seconds": {%s}, "peak": %s}\n', paste0('"', types, '": ', seconds, collapse = ", "),
            1024 * as.numeric(gsub("[^0-9]", "", peak))))

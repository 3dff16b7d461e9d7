# Compute a recorded reference again, with R alone, and say whether R still gives its numbers.
#
#   Rscript replay.R FILE.json [DATA.csv]
#
# The data are FILE.csv beside FILE.json unless a file is named; `ivbridge record --export FILE.json` writes them. A
# number agrees if it has as many digits as rounding left when it was recorded. Exit code: 0 all agree, 1 one differs, 2
# it could not be run. Needs jsonlite, AER, sandwich and lmtest; the other scripts are in the same folder.

suppressPackageStartupMessages(library(jsonlite))

replay_folder <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L]))
replay_format <- "ivbridge-reference/1"

# ---- the file: data, never code ----------------------------------------------------------------------------------

# JSON has no NaN and no infinity; they are texts there.
replay_numbers <- function(values) {
  words <- c("NaN" = NaN, "Infinity" = Inf, "-Infinity" = -Inf)
  vapply(values, function(value) if (is.character(value)) words[[value]] else as.numeric(value), numeric(1L))
}

# Lists of plain values as vectors, in an argument of a function of the scripts.
replay_argument <- function(value) {
  if (identical(value, "Infinity")) return(Inf)
  if (!is.list(value)) return(value)
  if (is.null(names(value))) unlist(value) else lapply(value, replay_argument)
}

# jsonlite reads decimals to the nearest double, which R's own reader misses now and then by one bit.
replay_decimals <- function(texts) {
  known <- texts != ""
  values <- rep(NA_real_, length(texts))
  if (any(known)) values[known] <- as.numeric(fromJSON(paste0("[", paste(texts[known], collapse = ","), "]")))
  values
}

replay_column <- function(texts, about) {
  switch(about$kind,
    number = replay_decimals(texts),
    integer = as.integer(replay_decimals(texts)),
    boolean = as.logical(ifelse(texts == "", NA, texts)),
    category = factor(ifelse(texts == "", NA, texts), levels = unlist(about$levels), ordered = isTRUE(about$ordered)),
    stop("unknown kind of column ", about$kind, call. = FALSE)
  )
}

replay_data <- function(file, about) {
  if (!file.exists(file)) {
    stop("there is no file ", file, ". Write it: ivbridge record --export ", sub("[.]csv$", ".json", file), call. = FALSE)
  }
  texts <- utils::read.csv(file, colClasses = "character", na.strings = character(), check.names = FALSE,
                           fileEncoding = "UTF-8", strip.white = FALSE)
  if (missing <- length(setdiff(names(about$columns), names(texts)))) {
    stop(file, " lacks ", missing, " of the columns that the question uses", call. = FALSE)
  }
  if (nrow(texts) != about$rows) stop(file, " has ", nrow(texts), " rows, not ", about$rows, call. = FALSE)
  data <- Map(replay_column, texts[names(about$columns)], about$columns)
  structure(data, names = names(about$columns), row.names = seq_len(nrow(texts)), class = "data.frame")
}

# ---- both answers in one form, and as one table of numbers -------------------------------------------------------

replay_matrix <- function(rows) if (is.matrix(rows)) rows else do.call(rbind, lapply(rows, replay_numbers))

replay_fit <- function(fit) {
  columns <- c("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")
  scalars <- c("sigma", "r2", "r2_adj", "df_resid", "kappa")
  c(list(coefs = lapply(stats::setNames(columns, columns), function(name) replay_numbers(as.list(fit$coefs[[name]]))),
         terms = unlist(fit$coefs$terms), cov = replay_matrix(fit$cov)),
    lapply(Filter(Negate(is.null), fit[scalars]), function(value) replay_numbers(list(value))))
}

replay_recorded <- function(answer, model) {
  applies <- Filter(function(test) identical(test$type, "Test"), answer$tests)
  kept <- length(model$residuals) > 0L
  c(replay_fit(c(answer, model[c("sigma", "df_resid")])),
    list(residuals = if (kept) replay_numbers(model$residuals), fitted = if (kept) replay_numbers(model$fitted),
         tests = lapply(applies, function(test) replay_numbers(test[c("statistic", "p_value", "df1", "df2")])),
         stages = lapply(answer$first_stages, replay_fit)))
}

# Of R's tests those that the reference has; AER's rows hold df1, df2, statistic and p.
replay_live <- function(found, like) {
  endog <- setdiff(colnames(ivb_state$x), colnames(ivb_state$z))
  rows <- c(paste0(rep("weak_instruments:", length(endog)), endog), "wu_hausman", "sargan", "anderson_rubin")
  tests <- lapply(stats::setNames(nm = names(like$tests)), function(key) {
    if (key == "wald") return(c(found$wald, Inf)[1:4])
    row <- found$diagnostics[match(key, rows), ]
    c(row[3L], row[4L], row[1L], if (key %in% c("sargan", "anderson_rubin")) Inf else row[2L])
  })
  kept <- !is.null(like$residuals)
  c(replay_fit(found), list(residuals = if (kept) found$residuals, fitted = if (kept) found$fitted, tests = tests,
                            stages = if (length(like$stages)) lapply(unname(found$first_stages), replay_fit)))
}

# quantity, value and what a gap is measured against, as ivbridge's own comparison does (gaps.py)
replay_rows <- function(quantity, value, scale = abs(value)) {
  if (length(value)) data.frame(quantity = quantity, value = unname(value), scale = unname(scale))
}

replay_p_rows <- function(quantity, p) {
  replay_rows(quantity, p, ifelse(p > 0 & p < 1, pmax(p * pmax(1, -log(p)), .Machine$double.xmin), abs(p)))
}

replay_fit_rows <- function(fit, prefix = "") {
  size <- sqrt(abs(diag(fit$cov)))
  lower <- function(m) t(m)[upper.tri(m, diag = TRUE)]  # row by row
  one <- function(quantity, ...) replay_rows(paste0(prefix, quantity), ...)
  coefs <- fit$coefs
  rbind(one("estimate", coefs$estimate), one("std.error", coefs$std_error), one("statistic", coefs$statistic),
        replay_p_rows(paste0(prefix, "p.value"), coefs$p_value), one("conf.low", coefs$conf_low),
        one("conf.high", coefs$conf_high), one("cov", lower(fit$cov), lower(outer(size, size))),
        one("sigma", fit$sigma), one("r.squared", fit$r2), one("adj.r.squared", fit$r2_adj),
        one("df.residual", fit$df_resid), one("kappa", fit$kappa))
}

replay_table <- function(answer) {
  tests <- do.call(rbind, lapply(answer$tests, function(test) {
    rbind(replay_rows("test statistic", test[1L]), replay_p_rows("test p.value", test[2L]),
          replay_rows("test df1", test[3L]), if (is.finite(test[4L])) replay_rows("test df2", test[4L]))
  }))
  stages <- do.call(rbind, lapply(answer$stages, replay_fit_rows, prefix = "first stage "))
  rbind(replay_fit_rows(answer), replay_rows("resid", answer$residuals, rep(answer$sigma, length(answer$residuals))),
        replay_rows("fitted", answer$fitted, rep(max(abs(answer$fitted), 0), length(answer$fitted))), tests, stages)
}

# ---- comparison --------------------------------------------------------------------------------------------------

# The digits that each number must have; residuals and fitted values share one.
replay_needed <- function(table, digits) {
  needed <- rep(NA_real_, nrow(table))
  for (quantity in unique(table$quantity)) {
    places <- which(table$quantity == quantity)
    least <- replay_numbers(digits[[quantity]])
    if (!(length(least) %in% c(1L, length(places)))) {
      stop("the digits of ", quantity, " are not one a number", call. = FALSE)
    }
    needed[places] <- least
  }
  needed
}

# Digits that two values share; both missing is the same.
replay_digits <- function(one, other) {
  same <- one$value == other$value | (is.na(one$value) & is.na(other$value))
  gap <- abs(other$value - one$value) / ifelse(one$scale > 0, one$scale, 1)
  digits <- ifelse(same %in% TRUE, 17, pmin(17, pmax(0, -log10(gap))))
  ifelse(is.na(digits), 0, digits)
}

# The same answer with its covariances turned over: what stands above the diagonal is compared, too.
replay_turned <- function(answer) {
  answer$cov <- t(answer$cov)
  answer$stages <- lapply(answer$stages, function(stage) replace(stage, "cov", list(t(stage$cov))))
  answer
}

replay_compare <- function(answer, model, found) {
  recorded <- replay_recorded(answer, model)
  live <- replay_live(found, recorded)
  one <- replay_table(recorded)
  other <- replay_table(live)
  if (!identical(one$quantity, other$quantity) || !identical(recorded$terms, live$terms)) {
    return(list(ok = FALSE, text = "DIFFERS: R answers with other terms or tests"))
  }
  turned <- replay_digits(replay_table(replay_turned(recorded)), replay_table(replay_turned(live)))
  digits <- pmin(replay_digits(one, other), turned)
  failed <- which(digits < replay_needed(one, answer$digits))
  if (!length(failed)) {
    worst <- if (all(digits == 17)) "the same bits" else sprintf("%.1f digits or more", min(digits))
    few <- sum(digits < 6)
    if (few) worst <- sprintf("%s; %d of them fewer than 6 digits, which the file calls rounding", worst, few)
    return(list(ok = TRUE, text = sprintf("agrees: %d numbers, %s", length(digits), worst)))
  }
  shown <- utils::head(failed[order(digits[failed])], 5L)
  lines <- sprintf("    %s: recorded %.17g, R here %.17g, %.1f digits", one$quantity[shown], one$value[shown],
                   other$value[shown], digits[shown])
  list(ok = FALSE, text = paste(c(sprintf("DIFFERS in %d of %d numbers", length(failed), length(digits)), lines),
                                collapse = "\n"))
}

# What R used: rows, columns and their sums. Texts where it is not what it was.
replay_seen <- function(loaded, model) {
  places <- unlist(lapply(model$rows, function(pair) seq(pair[[1L]], pair[[2L]])))
  lists <- list(rows = identical(as.integer(places) + 1L, as.integer(loaded$rows)),
                regressors = identical(unlist(model$x_names), loaded$x_names),
                instruments = identical(unlist(model$z_names), loaded$z_names))
  weights <- (seq_along(loaded$rows) * ((sqrt(5) - 1) / 2)) %% 1
  close <- function(column, sums) {
    now <- c(sum(column), sum(column * weights), max(abs(column)))
    all(abs(now - replay_numbers(sums)) <= 1e-10 * sqrt(length(column)) * max(now[3L], 1e-300))
  }
  columns <- function(m, names, sums) {
    all(vapply(seq_along(names), function(j) close(m[, j], sums[[names[j]]]), logical(1L)))
  }
  if (all(unlist(lists))) {
    lists$columns <- close(loaded$y, model$sums$y$y) && columns(loaded$x, loaded$x_names, model$sums$x) &&
      columns(loaded$z, loaded$z_names, model$sums$z)
  }
  names(lists)[!unlist(lists)]
}

replay_versions <- function(recorded) {
  packages <- setdiff(names(recorded$versions), c("R", "bridge"))
  now <- vapply(packages, function(package) as.character(utils::packageVersion(package)), "")
  now <- c(R = as.character(getRversion()), now)
  then <- unlist(recorded$versions[names(now)])
  changed <- names(now)[now != then]
  if (!length(changed)) "the same versions of R and its packages"
  else paste0("other versions: ", paste0(changed, " ", then[changed], " -> ", now[changed], collapse = ", "))
}

# ---- the program -------------------------------------------------------------------------------------------------

replay_file <- function(file, data_file) {
  if (!file.exists(file) || dir.exists(file)) stop("there is no file ", file, call. = FALSE)
  text <- paste(readLines(file, encoding = "UTF-8", warn = FALSE), collapse = "\n")
  tree <- fromJSON(text, simplifyVector = FALSE)
  if (!identical(tree$format, replay_format)) stop(file, " is no reference of ivbridge", call. = FALSE)
  source(file.path(replay_folder, "ivreg.R"))
  source(file.path(replay_folder, "kclass.R"))
  data <- replay_data(data_file, tree$data)
  loaded <- ivb_load("replay", tree$question$formula, data, tree$question$weights)
  then <- tree$recorded
  cat(tree$question$formula, "\n  recorded on ", substr(then$on, 1L, 10L), " with R ", then$versions$R, "; here ",
      replay_versions(then), "\n", sep = "")
  other <- replay_seen(loaded, tree$model)
  if (length(other)) cat("  DIFFERS: R sees other ", paste(other, collapse = ", "), "\n", sep = "")
  ok <- vapply(tree$answers, function(answer) {
    asked <- lapply(answer$asked, replay_argument)
    run <- switch(asked[["function"]], ivb_infer = ivb_infer, ivb_kclass = ivb_kclass,
                  stop("the reference asks for a function that is not there", call. = FALSE))
    found <- do.call(run, c(list("replay"), asked[names(asked) != "function"]))
    found <- c(found, loaded[setdiff(c("sigma", "df_resid", "residuals", "fitted"), names(found))])
    result <- replay_compare(answer, tree$model, found)
    cat("  ", answer$vcov, ": ", result$text, "\n", sep = "")
    result$ok
  }, logical(1L))
  all(ok) && !length(other)
}

replay_main <- function(arguments) {
  if (!(length(arguments) %in% 1:2)) {
    cat("usage: Rscript replay.R FILE.json [DATA.csv]\n", file = stderr())
    return(2L)
  }
  data_file <- if (length(arguments) == 2L) arguments[2L] else sub("[.]json$", ".csv", arguments[1L])
  tryCatch({
    agrees <- replay_file(arguments[1L], data_file)
    cat(if (agrees) "AGREES" else "DIFFERS", "\n", sep = "")
    if (agrees) 0L else 1L
  }, error = function(e) {
    cat("replay.R: ", conditionMessage(e), "\n", sep = "", file = stderr())
    2L
  })
}

if (sys.nframe() == 0L) quit(status = replay_main(commandArgs(trailingOnly = TRUE)))

# Rankings of units by effect, judged by hand: what ivbridge.causal.heterogeneity is held against.

# the calibration test as a regression; one-sided p-values as grf has them
ivb_causal_calibration <- function(y, mean, t, chance, predicted) {
  moved <- t - chance
  data <- data.frame(target = y - mean, level = moved * base::mean(predicted),
                     differential = moved * (predicted - base::mean(predicted)))
  fit <- stats::lm(target ~ level + differential + 0, data = data)
  tested <- lmtest::coeftest(fit, vcov. = sandwich::vcovHC(fit, type = "HC3"))
  list(estimate = unname(tested[, 1L]), std_error = unname(tested[, 2L]),
       p_value = unname(stats::pt(tested[, 3L], stats::df.residual(fit), lower.tail = FALSE)))
}

# one unit after the other; units of equal priority have their mean score
ivb_causal_rate <- function(score, priority) {
  n <- length(score)
  sorted <- stats::ave(score, priority)[order(priority, decreasing = TRUE)]
  toc <- vapply(seq_len(n), function(k) base::mean(sorted[seq_len(k)]), 0) - base::mean(score)
  list(toc = toc, autoc = base::mean(toc), qini = sum(seq_len(n) / n * toc) / n)
}

# mean scores of groups, and their HC2 standard errors
ivb_causal_groups <- function(score, group) {
  fit <- stats::lm(score ~ factor(group) + 0)
  list(estimate = unname(stats::coef(fit)), std_error = unname(sqrt(diag(sandwich::vcovHC(fit, type = "HC2")))))
}

# The notebook's tables by R's own functions, from the same columns. Values by table, row and column.
#
# data: a list of columns, those of the notebook and what Python's forests left: residual_Y, residual_T.

workbook_single <- function(...) lapply(list(...), function(value) list(value = value))

workbook_rows <- function(data, rows, columns) {
  found <- lapply(rows, function(i) lapply(data[columns], function(column) as.numeric(column[[i + 1L]])))
  names(found) <- rows
  found
}

workbook_difference <- function(y, by) mean(y[by == 1]) - mean(y[by == 0])

workbook_by <- function(data, above) {
  found <- lapply(c(`0` = FALSE, `1` = TRUE), function(side) {
    list(diff = workbook_difference(data$Y_obs[above == side], data$T[above == side]))
  })
  found
}

# what lm() and its methods say; Durbin-Watson, skewness, kurtosis and Jarque-Bera by their formulas
workbook_lm <- function(y, regressors) {
  frame <- as.data.frame(regressors)
  fit <- stats::lm(y ~ ., data = cbind(y = y, frame))
  said <- summary(fit)
  e <- stats::residuals(fit)
  n <- length(e)
  f <- said$fstatistic
  central <- function(k) mean((e - mean(e))^k)
  skew <- central(3) / central(2)^1.5
  kurtosis <- central(4) / central(2)^2
  normal <- n / 6 * (skew^2 + (kurtosis - 3)^2 / 4)
  coefs <- said$coefficients
  limits <- stats::confint(fit)
  names <- rownames(coefs)
  names[names == "(Intercept)"] <- "const"
  rows <- lapply(seq_along(names), function(i) {
    row <- as.list(unname(c(coefs[i, ], limits[i, ])))
    names(row) <- c("coef", "std err", "t", "P>|t|", "[0.025", "0.975]")
    row
  })
  names(rows) <- names
  whole <- list(
    `R-squared` = said$r.squared, `Adj. R-squared` = said$adj.r.squared, `F-statistic` = f[[1L]],
    `Prob (F-statistic)` = stats::pf(f[[1L]], f[[2L]], f[[3L]], lower.tail = FALSE),
    `Log-Likelihood` = as.numeric(stats::logLik(fit)), `No. Observations` = n,
    # R counts the variance of the errors as a parameter, statsmodels does not
    AIC = stats::AIC(fit) - 2, `Df Residuals` = fit$df.residual, BIC = stats::BIC(fit) - log(n),
    `Df Model` = length(names) - 1, `Durbin-Watson` = sum(diff(e)^2) / sum(e^2), `Jarque-Bera (JB)` = normal,
    Skew = skew, `Prob(JB)` = stats::pchisq(normal, 2, lower.tail = FALSE), Kurtosis = kurtosis,
    `Cond. No.` = kappa(stats::model.matrix(fit), exact = TRUE)
  )
  list(whole = lapply(whole, function(value) list(value = value)), rows = rows)
}

ivb_causal_workbook <- function(data) {
  covariates <- c("age", "income", "prior_engagement")
  effects <- data$Y_1 - data$Y_0
  means <- lapply(c(`0` = 0, `1` = 1), function(arm) lapply(data[covariates], function(x) mean(x[data$T == arm])))
  ols <- workbook_lm(data$Y_obs, data[c("T", covariates)])
  first <- stats::lm(T_iv ~ ., data = as.data.frame(data[c("T_iv", "Z", covariates)]))
  data$T_hat <- unname(stats::fitted(first))
  iv <- workbook_lm(data$Y_obs, data[c("T_hat", covariates)])
  dml <- workbook_lm(data$residual_Y, data["residual_T"])
  naive <- workbook_difference(data$Y_obs, data$T)
  biased <- workbook_difference(data$Y_obs + 2 * data$hidden_confounder, data$T)
  list(
    head = workbook_rows(data, 0:4, c(covariates, "T", "Y_obs", "Y_0", "Y_1")),
    naive = workbook_single(`naive difference` = naive, `true effect` = mean(effects)),
    means = means,
    baseline = workbook_single(`baseline difference` = workbook_difference(data$Y_0, data$T)),
    `by-income` = workbook_by(data, data$income > 70000),
    `by-engagement` = workbook_by(data, data$prior_engagement > 0.5),
    `ols-fit` = ols$whole, ols = ols$rows, `ols-effect` = workbook_single(effect = ols$rows$T$coef),
    `iv-fit` = iv$whole, iv = iv$rows, `iv-effect` = workbook_single(effect = iv$rows$T_hat$coef),
    `dml-fit` = dml$whole, dml = dml$rows, `dml-effect` = workbook_single(effect = dml$rows$residual_T$coef),
    ate = workbook_single(ATE = mean(effects),
                          `CATE, engagement above 0.5` = mean(effects[data$prior_engagement > 0.5])),
    ite = workbook_rows(c(data[covariates], list(ITE_true = effects)), 0:4, c(covariates, "ITE_true")),
    placebo = workbook_single(difference = workbook_difference(data$Y_obs, data$placebo_T)),
    hidden = workbook_single(difference = biased, inflation = biased - naive)
  )
}

# References of the methods that adjust by comparing, regressing and weighting. Nothing is attached: every call names
# its package. Every function returns list(estimate, std_error, vcov, df, parts, calls).
#
# y, t: dependent variable and treatment (0, 1). x: matrix of covariates without a constant. groups: numbers of the
# clusters, or NULL. att: TRUE for the effect on the treated, FALSE for the average effect.

adjust_answer <- function(estimate, std_error, vcov, calls, df = Inf, parts = list()) {
  list(estimate = unname(estimate), std_error = unname(std_error), vcov = vcov, df = unname(df),
       parts = lapply(parts, unname), calls = calls)
}

# standard errors of an lm by the name of the estimator
adjust_errors <- function(fit, vcov, groups) {
  errors <- sqrt(diag(switch(vcov,
    classical = stats::vcov(fit),
    CR1 = sandwich::vcovCL(fit, cluster = groups, type = "HC1"),
    CR2 = stats::vcov(adjust_cr2(fit, groups)),
    sandwich::vcovHC(fit, type = vcov))))
  stats::setNames(errors, names(stats::coef(fit)))
}

# the regression again in estimatr, whose CR2 keeps its digits where columns have unequal scales; clubSandwich's loses
# half of them
adjust_cr2 <- function(fit, groups) {
  data <- data.frame(y = unname(fit$model[[1L]]), unname(stats::model.matrix(fit)[, -1L, drop = FALSE]))
  estimatr::lm_robust(stats::reformulate(names(data)[-1L], "y"), data = data, clusters = groups, se_type = "CR2")
}

# degrees of freedom of a coefficient's t statistic
adjust_df <- function(fit, vcov, groups, place = 2L) {
  switch(vcov, CR1 = length(unique(groups)) - 1,
         CR2 = adjust_cr2(fit, groups)$df[[place]],
         fit$df.residual)
}

adjust_vcov_call <- function(vcov) {
  switch(vcov, classical = "vcov(fit)", CR1 = "sandwich::vcovCL(fit, cluster = groups, type = \"HC1\")",
         CR2 = "estimatr::lm_robust(clusters = groups, se_type = \"CR2\")",
         sprintf("sandwich::vcovHC(fit, type = \"%s\")", vcov))
}

ivb_causal_difference <- function(y, t, groups = NULL) {
  means <- list("mean treated" = mean(y[t == 1]), "mean control" = mean(y[t == 0]))
  data <- data.frame(y = y, t = t)
  if (is.null(groups)) {
    fit <- estimatr::difference_in_means(y ~ t, data = data)
    return(adjust_answer(fit$coefficients, fit$std.error, "HC2", "estimatr::difference_in_means(y ~ t)", fit$df,
                         c(means, df = fit$df[[1L]])))
  }
  # difference_in_means(clusters = ) refuses clusters that hold both arms
  fit <- estimatr::lm_robust(y ~ t, data = data, clusters = groups, se_type = "CR2")
  adjust_answer(fit$coefficients[["t"]], fit$std.error[["t"]], "CR2", "estimatr::lm_robust(y ~ t, clusters = groups)",
                fit$df[["t"]], c(means, df = fit$df[["t"]]))
}

ivb_causal_regression <- function(y, t, x, names, vcov, groups = NULL) {
  fit <- stats::lm(y ~ t + x)
  errors <- adjust_errors(fit, vcov, groups)
  parts <- as.list(c(stats::coef(fit), errors))
  terms <- c("(Intercept)", names)
  names(parts) <- paste("coef", c(terms, paste(terms, "std.error")))
  parts[c(2L, 2L + length(terms))] <- NULL  # the treatment's own
  df <- adjust_df(fit, vcov, groups)
  parts <- c(parts, list(r.squared = summary(fit)$r.squared, sigma = stats::sigma(fit), df = df))
  calls <- c("fit <- lm(y ~ t + x)", adjust_vcov_call(vcov))
  adjust_answer(stats::coef(fit)[[2L]], errors[[2L]], vcov, calls, df, parts)
}

ivb_causal_lin <- function(y, t, x, vcov, att, groups = NULL) {
  if (vcov == "stacked") return(adjust_lin_stacked(y, t, x, att, groups))
  if (att) {  # lm_lin centres at the means of all units only
    centred <- sweep(x, 2L, colMeans(x[t == 1, , drop = FALSE]))
    fit <- stats::lm(y ~ t * centred)
    errors <- adjust_errors(fit, vcov, groups)
    coefs <- stats::coef(fit)
    df <- adjust_df(fit, vcov, groups)
    calls <- c("fit <- lm(y ~ t * sweep(x, 2, colMeans(x[t == 1, ])))", adjust_vcov_call(vcov))
  } else {
    type <- switch(vcov, CR1 = "stata", vcov)
    data <- data.frame(y = y, t = t, x)
    covariates <- stats::reformulate(names(data)[-(1:2)])
    fit <- if (is.null(groups)) estimatr::lm_lin(y ~ t, covariates = covariates, data = data, se_type = type)
           else estimatr::lm_lin(y ~ t, covariates = covariates, data = data, clusters = groups, se_type = type)
    errors <- fit$std.error
    coefs <- fit$coefficients
    df <- fit$df[["t"]]
    calls <- sprintf("estimatr::lm_lin(y ~ t, covariates = ~ x, se_type = \"%s\")", type)
  }
  adjust_answer(coefs[["t"]], errors[["t"]], vcov, calls, df, list(
    "coef (Intercept)" = coefs[["(Intercept)"]], "coef (Intercept) std.error" = errors[["(Intercept)"]], df = df))
}

ivb_causal_stratification <- function(y, t, x, strata, att, quantiles = NULL) {
  data <- data.frame(y = y, t = t, strata = strata)
  of <- function(data) estimatr::difference_in_means(y ~ t, data = data)
  if (att) {
    found <- lapply(split(data, data$strata), function(part) {
      fit <- of(part)
      c(fit$coefficients, fit$std.error, sum(part$t))
    })
    found <- do.call(rbind, found)
    share <- found[, 3L] / sum(found[, 3L])
    estimate <- sum(share * found[, 1L])
    error <- sqrt(sum(share^2 * found[, 2L]^2))
    df <- length(y) - 2 * nrow(found)
    calls <- "estimatr::difference_in_means(y ~ t) in each stratum, weighted.mean() by its treated units"
  } else {
    fit <- estimatr::difference_in_means(y ~ t, data = data, blocks = strata)
    estimate <- fit$coefficients
    error <- fit$std.error
    df <- fit$df[[1L]]
    calls <- "estimatr::difference_in_means(y ~ t, blocks = strata)"
  }
  parts <- list(strata = length(unique(strata)), df = df)
  for (name in names(quantiles)) {
    asked <- quantiles[[name]]
    values <- if (is.null(asked$of)) adjust_logit(t, x)$fitted else asked$of
    at <- unique(stats::quantile(values, seq_len(asked$groups - 1) / asked$groups, type = 7, names = FALSE))
    names(at) <- paste("cut", name, seq_along(at))
    parts <- c(parts, as.list(at))
  }
  adjust_answer(estimate, error, "HC2", calls, df, parts)
}

# -- estimating equations, with derivatives by hand --------------------------------------------------------------------

# psi: (n, q), the equations at their root. slope: (q, q), their mean derivatives, one row an equation. last: weights of
# the last parameters.
adjust_sandwich <- function(psi, slope, last, groups) {
  stopifnot(abs(colMeans(psi)) <= 1e-8 * sqrt(colMeans(psi^2)))
  q <- ncol(psi)
  weights <- replace(numeric(q), seq(q - length(last) + 1L, q), last)
  phi <- -as.vector(psi %*% solve(t(slope), weights))
  n <- length(phi)
  if (is.null(groups)) return(sqrt(sum(phi^2)) / n)
  sums <- tapply(phi, groups, sum)
  sqrt(sum(sums^2) * length(sums) / (length(sums) - 1)) / n
}

# mean over units of the outer product of weighted rows
adjust_mean <- function(left, right = NULL, weight = 1) {
  left <- as.matrix(left)
  right <- if (is.null(right)) matrix(1, nrow(left), 1L) else as.matrix(right)
  crossprod(left * weight, right) / nrow(left)
}

adjust_logit <- function(t, x, clip = NULL, att = FALSE) {
  scaled <- scale(x)
  fit <- stats::glm.fit(cbind(1, scaled), t, family = stats::binomial(),
                        control = stats::glm.control(epsilon = 1e-15, maxit = 100))
  fitted <- fit$fitted.values
  used <- if (is.null(clip)) fitted else pmin(if (att) fitted else pmax(fitted, clip), 1 - clip)
  # `inside`: where the score that is used moves with the coefficients
  list(design = cbind(1, scaled), fitted = fitted, used = used, inside = as.numeric(used == fitted))
}

adjust_lin_stacked <- function(y, t, x, att, groups) {
  design <- cbind(1, scale(x))
  lines <- lapply(c(1, 0), function(arm) stats::lm.fit(design[t == arm, ], y[t == arm])$coefficients)
  with <- as.vector(design %*% lines[[1L]])
  without <- as.vector(design %*% lines[[2L]])
  whose <- if (att) t else rep(1, length(y))
  estimate <- sum(whose * (with - without)) / sum(whose)
  psi <- cbind(design * (t * (y - with)), design * ((1 - t) * (y - without)), whose * (with - without - estimate))
  k <- ncol(design)
  slope <- matrix(0, 2L * k + 1L, 2L * k + 1L)
  one <- seq_len(k)
  slope[one, one] <- -adjust_mean(design, design, t)
  slope[k + one, k + one] <- -adjust_mean(design, design, 1 - t)
  slope[2L * k + 1L, ] <- c(adjust_mean(design, weight = whose), -adjust_mean(design, weight = whose), -mean(whose))
  adjust_answer(estimate, adjust_sandwich(psi, slope, 1, groups), "stacked",
                "lm() in each arm, estimating equations by hand")
}

ivb_causal_ipw <- function(y, t, x, vcov, normalised, att, clip = NULL, groups = NULL) {
  score <- adjust_logit(t, x, clip, att)
  e <- score$used
  weight <- if (att) ifelse(t == 1, 1, e / (1 - e)) else ifelse(t == 1, 1 / e, 1 / (1 - e))
  if (vcov != "stacked") return(adjust_fixed(y, t, weight, vcov, normalised, att, groups))
  with <- weight * t
  without <- weight * (1 - t)
  whole <- if (att) t else rep(1, length(y))
  over <- if (normalised) list(with, without) else list(whole, whole)
  means <- c(sum(with * y) / sum(over[[1L]]), sum(without * y) / sum(over[[2L]]))
  design <- score$design
  psi <- cbind(design * (t - score$fitted), with * y - over[[1L]] * means[1L], without * y - over[[2L]] * means[2L])
  k <- ncol(design)
  slope <- matrix(0, k + 2L, k + 2L)
  one <- seq_len(k)
  slope[one, one] <- -adjust_mean(design, design, score$fitted * (1 - score$fitted))
  # derivatives of 1/e, 1/(1 - e) and e/(1 - e) with respect to the index
  moves <- if (att) list(0, e / (1 - e)) else list(-(1 - e) / e, e / (1 - e))
  arms <- list(t, 1 - t)
  for (arm in 1:2) {
    rest <- if (normalised) y - means[arm] else y
    slope[k + arm, one] <- adjust_mean(design, weight = arms[[arm]] * moves[[arm]] * score$inside * rest)
    slope[k + arm, k + arm] <- -mean(over[[arm]])
  }
  adjust_answer(means[1L] - means[2L], adjust_sandwich(psi, slope, c(1, -1), groups), "stacked",
                c("glm(t ~ x, family = binomial)", "estimating equations by hand"),
                parts = list("largest score" = max(e), "smallest score" = min(e)))
}

adjust_fixed <- function(y, t, weight, vcov, normalised, att, groups) {
  data <- data.frame(y = y, t = t, weight = weight)
  data$signed <- (2 * t - 1) * weight * y * (length(y) / if (att) sum(t) else length(y))
  fit <- if (normalised) stats::lm(y ~ t, data = data, weights = weight) else stats::lm(signed ~ 1, data = data)
  errors <- adjust_errors(fit, vcov, groups)
  df <- adjust_df(fit, vcov, groups)
  parts <- list(df = df)
  if (normalised && vcov == "HC0") {  # the same regression as a survey: HC0 times sqrt(n / (n - 1))
    design <- survey::svydesign(ids = ~1, weights = ~weight, data = data)
    parts[["svyglm std.error"]] <- sqrt(stats::vcov(survey::svyglm(y ~ t, design = design))["t", "t"])
  }
  last <- length(errors)
  adjust_answer(stats::coef(fit)[[last]], errors[[last]], vcov,
                c(if (normalised) "fit <- lm(y ~ t, weights = w)" else "fit <- lm(w * y ~ 1)", adjust_vcov_call(vcov)),
                df, parts)
}

ivb_causal_aipw <- function(y, t, x, att, clip = NULL, groups = NULL) {
  score <- adjust_logit(t, x, clip, att)
  e <- score$used
  design <- score$design
  lines <- lapply(c(1, 0), function(arm) stats::lm.fit(design[t == arm, ], y[t == arm])$coefficients)
  with <- as.vector(design %*% lines[[1L]])
  without <- as.vector(design %*% lines[[2L]])
  odds <- e / (1 - e)
  whole <- if (att) t else rep(1, length(y))
  effect <- if (att) (t - (1 - t) * odds) * (y - without)
            else with - without + t * (y - with) / e - (1 - t) * (y - without) / (1 - e)
  estimate <- sum(effect) / sum(whole)
  psi <- cbind(design * (t - score$fitted), design * (t * (y - with)), design * ((1 - t) * (y - without)),
               effect - whole * estimate)
  k <- ncol(design)
  one <- seq_len(k)
  slope <- matrix(0, 3L * k + 1L, 3L * k + 1L)
  slope[one, one] <- -adjust_mean(design, design, score$fitted * (1 - score$fitted))
  slope[k + one, k + one] <- -adjust_mean(design, design, t)
  slope[2L * k + one, 2L * k + one] <- -adjust_mean(design, design, 1 - t)
  moves <- -(1 - t) * (y - without) * odds - if (att) 0 else t * (y - with) * (1 - e) / e
  of_with <- if (att) 0 * t else 1 - t / e
  of_without <- if (att) (1 - t) * odds - t else (1 - t) / (1 - e) - 1
  slope[3L * k + 1L, ] <- c(adjust_mean(design, weight = moves * score$inside), adjust_mean(design, weight = of_with),
                            adjust_mean(design, weight = of_without), -mean(whole))
  alone <- sum(whole * (with - without)) / sum(whole)
  adjust_answer(estimate, adjust_sandwich(psi, slope, 1, groups), "stacked",
                c("glm(t ~ x, family = binomial)", "lm() in each arm", "estimating equations by hand"),
                parts = list("regression alone" = alone, "std.error, models given" =
                  adjust_sandwich(cbind(effect - whole * estimate), -mean(whole), 1, groups)))
}

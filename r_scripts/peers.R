# Other packages' estimators, asked one question each. Sourced by an R process of ivbridge that never loads AER, since
# AER and ivreg both own the class "ivreg". Nothing is attached: every call names its package.
#
# data: columns under plain names, `y` among them and `wts` where there are weights. roles: names of columns, `exog endog
# instruments groups`, and `intercept`. vcov: list(kind = ...). method: "2sls", "liml" or "fuller(a)".

# a sum of columns as language, nothing is parsed
peer_sum <- function(names, intercept) {
  Reduce(function(a, b) call("+", a, b), lapply(names, as.name), if (intercept) 1 else 0)
}

peer_formula <- function(left, ...) {
  parts <- Filter(Negate(is.null), list(...))
  as.formula(call("~", left, Reduce(function(a, b) call("|", a, b), parts)), env = globalenv())
}

# y ~ regressors | all instruments, or least squares where nothing is endogenous
peer_two_parts <- function(roles) {
  regressors <- peer_sum(c(roles$exog, roles$endog), roles$intercept)
  if (!length(roles$endog)) return(peer_formula(quote(y), regressors))
  peer_formula(quote(y), regressors, peer_sum(c(roles$exog, roles$instruments), roles$intercept))
}

peer_text <- function(call) paste(trimws(deparse(call, width.cutoff = 500L)), collapse = " ")

peer_call <- function(call, data) list(fit = eval(call, list(data = data)), calls = peer_text(call))

peer_table <- function(matrix) {
  list(terms = rownames(matrix), estimate = matrix[, 1L], std_error = matrix[, 2L], statistic = matrix[, 3L],
       p_value = matrix[, 4L])
}

ivb_peer_estimatr <- function(data, roles, vcov, method) {
  type <- if (vcov$kind != "cluster") c(HC = vcov$type, classical = "classical")[[vcov$kind]]
          else if (vcov$cadjust) "stata" else "CR0"
  call <- if (length(roles$endog)) quote(estimatr::iv_robust()) else quote(estimatr::lm_robust())
  call <- as.call(c(as.list(call), list(peer_two_parts(roles), data = quote(data)), if (!is.null(data$wts))
    list(weights = quote(wts)), if (vcov$kind == "cluster") list(clusters = as.name(roles$groups)),
    list(se_type = type), if (length(roles$endog)) list(diagnostics = TRUE)))
  answer <- peer_call(call, data)
  fit <- answer$fit
  df <- unique(fit$df)
  joint <- if (!is.null(fit$fstatistic)) c(fit$fstatistic[2:3], fit$fstatistic[1L])
  tests <- peer_diagnostics(fit, roles, vcov)
  if (!is.null(joint)) tests$wald <- c(joint, stats::pf(joint[3L], joint[1L], joint[2L], lower.tail = FALSE))
  why <- list(resid = "keeps no residuals")
  if (vcov$kind == "cluster") {
    tests <- list()
    keys <- c(paste0("test weak_instruments:", roles$endog)[seq_along(roles$endog)], "test wu_hausman", "test wald")
    why[keys] <- "takes G-1 denominator degrees of freedom here"
  }
  if (vcov$kind != "classical") why[["test sargan"]] <- "reports Wooldridge's robust score test here"
  list(calls = c("library(estimatr)", answer$calls), terms = fit$term, estimate = fit$coefficients,
       std_error = fit$std.error, statistic = fit$statistic, p_value = fit$p.value, conf_low = fit$conf.low,
       conf_high = fit$conf.high, cov = unname(fit$vcov), df = df, df_resid = fit$df.residual,
       fitted = as.vector(fit$fitted.values), sigma = sqrt(fit$res_var), r2 = fit$r.squared,
       r2_adj = fit$adj.r.squared, tests = tests, why = why)
}

peer_diagnostics <- function(fit, roles, vcov) {
  stage <- fit$diagnostic_first_stage_fstatistic
  if (is.null(stage)) return(list())
  df <- stage[c("nomdf", "dendf")]
  value <- stage[grepl("(^|:)value$", names(stage))]
  names(value) <- paste0("weak_instruments:", if (length(value) > 1L) sub(":value$", "", names(value)) else roles$endog)
  tests <- lapply(value, function(f) c(df, f, stats::pf(f, df[[1L]], df[[2L]], lower.tail = FALSE)))
  wu <- fit$diagnostic_endogeneity_test
  tests$wu_hausman <- wu[c("numdf", "dendf", "value", "p.value")]
  sargan <- fit$diagnostic_overid_test
  if (vcov$kind == "classical") tests$sargan <- c(sargan[["df"]], Inf, sargan[["value"]], sargan[["p.value"]])
  lapply(tests, as.numeric)
}

ivb_peer_systemfit <- function(data, roles, vcov, method) {
  call <- if (length(roles$endog)) {
    z <- as.formula(call("~", peer_sum(c(roles$exog, roles$instruments), roles$intercept)), env = globalenv())
    bquote(systemfit::systemfit(.(peer_formula(quote(y), peer_sum(c(roles$exog, roles$endog), roles$intercept))),
                                method = "2SLS", inst = .(z), data = data))
  } else bquote(systemfit::systemfit(.(peer_two_parts(roles)), method = "OLS", data = data))
  answer <- peer_call(call, data)
  equation <- summary(answer$fit)$eq[[1L]]
  limits <- stats::confint(answer$fit)
  centred <- "takes R2 around the mean, with an intercept or without"
  c(list(calls = c("library(systemfit)", answer$calls)), peer_table(equation$coefficients)[-5L],
    list(conf_low = limits[, 1L], conf_high = limits[, 2L], cov = unname(equation$coefCov), df = equation$df[2L],
         df_resid = equation$df[2L], residuals = as.vector(equation$residuals),
         fitted = as.vector(stats::fitted(answer$fit)[[1L]]), sigma = equation$sigma,
         r2 = if (roles$intercept) equation$r.squared, r2_adj = if (roles$intercept) equation$adj.r.squared,
         why = c(list(p.value = "subtracts from 1, which leaves a small p-value few digits"), if (!roles$intercept)
           list(r.squared = centred, adj.r.squared = centred))))
}

ivb_peer_gmm <- function(data, roles, vcov, method) {
  g <- peer_formula(quote(y), peer_sum(c(roles$exog, roles$endog), roles$intercept))
  x <- as.formula(call("~", peer_sum(c(roles$exog, roles$instruments), roles$intercept)), env = globalenv())
  answer <- peer_call(bquote(gmm::tsls(.(g), .(x), data = data)), data)
  type <- if (vcov$kind == "classical") "Classical" else vcov$type
  vc <- vcov(answer$fit, type = type)
  table <- summary(answer$fit, vcov = vc)$coefficients
  c(list(calls = c("library(gmm)", paste("fit <-", answer$calls), paste0('summary(fit, vcov = vcov(fit, type = "', type, '"))'))),
    peer_table(table), list(cov = unname(vc)[seq_len(nrow(table)), ], df = Inf, df_resid = answer$fit$df.residual,
      residuals = as.vector(answer$fit$residuals), fitted = as.vector(answer$fit$fitted.values)),
    list(why = list("test sargan" = "reports it as a J test", sigma = "keeps it to itself")))
}

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
  tests <- peer_diagnostics(fit, roles)
  if (!is.null(joint)) tests$wald <- c(joint, stats::pf(joint[3L], joint[1L], joint[2L], lower.tail = FALSE))
  why <- list(resid = "keeps no residuals")
  if (vcov$kind == "cluster") {
    tests <- list()
    keys <- c(paste0("test weak_instruments:", roles$endog)[seq_along(roles$endog)], "test wu_hausman", "test wald")
    why[keys] <- "takes G-1 denominator degrees of freedom here"
  }
  sargan <- c("reports Wooldridge's robust score test here"[vcov$kind != "classical"],
              "weights the residuals of this test otherwise"[!is.null(data$wts)],
              "does not centre R2 in this test without an intercept"[!roles$intercept])
  if (length(sargan)) {
    tests$sargan <- NULL
    why[["test sargan"]] <- sargan[1L]
  }
  list(calls = c("library(estimatr)", answer$calls), terms = fit$term, estimate = fit$coefficients,
       std_error = fit$std.error, statistic = fit$statistic, p_value = fit$p.value, conf_low = fit$conf.low,
       conf_high = fit$conf.high, cov = unname(fit$vcov), df = df, df_resid = fit$df.residual,
       fitted = as.vector(fit$fitted.values), sigma = sqrt(fit$res_var), r2 = fit$r.squared,
       r2_adj = fit$adj.r.squared, tests = tests, why = why)
}

peer_diagnostics <- function(fit, roles) {
  stage <- fit$diagnostic_first_stage_fstatistic
  if (is.null(stage)) return(list())
  df <- stage[c("nomdf", "dendf")]
  value <- stage[grepl("(^|:)value$", names(stage))]
  names(value) <- paste0("weak_instruments:", if (length(value) > 1L) sub(":value$", "", names(value)) else roles$endog)
  tests <- lapply(value, function(f) c(df, f, stats::pf(f, df[[1L]], df[[2L]], lower.tail = FALSE)))
  wu <- fit$diagnostic_endogeneity_test
  tests$wu_hausman <- wu[c("numdf", "dendf", "value", "p.value")]
  sargan <- fit$diagnostic_overid_test
  tests$sargan <- c(sargan[["df"]], Inf, sargan[["value"]], sargan[["p.value"]])
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

# ---- packages that neither Debian nor PyPI has: written from their manuals ------------------------------------------

ivb_peer_ivreg <- function(data, roles, vcov, method) {
  weighted <- if (is.null(data$wts)) NULL else list(weights = quote(wts))
  answer <- peer_call(as.call(c(quote(ivreg::ivreg), list(peer_two_parts(roles), data = quote(data)), weighted)), data)
  fit <- answer$fit
  groups <- data[roles$groups]
  vc <- switch(vcov$kind,
    classical = stats::vcov(fit),
    HC = sandwich::vcovHC(fit, type = vcov$type),
    cluster = sandwich::vcovCL(fit, cluster = groups, type = vcov$type, cadjust = vcov$cadjust, multi0 = vcov$multi0))
  table <- lmtest::coeftest(fit, vcov. = vc)
  limits <- lmtest::coefci(fit, vcov. = vc)
  described <- summary(fit)
  c(list(calls = c(paste("fit <-", answer$calls), "lmtest::coeftest(fit, vcov. = vc)  # vc by sandwich")),
    peer_table(table), list(conf_low = limits[, 1L], conf_high = limits[, 2L], cov = unname(vc),
      df = stats::df.residual(fit), df_resid = stats::df.residual(fit), residuals = as.vector(stats::residuals(fit)),
      fitted = as.vector(stats::fitted(fit)), sigma = fit$sigma, r2 = described$r.squared,
      r2_adj = described$adj.r.squared))
}

ivb_peer_fixest <- function(data, roles, vcov, method) {
  exog <- peer_sum(roles$exog, roles$intercept)
  formula <- if (!length(roles$endog)) peer_formula(quote(y), exog) else {
    stage <- call("~", peer_sum(roles$endog, TRUE)[[3L]], peer_sum(roles$instruments, TRUE)[[3L]])
    as.formula(call("~", quote(y), call("|", exog, stage)), env = globalenv())
  }
  asked <- switch(vcov$kind, classical = "iid", HC = "hetero",
                  cluster = as.formula(call("~", as.name(roles$groups)), env = globalenv()))
  weighted <- if (is.null(data$wts)) NULL else list(weights = quote(~wts))
  call <- as.call(c(quote(fixest::feols), list(formula, data = quote(data), vcov = asked), weighted))
  answer <- peer_call(call, data)
  table <- fixest::coeftable(answer$fit)
  rownames(table) <- sub("^fit_", "", rownames(table))
  c(list(calls = c("library(fixest)", answer$calls)), peer_table(table),
    list(cov = unname(as.matrix(stats::vcov(answer$fit))), df = fixest::degrees_freedom(answer$fit, type = "t"),
         residuals = as.vector(stats::residuals(answer$fit)), fitted = as.vector(stats::fitted(answer$fit))))
}

ivb_peer_ivreg2r <- function(data, roles, vcov, method) {
  parts <- list(peer_sum(roles$exog, roles$intercept), peer_sum(roles$endog, FALSE)[[3L]],
                peer_sum(roles$instruments, FALSE)[[3L]])
  formula <- do.call(peer_formula, c(quote(y), if (length(roles$endog)) parts else parts[1L]))
  small <- !(vcov$kind == "HC" && vcov$type == "HC0")
  options <- list(vcov = if (vcov$kind == "HC") vcov$type else "iid", small = small)
  if (vcov$kind == "cluster") {
    options <- list(clusters = as.formula(call("~", as.name(roles$groups)), env = globalenv()), small = vcov$cadjust)
  }
  if (method == "liml") options$method <- "liml"
  if (startsWith(method, "fuller")) options$fuller <- as.numeric(gsub("[^0-9.e+-]", "", sub("^fuller", "", method)))
  weighted <- if (is.null(data$wts)) NULL else list(weights = quote(wts))
  answer <- peer_call(as.call(c(quote(ivreg2r::ivreg2), list(formula, data = quote(data)), weighted, options)), data)
  fit <- answer$fit
  vc <- stats::vcov(fit)
  error <- sqrt(diag(vc))
  list(calls = c("library(ivreg2r)", answer$calls), terms = names(stats::coef(fit)), estimate = stats::coef(fit),
       std_error = error, statistic = stats::coef(fit) / error, cov = unname(vc),
       residuals = as.vector(stats::residuals(fit)), fitted = as.vector(stats::fitted(fit)))
}

ivb_peer_ivmodel <- function(data, roles, vcov, method) {
  robust <- vcov$kind == "HC"
  model <- ivmodel::ivmodel(data$y, data[[roles$endog]], as.matrix(data[roles$instruments]), intercept = FALSE)
  fit <- if (method == "liml") ivmodel::LIML(model, heteroSE = robust) else
         if (method == "2sls") ivmodel::KClass(model, k = 1, heteroSE = robust) else
         ivmodel::Fuller(model, b = as.numeric(gsub("[^0-9.e+-]", "", sub("^fuller", "", method))), heteroSE = robust)
  estimate <- as.vector(fit$point.est)
  error <- as.vector(fit$std.err)
  list(calls = c("library(ivmodel)", "model <- ivmodel(y, D, Z, intercept = FALSE)"), terms = roles$endog,
       estimate = estimate, std_error = error, statistic = estimate / error, cov = matrix(error^2),
       kappa = if (method != "2sls") fit$k)
}

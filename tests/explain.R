# Answers of R's packages under many conventions: lines of case, quantity, term, value; for tests/test_explain.py
suppressPackageStartupMessages({library(AER); library(estimatr); library(systemfit)})
d <- read.csv(commandArgs(TRUE)[1])
put <- function(case, quantity, term, value)
  cat(sprintf("%s\t%s\t%s\t%.17g\n", case, quantity, term, value), sep = "")
table <- function(case, b, V, df = NULL) {
  put(case, "estimate", names(b), b)
  put(case, "std.error", names(b), sqrt(diag(V)))
  if (!is.null(df)) {
    t <- b / sqrt(diag(V))
    put(case, "statistic", names(b), t)
    put(case, "p.value", names(b), 2 * pt(-abs(t), df))
    put(case, "conf.low", names(b), b - qt(0.975, df) * sqrt(diag(V)))
    put(case, "conf.high", names(b), b + qt(0.975, df) * sqrt(diag(V)))
  }
}
f <- log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax
fit <- ivreg(f, data = d)
b <- coef(fit); n <- nobs(fit); k <- length(b); G <- length(unique(d$state))
tests <- function(case, rows) for (i in seq_len(nrow(rows))) {
  key <- c("weak_instruments:log(rprice)", "wu_hausman", "sargan")[i]
  put(case, "test statistic", key, rows[i, "statistic"])
  put(case, "test p.value", key, rows[i, "p-value"])
}
for (type in c("HC0", "HC1", "HC2", "HC3", "HC4", "HC4m", "HC5")) table(type, b, vcovHC(fit, type = type), n - k)
table("classical by n", b, vcov(fit) * (n - k) / n)
table("z", b, vcov(fit), Inf)
table("t with n", b, vcov(fit), n)
table("vcovCL", b, vcovCL(fit, cluster = d$state), n - k)
table("vcovCL HC1", b, vcovCL(fit, cluster = d$state, type = "HC1"), G - 1)
table("vcovCL plain", b, vcovCL(fit, cluster = d$state, type = "HC0", cadjust = FALSE), Inf)
table("two-way", b, vcovCL(fit, cluster = d[c("state", "year")], type = "HC1"), n - k)
table("two-way multi0", b, vcovCL(fit, cluster = d[c("state", "year")], multi0 = TRUE), n - k)
table("NeweyWest", b, NeweyWest(fit), n - k)
table("NeweyWest lag 2", b, NeweyWest(fit, lag = 2, prewhite = FALSE), n - k)
table("NeweyWest lag 2 adjusted", b, NeweyWest(fit, lag = 2, prewhite = FALSE, adjust = TRUE), n - k)
table("kernHAC Parzen", b, kernHAC(fit, kernel = "Parzen", bw = 3, prewhite = FALSE, adjust = FALSE), n - k)
by_hand <- lm(log(packs) ~ fitted(lm(log(rprice) ~ log(rincome) + tdiff + rtax)) + log(rincome), data = d)
names(by_hand$coefficients)[2] <- "log(rprice)"
table("second stage", coef(by_hand), `dimnames<-`(vcov(by_hand), list(names(coef(by_hand)), names(coef(by_hand)))), n - k)
table("second stage HC1", coef(by_hand), vcovHC(by_hand, type = "HC1"), n - k)
table("lm", coef(lm(log(packs) ~ log(rprice) + log(rincome), data = d)),
      vcov(lm(log(packs) ~ log(rprice) + log(rincome), data = d)), n - k)
for (type in c("HC2", "HC3", "stata", "classical")) {
  robust <- iv_robust(f, data = d, se_type = type)
  table(paste("iv_robust", type), robust$coefficients, robust$vcov, n - k)
}
clustered <- iv_robust(f, data = d, clusters = state, se_type = "stata")
table("iv_robust clusters", clustered$coefficients, clustered$vcov, G - 1)
system <- systemfit(log(packs) ~ log(rprice) + log(rincome), "2SLS", inst = ~ log(rincome) + tdiff + rtax, data = d,
                    methodResidCov = "noDfCor")
bs <- coef(system); Vs <- vcov(system); names(bs) <- names(b); dimnames(Vs) <- list(names(b), names(b))
table("systemfit noDfCor", bs, Vs)
for (kind in c("classical", "HC1")) {
  V <- if (kind == "HC1") function(x) vcovHC(x, type = "HC1") else NULL
  s <- summary(fit, vcov. = V, diagnostics = TRUE)
  table(paste("summary", kind), b, s$vcov, n - k)
  tests(paste("summary", kind), s$diagnostics)
  put(paste("summary", kind), "sigma", "", s$sigma)
  put(paste("summary", kind), "r.squared", "", s$r.squared)
}
s <- summary(fit, vcov. = function(x) vcovHC(x, type = "HC1"), df = Inf, diagnostics = TRUE)
table("summary HC1 df Inf", b, s$vcov, Inf)
put("summary HC1 df Inf", "test statistic", "wald", s$waldtest[1])
put("summary HC1 df Inf", "test p.value", "wald", s$waldtest[2])

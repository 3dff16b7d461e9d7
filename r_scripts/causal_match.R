# Matching and balance, for ivbridge's causal methods. Nothing is attached: every call names its package.
#
# y, t: numbers; x: matrix of covariates. distance: "score", "logit", "within" or "overall". MatchIt before 4.5.4 takes
# the integer part of a distance between scores, so it is given a matrix of distances here, and every pair is looked at.

# logit by maximum likelihood, columns standardised
match_score <- function(t, x) {
  fit <- stats::glm.fit(cbind(1, scale(x)), t, family = stats::binomial(),
                        control = list(epsilon = 1e-14, maxit = 100))
  list(score = fit$fitted.values, index = fit$linear.predictors, design = cbind(1, scale(x)))
}

# n x k coordinates in which distances are Euclidean
match_place <- function(t, x, distance) {
  if (distance %in% c("score", "logit")) {
    fit <- match_score(t, x)
    return(scale(if (distance == "score") fit$score else fit$index))
  }
  s <- if (distance == "overall") stats::cov(x) else {
    one <- t == 1
    ((sum(one) - 1) * stats::cov(x[one, , drop = FALSE]) + (sum(!one) - 1) * stats::cov(x[!one, , drop = FALSE])) /
      (length(t) - 2)
  }
  sweep(x, 2L, colMeans(x)) %*% solve(chol(s))
}

match_apart <- function(place, rows, columns) {
  squared <- 0
  for (k in seq_len(ncol(place))) squared <- squared + outer(place[rows, k], place[columns, k], "-")^2
  sqrt(squared)
}

# distances as MatchIt wants them: rows of treated, columns of controls, named
match_matrix <- function(place, treated, control) {
  apart <- match_apart(place, treated, control)
  dimnames(apart) <- list(treated, control)
  apart
}

# pairs by MatchIt from a matrix of distances; `order` are the treated in the order in which they choose
match_pairs <- function(place, t, order, replace, caliper, neighbours = 1L) {
  rows <- c(order, which(t == 0))
  data <- data.frame(t = t[rows])
  apart <- match_matrix(place[rows, , drop = FALSE], seq_along(order), length(order) + seq_len(sum(t == 0)))
  limit <- if (is.finite(caliper)) list(caliper = caliper, std.caliper = FALSE)
  fit <- suppressWarnings(do.call(MatchIt::matchit, c(list(t ~ 1, data = data, method = "nearest", distance = apart,
    replace = replace, ratio = neighbours, m.order = "data"), limit)))
  found <- fit$match.matrix
  unit <- rows[rep(as.integer(rownames(found)), ncol(found))]
  partner <- rows[as.integer(as.vector(found))]
  keep <- !is.na(partner)
  list(unit = unit[keep], partner = partner[keep])
}

# how many pairs are not with the nearest unit that was free
match_wrong <- function(place, t, unit, partner, order = NULL) {
  wrong <- 0L
  free <- t == 0
  if (is.null(order)) {
    for (i in unique(unit)) {
      donors <- which(t != t[i])
      apart <- match_apart(place, i, donors)[1L, ]
      mine <- apart[match(partner[unit == i], donors)]
      wrong <- wrong + (max(mine)^2 > sort(apart)[length(mine)]^2 + 1e-14)
    }
    return(wrong)
  }
  for (i in order[order %in% unit]) {
    donors <- which(free)
    apart <- match_apart(place, i, donors)[1L, ]
    mine <- partner[unit == i]
    wrong <- wrong + (apart[match(mine, donors)] > min(apart) + 1e-12)
    free[mine] <- FALSE
  }
  wrong
}

# Abadie and Imbens' estimate and standard error, by Matching. Its standard error counts the units that a caliper
# drops, so they are taken out first. The weights of 1e4 make its tolerance of ties, of about 1e-10, that of ivbridge.
match_abadie <- function(y, t, x, place, estimand, neighbours, adjust, spread, caliper) {
  keep <- rep(TRUE, length(y))
  if (is.finite(caliper)) for (i in which(t == 1)) {
    keep[i] <- sum(match_apart(place, i, which(t == 0)) <= caliper) >= neighbours
  }
  rows <- which(keep)
  place <- sweep(place[rows, , drop = FALSE], 2L, colMeans(place[rows, , drop = FALSE]))
  fit <- Matching::Match(y[rows], t[rows], place, Z = x[rows, , drop = FALSE], estimand = estimand, M = neighbours,
    BiasAdjust = adjust, Var.calc = spread, distance.tolerance = 0,
    Weight.matrix = diag(apply(place, 2L, stats::var), ncol(place)) * 1e4)
  list(estimate = fit$est[1L], std_error = fit$se[1L], unit = rows[fit$MatchLoopC[, 1L]],
       partner = rows[fit$MatchLoopC[, 2L]], dropped = sum(!keep))
}

# treated minus controls in the matched pairs, clustered by pair
match_paired <- function(y, t, x, pairs, adjust) {
  rows <- c(pairs$unit, pairs$partner)
  data <- data.frame(y = y[rows], t = t[rows])
  formula <- if (adjust) y ~ t + scale(x[rows, , drop = FALSE]) else y ~ t
  fit <- stats::lm(formula, data)
  pair <- rep(seq_along(pairs$unit), 2L)
  error <- sqrt(sandwich::vcovCL(fit, cluster = pair, type = "HC0", cadjust = TRUE)["t", "t"])
  list(estimate = stats::coef(fit)[["t"]], std_error = error)
}

# what a user would type
match_call <- function(distance, estimand, neighbours, adjust, spread) {
  near <- c(score = "score", logit = "logit", overall = "x, Weight = 2", within = "x, Weight.matrix = <within arms>")
  sprintf(paste0("Matching::Match(y, t, %s, Z = x, estimand = \"%s\", M = %d, BiasAdjust = %s, Var.calc = %d, ",
                 "distance.tolerance = 0)"), near[[distance]], estimand, neighbours, adjust, spread)
}

ivb_causal_match <- function(y, t, x, distance, estimand, replace, neighbours, caliper, adjust, spread) {
  place <- match_place(t, x, distance)
  treated <- which(t == 1)
  if (replace) {
    answer <- match_abadie(y, t, x, place, estimand, neighbours, adjust, spread, caliper)
    answer$wrong <- match_wrong(place, t, answer$unit, answer$partner)
    tied <- length(answer$unit) > neighbours * length(unique(answer$unit))
    if (estimand == "ATT" && !tied) {
      pairs <- match_pairs(place, t, treated, TRUE, caliper, neighbours)
      answer$wrong <- answer$wrong + match_wrong(place, t, pairs$unit, pairs$partner)
      same <- setequal(paste(pairs$unit, pairs$partner), paste(answer$unit, answer$partner))
      if (!same && !is.finite(caliper)) stop("MatchIt and Matching made different pairs.")
    }
  } else {
    order <- if (distance %in% c("score", "logit")) treated[order(-place[treated, 1L])] else treated
    pairs <- match_pairs(place, t, order, FALSE, caliper)
    answer <- c(match_paired(y, t, x, pairs, adjust), pairs)
    answer$wrong <- match_wrong(place, t, pairs$unit, pairs$partner, order)
    answer$dropped <- length(treated) - length(pairs$unit)
  }
  if (answer$wrong > 0) stop(answer$wrong, " of ", length(answer$unit), " pairs are not with the nearest unit.")
  answer$vcov <- if (replace) "Abadie and Imbens (2006)" else "clustered by pair"
  answer$calls <- if (replace) match_call(distance, estimand, neighbours, adjust, spread) else
    "MatchIt::matchit(t ~ 1, distance = <matrix>); sandwich::vcovCL(lm(y ~ t), cluster = pair)"
  answer$distance <- sqrt(rowSums((place[answer$unit, , drop = FALSE] - place[answer$partner, , drop = FALSE])^2))
  answer
}

# what plain calls give: MatchIt's effect from `times` the score, how many of its pairs are not with the nearest unit,
# and how many pairs Matching makes without ties
ivb_causal_match_plain <- function(y, t, score, times) {
  fit <- MatchIt::matchit(t ~ 1, data = data.frame(t = t), method = "nearest", distance = score * times,
                          replace = TRUE)
  unit <- as.integer(rownames(fit$match.matrix))
  partner <- as.integer(fit$match.matrix[, 1L])
  list(estimate = mean(y[unit] - y[partner]), wrong = match_wrong(scale(score), t, unit, partner),
       pairs = length(unit), matching = length(Matching::Match(y, t, score, distance.tolerance = 0)$index.treated),
       by_default = length(Matching::Match(y, t, score)$index.treated))
}

# the nearest units of `donors` for each unit, ties included, as a list; lowest distances first
match_near <- function(place, units, donors, count) {
  lapply(units, function(i) {
    squared <- match_apart(place, i, donors)[1L, ]^2
    donors[squared <= sort(squared)[count] + 1e-14]
  })
}

# change of the variance through the estimation of the score: Abadie and Imbens (2016), theorems 1 and 2, unit by unit
ivb_causal_match_score <- function(y, t, x, distance, estimand, estimate) {
  n <- length(y)
  fit <- match_score(t, x)
  place <- match_place(t, x, distance)
  f <- stats::dlogis(fit$index)
  p <- fit$score
  information <- solve(crossprod(fit$design * sqrt(f)))
  joint <- function(arm) t(vapply(match_near(place, seq_len(n), which(t == arm), 2L), function(rows)
    as.vector(stats::cov(fit$design[rows, , drop = FALSE], y[rows])), numeric(ncol(fit$design))))
  gap <- function(place) {
    near <- match_near(place, seq_len(n), seq_len(n)[0L], 0L)
    for (arm in 0:1) near[t == arm] <- match_near(place, which(t == arm), which(t != arm), 1L)
    (2 * t - 1) * (y - vapply(near, function(rows) mean(y[rows]), 0))
  }
  one <- joint(1)
  zero <- joint(0)
  if (estimand == "ATE") {
    c <- colSums((one / p + zero / (1 - p)) * f) / n
    return(list(change = -drop(t(c) %*% information %*% c)))
  }
  c <- colSums(fit$design * f * (gap(place) - estimate) + (one + p / (1 - p) * zero) * f)
  d <- colSums(fit$design * f * (gap(match_place(t, x, "within")) - estimate))
  list(change = drop(t(d) %*% information %*% d - t(c) %*% information %*% c) / sum(t)^2)
}

# balance by MatchIt, which is handed weights; the first covariate alone makes its pairs, which are not used
ivb_causal_balance <- function(t, x, weights, estimand) {
  data <- data.frame(t = t, x)
  fit <- MatchIt::matchit(t ~ ., data = data, method = "nearest", replace = TRUE,
                          distance = match_matrix(x[, 1L, drop = FALSE], which(t == 1), which(t == 0)))
  fit$weights <- weights
  fit$estimand <- estimand
  found <- summary(fit, pair.dist = FALSE)
  list(before = unname(found$sum.all[, 1:6]), after = unname(found$sum.matched[, 1:6]),
       names = rownames(found$sum.all))
}

# tests of an experiment with pairs, and by enumeration the same where each rank counts with another chance
ivb_causal_rosenbaum <- function(differences, treated_only, control_only, gammas, few) {
  normal <- function(side) suppressWarnings(stats::wilcox.test(differences, exact = FALSE, correct = FALSE,
                                                               alternative = side)$p.value)
  events <- function(chance) stats::binom.test(treated_only, treated_only + control_only, chance,
                                               alternative = "greater")$p.value
  signs <- as.matrix(expand.grid(rep(list(0:1), length(few))))
  ranks <- rank(abs(few))
  high <- signs %*% ranks >= sum(ranks[few > 0]) - 1e-9
  enumerated <- function(chance) sum((chance^rowSums(signs) * (1 - chance)^(length(few) - rowSums(signs)))[high])
  walsh <- outer(differences, differences, "+") / 2
  list(greater = normal("greater"), less = normal("less"),
       exact = stats::wilcox.test(few, exact = TRUE, alternative = "greater")$p.value,
       binary_high = vapply(gammas / (1 + gammas), events, 0), binary_low = vapply(1 / (1 + gammas), events, 0),
       high = vapply(gammas / (1 + gammas), enumerated, 0), low = vapply(1 / (1 + gammas), enumerated, 0),
       median = stats::median(walsh[!lower.tri(walsh)]))
}

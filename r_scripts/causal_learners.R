# Learners of effects by lm and glm, on folds that Python hands over. Every unit's numbers come from the other folds.
#
# y, t: outcome and 0/1 treatment. x: matrix of covariates. folds: fold numbers 0, 1, ... clip: propensity scores are kept
# within [clip, 1 - clip].

# predictions of a regression at new rows
learner_line <- function(x, y, new, weights = rep(1, length(y))) {
  fit <- stats::lm.wfit(cbind(1, x), y, weights)
  drop(cbind(1, new) %*% fit$coefficients)
}

# predicted probabilities of a logit at new rows; weights need not be whole numbers
learner_logit <- function(x, y, new, weights = rep(1, length(y))) {
  fit <- stats::glm.fit(cbind(1, x), y, weights, family = stats::quasibinomial(),
                        control = stats::glm.control(epsilon = 1e-14, maxit = 100L))
  stats::plogis(drop(cbind(1, new) %*% fit$coefficients))
}

learner_score <- function(x, t, new, clip) pmin(pmax(learner_logit(x, t, new), clip), 1 - clip)

# out-of-fold predictions among some units
learner_folded <- function(predict, folds) {
  found <- numeric(length(folds))
  for (fold in unique(folds)) found[folds == fold] <- predict(folds != fold, folds == fold)
  found
}

# m(x) and e(x) at new rows are given; the effect's mean outcome without treatment follows
learner_centred <- function(mean, score, effect) list(mu0 = mean - score * effect, effect = effect)

learner_arms <- function(predict, x, y, t, new) {
  list(mu0 = predict(x[t == 0, , drop = FALSE], y[t == 0], new), mu1 = predict(x[t == 1, , drop = FALSE], y[t == 1], new))
}

# Each: list(mu0, effect) at `new`, learned from x, y, t. `score`: propensity at `new`; `folds`: of x; `clip`.
learner_kinds <- list(
  s_learner = function(x, y, t, new, score, folds, clip) {
    mu <- lapply(0:1, function(arm) learner_line(cbind(x, t), y, cbind(new, arm)))
    list(mu0 = mu[[1L]], effect = mu[[2L]] - mu[[1L]])
  },
  t_learner = function(x, y, t, new, score, folds, clip) {
    mu <- learner_arms(learner_line, x, y, t, new)
    list(mu0 = mu$mu0, effect = mu$mu1 - mu$mu0)
  },
  x_learner = function(x, y, t, new, score, folds, clip) {
    here <- learner_arms(learner_line, x, y, t, x)
    there <- learner_arms(learner_line, x, y, t, new)
    imputed <- ifelse(t == 1, y - here$mu0, here$mu1 - y)
    effect <- learner_arms(learner_line, x, imputed, t, new)
    learner_centred((1 - score) * there$mu0 + score * there$mu1, score,
                    score * effect$mu0 + (1 - score) * effect$mu1)
  },
  r_learner = function(x, y, t, new, score, folds, clip) {
    left <- y - learner_folded(function(seen, new) learner_line(x[seen, , drop = FALSE], y[seen], x[new, , drop = FALSE]), folds)
    taken <- t - learner_folded(function(seen, new) learner_score(x[seen, , drop = FALSE], t[seen], x[new, , drop = FALSE], clip), folds)
    learner_centred(learner_line(x, y, new), score, learner_line(x, left / taken, new, taken^2))
  },
  uplift_two_model = function(x, y, t, new, score, folds, clip) {
    mu <- learner_arms(learner_logit, x, y, t, new)
    list(mu0 = mu$mu0, effect = mu$mu1 - mu$mu0)
  },
  uplift_class = function(x, y, t, new, score, folds, clip) {
    e <- learner_folded(function(seen, new) learner_score(x[seen, , drop = FALSE], t[seen], x[new, , drop = FALSE], clip), folds)
    same <- learner_logit(x, as.numeric(y == t), new, 0.5 / ifelse(t == 1, e, 1 - e))
    learner_centred(learner_logit(x, y, new), score, 2 * same - 1)
  },
  uplift_transformed = function(x, y, t, new, score, folds, clip) {
    e <- learner_folded(function(seen, new) learner_score(x[seen, , drop = FALSE], t[seen], x[new, , drop = FALSE], clip), folds)
    learner_centred(learner_logit(x, y, new), score, learner_line(x, y * (t - e) / (e * (1 - e)), new))
  }
)

# The average effect, its standard error, and the units' influence on it. ATE: the mean of the doubly robust scores; ATT:
# what the treated gain over what untreated units, weighted by the odds of their treatment, lack.
learner_average <- function(y, t, score, mu0, effect, att) {
  if (att) {
    gain <- (y - mu0) * ifelse(t == 1, 1, -score / (1 - score))
    estimate <- sum(gain) / sum(t)
    influence <- (gain - t * estimate) / mean(t)
  } else {
    gain <- effect + (y - mu0 - t * effect) * ifelse(t == 1, 1 / score, -1 / (1 - score))
    estimate <- mean(gain)
    influence <- gain - estimate
  }
  list(estimate = estimate, std_error = sqrt(sum(influence^2)) / length(y), influence = influence)
}

ivb_causal_meta_learner <- function(kind, y, t, x, folds, clip, att = FALSE) {
  x <- as.matrix(x)
  score <- mu0 <- effect <- numeric(length(y))
  for (fold in unique(folds)) {
    seen <- folds != fold
    new <- x[!seen, , drop = FALSE]
    score[!seen] <- learner_score(x[seen, , drop = FALSE], t[seen], new, clip)
    stage <- learner_kinds[[kind]](x[seen, , drop = FALSE], y[seen], t[seen], new, score[!seen], folds[seen], clip)
    mu0[!seen] <- stage$mu0
    effect[!seen] <- stage$effect
  }
  c(list(score = score, mu0 = mu0, effect = effect,
         calls = c("lm(y ~ ., data = data[folds != k, ])", "glm(t ~ ., family = binomial, data = data[folds != k, ])")),
    learner_average(y, t, score, mu0, effect, att))
}

# A regression tree of scores on the units with half == 0; mean and standard error of each leaf's units with half == 1,
# and Cochran's statistic of equal means.
ivb_causal_tree <- function(score, x, half, depth, leaf) {
  columns <- as.data.frame(as.matrix(x))
  data <- cbind(score = score, columns)
  control <- rpart::rpart.control(minsplit = 2L, minbucket = leaf, cp = 0, maxdepth = depth, xval = 0L,
                                  maxcompete = 0L, maxsurrogate = 0L)
  tree <- rpart::rpart(score ~ ., data = data[half == 0, ], method = "anova", control = control)
  # leaves are told apart by their fitted means
  groups <- split(score[half == 1], stats::predict(tree, columns[half == 1, , drop = FALSE]))
  estimate <- vapply(groups, mean, 0)
  std_error <- vapply(groups, function(g) stats::sd(g) / sqrt(length(g)), 0)
  weights <- 1 / std_error^2
  list(estimate = estimate, std_error = std_error,
       statistic = sum(weights * (estimate - sum(weights * estimate) / sum(weights))^2))
}

# Certainty equivalents without and with treatment by base R: doubly robust scores of the utility of each outcome, with
# the T-learner's means. `kind` is "absolute" (exp) or "relative" (power); `aversion` is positive and not 1.
ivb_causal_certainty <- function(kind, aversion, y, t, x, folds, clip) {
  utility <- if (kind == "absolute") function(y) -exp(-aversion * (y - mean(y))) else function(y) y^(1 - aversion)
  u <- utility(y)
  arms <- ivb_causal_meta_learner("t_learner", u, t, x, folds, clip)
  mu1 <- arms$mu0 + arms$effect
  scores <- cbind(arms$mu0 + (1 - t) * (u - arms$mu0) / (1 - arms$score), mu1 + t * (u - mu1) / arms$score)
  m <- colMeans(scores)
  value <- if (kind == "absolute") mean(y) - log(-m) / aversion else m^(1 / (1 - aversion))
  slope <- if (kind == "absolute") -1 / (aversion * m) else value / ((1 - aversion) * m)
  influence <- sweep(sweep(scores, 2L, m), 2L, slope, `*`)
  error <- function(psi) sqrt(mean(psi^2) / length(y))
  list(value = value, std_error = c(apply(influence, 2L, error), error(influence[, 2L] - influence[, 1L])))
}

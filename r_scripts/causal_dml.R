# Double machine learning with R's own learners on given folds; the scores are those of Chernozhukov et al. (2018),
# written out. Sourced by an R process of ivbridge; nothing is attached: every call names its package.
#
# model: "plr", "irm", "pliv", "iivm". y, t: n numbers. x: n rows. z: n rows, perhaps no column. folds: n rows, a column
# for each split. outcome, treatment: list(kind, trees, leaf, penalty) of a learner. settings: list(estimand, clip).

ivb_causal_dml <- function(model, y, t, x, z, folds, outcome, treatment, settings, seed) {
  z <- matrix(z, nrow = length(y))
  found <- lapply(seq_len(ncol(folds)), function(r) {
    predict <- function(target, learner, among = rep(TRUE, length(target))) {
      dml_out_of_fold(learner, x, target, folds[, r], among, seed)
    }
    dml_models[[model]](y, t, z, predict, outcome, treatment, settings)
  })
  estimates <- vapply(found, function(one) one$estimate, 0)
  errors <- vapply(found, function(one) one$error, 0)
  middle <- stats::median(estimates)
  losses <- lapply(stats::setNames(nm = names(found[[1L]]$losses)), function(name) {
    mean(vapply(found, function(one) one$losses[[name]], 0))
  })
  list(estimate = middle, error = sqrt(stats::median(errors^2 + (estimates - middle)^2)), estimates = estimates,
       errors = errors, losses = losses)
}

dml_out_of_fold <- function(learner, x, target, folds, among, seed) {
  predicted <- numeric(length(target))
  binary <- all(target %in% c(0, 1))
  # scikit-learn's logit penalises the sum of the losses, so that its lambda is that of a fold of the usual size
  k <- length(unique(folds))
  usual <- sum(among) - sum(among) %/% k
  for (fold in unique(folds)) {
    learn <- folds != fold & among
    judge <- folds == fold
    lambda <- if (binary) learner$penalty * usual / sum(learn) else learner$penalty
    predicted[judge] <- if (length(unique(target[learn])) == 1L) target[learn][1L] else
      dml_learners[[learner$kind]](learner, x[learn, , drop = FALSE], target[learn], x[judge, , drop = FALSE], binary,
                                   lambda, seed)
  }
  predicted
}

dml_learners <- list(
  linear = function(learner, x, y, new, binary, lambda, seed) {
    coefficients <- if (binary) {
      stats::glm.fit(cbind(1, x), y, family = stats::binomial(), control = list(epsilon = 1e-15, maxit = 100))
    } else stats::lm.fit(cbind(1, x), y)
    coefficients <- coefficients$coefficients
    coefficients[is.na(coefficients)] <- 0
    index <- drop(cbind(1, new) %*% coefficients)
    if (binary) stats::plogis(index) else index
  },
  lasso = function(learner, x, y, new, binary, lambda, seed) {
    # one penalty: a path would stop early where R2 is near one
    fit <- glmnet::glmnet(x, y, family = if (binary) "binomial" else "gaussian", lambda = lambda, thresh = 1e-16,
                          maxit = 1e6)
    drop(stats::predict(fit, new, type = "response"))
  },
  forest = function(learner, x, y, new, binary, lambda, seed) {
    colnames(x) <- colnames(new) <- paste0("x", seq_len(ncol(x)))
    # scikit-learn's defaults: all columns at each split of a regression, their root for a classification
    fit <- ranger::ranger(x = x, y = if (binary) factor(y) else y, num.trees = learner$trees, probability = binary,
                          mtry = if (binary) max(1, floor(sqrt(ncol(x)))) else ncol(x),
                          min.node.size = 2 * learner$leaf - 1, num.threads = 1, seed = seed + 1)
    predicted <- stats::predict(fit, new, num.threads = 1)$predictions
    if (binary) predicted[, "1"] else predicted
  }
)

dml_loss <- function(target, predicted, among = rep(TRUE, length(target))) sqrt(mean((target - predicted)[among]^2))

# The root of mean(psi_b - theta * psi_a), and its standard error.
dml_solved <- function(psi_a, psi_b, losses) {
  theta <- mean(psi_b) / mean(psi_a)
  list(estimate = theta, error = sqrt(mean((psi_b - theta * psi_a)^2) / mean(psi_a)^2 / length(psi_a)), losses = losses)
}

# The doubly robust score of the effect of a 0/1 variable `a` on `y`.
dml_robust <- function(y, a, at_0, at_1, chance) {
  at_1 - at_0 + a * (y - at_1) / chance - (1 - a) * (y - at_0) / (1 - chance)
}

dml_clip <- function(chance, limit) pmin(pmax(chance, limit), 1 - limit)

dml_models <- list(
  plr = function(y, t, z, predict, outcome, treatment, settings) {
    l <- predict(y, outcome)
    m <- predict(t, treatment)
    dml_solved((t - m)^2, (t - m) * (y - l), list(ml_l = dml_loss(y, l), ml_m = dml_loss(t, m)))
  },
  irm = function(y, t, z, predict, outcome, treatment, settings) {
    g0 <- predict(y, outcome, t == 0)
    g1 <- predict(y, outcome, t == 1)
    raw <- predict(t, treatment)
    m <- dml_clip(raw, settings$clip)
    losses <- list(ml_g0 = dml_loss(y, g0, t == 0), ml_g1 = dml_loss(y, g1, t == 1), ml_m = dml_loss(t, raw))
    if (settings$estimand == "ATT") {
      return(dml_solved(t, t * (y - g0) - (1 - t) * m / (1 - m) * (y - g0), losses))
    }
    dml_solved(rep(1, length(y)), dml_robust(y, t, g0, g1, m), losses)
  },
  pliv = function(y, t, z, predict, outcome, treatment, settings) {
    l <- predict(y, outcome)
    r <- predict(t, treatment)
    m <- vapply(seq_len(ncol(z)), function(j) predict(z[, j], treatment), y)
    names <- if (ncol(z) > 1L) paste0("ml_m_z", seq_len(ncol(z))) else "ml_m"
    losses <- lapply(seq_len(ncol(z)), function(j) dml_loss(z[, j], m[, j]))
    v <- z - m
    v <- if (ncol(z) > 1L) stats::lm.fit(cbind(1, v), t - r)$fitted.values else v[, 1L]
    dml_solved(v * (t - r), v * (y - l),
               c(list(ml_l = dml_loss(y, l), ml_r = dml_loss(t, r)), stats::setNames(losses, names)))
  },
  iivm = function(y, t, z, predict, outcome, treatment, settings) {
    z <- z[, 1L]
    g0 <- predict(y, outcome, z == 0)
    g1 <- predict(y, outcome, z == 1)
    r0 <- predict(t, treatment, z == 0)
    r1 <- predict(t, treatment, z == 1)
    raw <- predict(z, treatment)
    m <- dml_clip(raw, settings$clip)
    dml_solved(dml_robust(t, z, r0, r1, m), dml_robust(y, z, g0, g1, m),
               list(ml_g0 = dml_loss(y, g0, z == 0), ml_g1 = dml_loss(y, g1, z == 1), ml_m = dml_loss(z, raw),
                    ml_r0 = dml_loss(t, r0, z == 0), ml_r1 = dml_loss(t, r1, z == 1)))
  }
)

# Two-stage least squares by hand with lm: what its second regression prints, and what it should.
ivb_causal_two_step <- function(y, t, x, z) {
  hat <- stats::fitted(stats::lm(t ~ x + z))
  second <- stats::lm(y ~ x + hat)
  right <- summary(AER::ivreg(y ~ x + t | x + z))$coefficients
  list(estimate = stats::coef(second)[["hat"]], by_hand = summary(second)$coefficients["hat", 2L], right = right["t", 2L])
}

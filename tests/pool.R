# Functions that the tests of the pool share out.

ivb_pid <- function() Sys.getpid()

# The mean of n random numbers, after a while; one line in `log` for each call.
ivb_mean <- function(seed, n = 100L, seconds = 0, log = "") {
  if (nzchar(log)) cat(seed, "\n", file = log, append = TRUE)
  Sys.sleep(seconds)
  set.seed(seed)
  mean(rnorm(n))
}

# Everything that a file must give back with the same bits.
ivb_values <- function(seed) {
  warning("warned")
  message("said ", seed)
  cat("printed\n")
  list(
    doubles = c(NA, NaN, -0, Inf, -Inf, 5e-324, 0.1 + 0.2, seed), integers = c(1L, NA), logicals = c(TRUE, NA),
    text = c("\u00e9", NA, "NaN", ""), factor = factor(c("b", NA), levels = c("b", "a", "unused")), nothing = NULL,
    matrix = matrix(c(1.5, NA, 3, 4), 2L, dimnames = list(NULL, c("a", "b"))), unnamed = list(1, "x"),
    frame = data.frame(x = 1:2, day = as.Date(c("2020-02-29", NA)))
  )
}

ivb_die <- function(seed, only = 0L, once = "") {
  if (seed == only && !(nzchar(once) && file.exists(once))) {
    if (nzchar(once)) file.create(once)
    tools::pskill(Sys.getpid(), 9L)
    Sys.sleep(60)
  }
  if (seed == only && !nzchar(once)) stop("unreachable")
  if (seed == -1) stop("minus one")
  seed
}

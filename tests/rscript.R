# Functions with which the tests of the Rscript bridge ask R what it holds.

ivb_value <- function(text) eval(parse(text = text))
ivb_identical <- function(x, text) identical(x, eval(parse(text = text)), num.eq = FALSE, single.NA = FALSE)
ivb_close_connections <- function() {
  closeAllConnections()
  "closed"
}
ivb_other_connections <- function(path) {
  closeAllConnections()
  for (i in 1:4) assign(paste0("mine", i), file(paste0(path, i), "wb"), envir = globalenv())
  "opened"
}
ivb_quit_beside <- function(seconds) {
  system(paste("sleep", seconds), wait = FALSE)
  quit(status = 3)
}
ivb_hold <- function(n) {
  assign("held", numeric(n), envir = globalenv())
  Sys.getpid()
}

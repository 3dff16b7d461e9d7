# Functions with which the tests of the R process provoke it.

ivb_echo <- function(x) x
ivb_sort <- function(x) sort(x)
ivb_quit_after <- function(x) quit(status = length(x) > 0)
ivb_pid <- function() Sys.getpid()
ivb_getwd <- function() getwd()
ivb_getenv <- function(names) Sys.getenv(names)
ivb_tempdir <- function() tempdir()
ivb_exists <- function(name) exists(name)

ivb_describe <- function(x) {
  list(type = typeof(x), class = class(x), na = is.na(x), nan = if (is.atomic(x)) is.nan(x), levels = levels(x))
}
ivb_describe_frame <- function(x) {
  list(
    class = class(x), names = names(x), rows = nrow(x), compact = .row_names_info(x) < 0L,
    types = vapply(x, typeof, ""), classes = lapply(x, class)
  )
}
ivb_width_and_last <- function(x) c(length(x), x[[length(x)]])
ivb_double_bits <- function(x) {
  vapply(x, function(one) paste(as.character(writeBin(one, raw(), endian = "big")), collapse = ""), "")
}

ivb_stop <- function(text) stop(text)
ivb_warn_and_stop <- function() {
  warning("look out")
  stop("too late")
}
ivb_stop_deep <- function(data) inner(data)
inner <- function(frame) stop("deep inside")
ivb_stop_class <- function() {
  stop(structure(class = c("special", "error", "condition"), list(message = "of its own class", call = NULL)))
}
ivb_stop_bytes <- function() stop("not \xff valid")
ivb_signals <- function() {
  warning("first")
  message("said")
  as.integer("x")
  warning("last")
  "done"
}
ivb_many_warnings <- function(n) for (i in seq_len(n)) warning("again")
ivb_custom_warning <- function() {
  signalCondition(structure(class = c("quiet", "warning", "condition"), list(message = "signalled", call = NULL)))
  1
}
ivb_abort <- function() invokeRestart("abort")

ivb_chatter <- function(lines) {
  cat(sprintf("line %d\n", seq_len(lines)), sep = "")
  print("printed")
  system("echo from a subprocess")
  system("echo to its standard error >&2")
  cat("at the end\n", file = stderr())
}
ivb_flood <- function(bytes) {
  cat("begin\n")
  system(sprintf("head -c %d /dev/zero | tr '\\0' x >&2", as.integer(bytes)))
  cat("end\n")
}
ivb_print_bytes <- function() cat("not \xff valid")
ivb_print_and <- function(what) {
  cat("so far\n")
  switch(what, stop = stop("enough"), loop = repeat NULL, quit = quit(status = 1))
}
ivb_warn <- function(text) warning(text)
ivb_quit <- function(status) quit(status = status)
ivb_signal <- function(number) tools::pskill(Sys.getpid(), number)
ivb_loop <- function() repeat NULL
ivb_sleep <- function(seconds) Sys.sleep(seconds)
ivb_system <- function(seconds) system(paste("sleep", seconds))
ivb_yes <- function() system("yes")
ivb_cat <- function() repeat cat("again and again\n")
# O(n^2) steps for a prime number of values, and no look at interrupts
ivb_loop_c <- function() length(stats::fft(numeric(1000003)))
ivb_c <- function(name, ...) {
  maps <- grep("/libc[.-]", readLines("/proc/self/maps"), value = TRUE)
  dyn.load(sub("^[^/]*", "", maps[[1L]]))
  .C(name, ...)
}
ivb_abort_c <- function() ivb_c("abort")
ivb_exit_c <- function() ivb_c("_exit", 0L) # the code is what an address ends with
# the third argument, a length, is an address here
ivb_overwrite <- function() ivb_c("memset", raw(8), raw(8), raw(8))
ivb_truncate <- function() {
  file <- tempfile()
  writeBin(raw(65536), file)
  mapped <- .Internal(mmap_file(file, "double", FALSE, FALSE))
  file.create(file)
  sum(mapped)
}
ivb_printf_c <- function() {
  cat("first\n")
  ivb_c("printf", c(charToRaw("second"), as.raw(0)))
  "third"
}
nested <- function(n) {
  x <- NULL
  for (i in seq_len(n)) x <- list(x)
  x
}
# prints when the fault begins, which is not when the call does
now <- function() cat(sprintf("%.6f\n", as.numeric(Sys.time())))
ivb_nested_checked <- function() {
  x <- nested(1e6)
  now()
  length(serialize(x, NULL))
}
ivb_nested_unchecked <- function() {
  x <- nested(1e6)
  y <- nested(1e6)
  now()
  identical(x, y)
}
ivb_grow <- function() {
  x <- list()
  repeat {
    now()
    x[[length(x) + 1L]] <- numeric(1e6)
  }
}
# takes all memory but some spare tens of megabytes, and keeps it
ivb_fill <- function(spare) {
  held <- list()
  try(repeat held[[length(held) + 1L]] <- numeric(1.25e6), silent = TRUE)
  assign("held", utils::head(held, -spare), envir = globalenv())
  rm(held)
  invisible(gc())
  NULL
}
ivb_background <- function(seconds) system(paste("sleep", seconds, "&"))
ivb_sink <- function() {
  sink(tempfile())
  cat("into a file\n")
}
ivb_print <- function(x) cat(x)
ivb_recurse <- function(n = 0) 1 + ivb_recurse(n + 1)
ivb_allocate <- function(n) length(numeric(n))
ivb_setwd <- function(path) setwd(path)
ivb_readline <- function() readline("? ")
ivb_save_image <- function(path, sentinel) {
  .First <- function() NULL
  body(.First) <- bquote(file.create(.(sentinel)))
  loaded_from_image <- TRUE
  save(.First, loaded_from_image, file = path)
}
ivb_library <- function(package) library(package, character.only = TRUE)
ivb_pretend_loaded <- function(packages) {
  for (package in packages) .Internal(registerNamespace(package, new.env()))
}

ivb_function_inside <- function() list(fit = list(link = mean))
ivb_bad_names <- function() list(a = 1, 2)
ivb_bad_text <- function() {
  text <- "\xff"
  Encoding(text) <- "UTF-8"
  text
}
ivb_values <- function() {
  latin <- "fa\xe7ile"
  Encoding(latin) <- "latin1"
  list(
    null = NULL, logical = c(TRUE, FALSE), logical_na = c(TRUE, NA), integer = 1:3, integer_na = c(1L, NA),
    double = c(1.5, NA, NaN, Inf), matrix = matrix(1:6, 2), array = array(as.numeric(1:24), 2:4),
    empty_matrix = matrix(0, 0, 3), empty = logical(), none = character(), text = c("NA", NA, latin),
    factor = factor(c("b", NA, "a")), list = list(1, "a"), frame = data.frame(a = 1:2, b = c("x", "y"))
  )
}
not_public <- function() 1
ivb_constant <- 1

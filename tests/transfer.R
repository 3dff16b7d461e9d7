# What the tests of the transfer ask R. The texts come from the project's own documentation.

ivb_echo <- function(x) x
ivb_made <- function(text) eval(str2lang(text), globalenv())
# NaN is compared as one value: the sign and payload of R's own differ between processors
ivb_same <- function(x, text) {
  expected <- ivb_made(text)
  same <- identical(x, expected, num.eq = FALSE, single.NA = TRUE, attrib.as.set = TRUE)
  c(same, paste(c(deparse(x), "instead of", deparse(expected)), collapse = " "))
}
ivb_bits <- function(x) {
  vapply(x, function(one) paste(as.character(writeBin(one, raw(), endian = "big")), collapse = ""), "")
}
ivb_bytes <- function(x) lapply(unname(x), function(one) if (is.na(one)) NULL else as.integer(charToRaw(one)))
ivb_clock <- function(x) format(x, "%Y-%m-%d %H:%M:%S %Z")
ivb_ends <- function(x) list(length(x), nrow(x), x[[1L]], x[[length(x)]], names(x)[length(x)], x)
kept <- new.env()
ivb_keep <- function(x) {
  kept$x <- x
  dim(x)
}
ivb_kept <- function() kept$x

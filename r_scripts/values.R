# R values made of what Python sends, and taken apart for the way back. Sourced beside call.R; nothing here is public.

value_frame <- function(columns, names, rows) {
  attributes(columns) <- list(names = names, class = "data.frame", row.names = .set_row_names(rows))
  columns
}

value_factor <- function(codes, levels, ordered) {
  attributes(codes) <- list(levels = levels, class = if (ordered) c("ordered", "factor") else "factor")
  codes
}

value_times <- function(x, kind, unit) {
  attributes(x) <- switch(kind,
    Date = list(class = "Date"),
    POSIXct = list(class = c("POSIXct", "POSIXt"), tzone = if (nzchar(unit)) unit),
    difftime = list(class = "difftime", units = unit)
  )
  x
}

value_subset <- function(labels, codes) labels[codes]

value_dim <- function(x, dim) {
  dim(x) <- dim
  x
}

value_named <- function(x, names) {
  names(x) <- names
  x
}

# `n` texts of their UTF-8 bytes, each ended by a zero byte; the bytes come as integers, four in each.
value_strings <- function(bytes, n) {
  x <- readBin(writeBin(bytes, raw()), "character", n)
  Encoding(x) <- "UTF-8"
  x
}

# The list `into` with consecutive stretches of `values` at `positions`.
value_unpack <- function(into, positions, values, lengths) {
  starts <- cumsum(as.numeric(lengths)) - lengths + 1
  into[positions] <- lapply(seq_along(positions), function(i) values[seq.int(starts[i], length.out = lengths[i])])
  into
}

# Of a character vector: codes from 1 (NA: missing), the number of different texts, and their bytes in UTF-8, each text
# ended by a zero byte, four bytes in an integer. writeBin() translates to the locale's encoding, which is UTF-8.
value_text <- function(x) {
  attributes(x) <- NULL
  labels <- unique(x)
  labels <- labels[!is.na(labels)]
  bytes <- writeBin(labels, raw())
  bytes <- c(bytes, raw(-length(bytes) %% 4L))
  list(match(x, labels), length(labels), readBin(bytes, "integer", length(bytes) %/% 4L))
}

# Of a list's elements, the plain vectors of at most `limit` values: for each element 0, or 1 logical, 2 integer,
# 3 double; its length; and the values of each kind in one piece.
value_pack <- function(x, limit) {
  x <- unclass(x)
  kinds <- vapply(x, value_kind, 0L, limit, USE.NAMES = FALSE)
  lengths <- integer(length(x))
  lengths[kinds > 0L] <- lengths(x[kinds > 0L], use.names = FALSE)
  c(list(kinds, lengths), lapply(1:3, function(kind) unlist(x[kinds == kind], use.names = FALSE)))
}

value_kind <- function(x, limit) {
  if (!is.null(attributes(x)) || length(x) > limit) return(0L)
  match(typeof(x), c("logical", "integer", "double"), 0L)
}

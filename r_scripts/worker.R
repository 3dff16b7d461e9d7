# R's side of the bridge that needs no rpy2:  Rscript --vanilla worker.R <folder of call.R> <read from> <write to>
#
# Reads requests in R's binary serialization, calls the function with call.R, and writes the answer. A request is
# list("call", function, arguments) or list("source", path of a script), or list(path of a file that holds one); such a
# file is acknowledged with TRUE when it has been read.

local({
  arguments <- commandArgs(trailingOnly = TRUE)
  call <- new.env(parent = globalenv())
  sys.source(file.path(arguments[1L], "call.R"), call)
  public <- new.env(parent = globalenv())
  requests <- answers <- NULL

  # The connection itself, or a new one if R code closed it, as closeAllConnections() does.
  usable <- function(connection, path, mode) {
    same <- tryCatch(identical(summary(connection)$description, path), error = function(e) FALSE)
    if (same) connection else file(path, mode, raw = TRUE)
  }

  # Attributes that a record holds; whatever else a value carries stays here.
  of_atomic <- c("dim", "levels", "class", "tzone", "units")
  of_list <- c("names", "class", "row.names")

  # R's own name of a type, as C code and rpy2 say it.
  internal <- function(type) {
    short <- switch(type, closure = "clo", environment = "env", language = "lang", symbol = "sym", complex = "cplx",
      externalptr = "extptr", pairlist = "list", expression = "expr", promise = "prom", type)
    paste0(toupper(short), "SXP")
  }

  # The value without other attributes, and its text as codes and labels: what `rserial.py` reads.
  plain <- function(x, path) {
    type <- typeof(x)
    if (type == "character") return(coded(x))
    if (type == "list") return(plain_list(x, path))
    if (!type %in% c("NULL", "logical", "integer", "double")) {
      call$call_stop("ivb_unsendable", path, " is of R's type ", internal(type), ", which cannot be sent to Python")
    }
    known <- attributes(x)
    kept <- intersect(of_atomic, names(known))
    if (length(kept) < length(known)) {
      attributes(x) <- NULL
      # copied now, where a lack of memory is an error of the call, and not by serialize()
      if (length(x)) x[[1L]] <- x[[1L]]
      attributes(x) <- known[kept]
    }
    x
  }

  plain_list <- function(x, path) {
    known <- attributes(x)
    known <- known[intersect(of_list, names(known))]
    attributes(x) <- NULL
    steps <- if (is.null(known$names)) sprintf("[[%d]]", seq_along(x)) else paste0("$", known$names)
    for (i in seq_along(x)) if (!is.null(x[[i]])) x[[i]] <- plain(x[[i]], paste0(path, steps[[i]]))
    attributes(x) <- known
    x
  }

  coded <- function(x) {
    attributes(x) <- NULL
    x <- enc2utf8(x)
    labels <- unique(x[!is.na(x)])
    codes <- match(x, labels)
    attr(codes, "ivb_labels") <- labels
    codes
  }

  say <- function(value) {
    force(value) # the call itself, which may close connections
    flush(stdout()) # what C code printed belongs to this call
    answers <<- usable(answers, arguments[3L], "wb")
    serialize(value, answers, xdr = FALSE, version = 2L)
    flush(answers)
  }

  answer <- function(request) {
    if (length(request) == 1L) {
      large <- file(request[[1L]], "rb", raw = TRUE)
      request <- tryCatch(unserialize(large), finally = {
        close(large)
        say(TRUE)
      })
    }
    outcome <- switch(request[[1L]],
      call = call$call_function(public, request[[2L]], request[[3L]]),
      source = call$call_source(request[[2L]], public)
    )
    Map(plain, outcome, names(outcome))
  }

  failed <- function(condition) {
    none <- character()
    plain(list(value = NULL, failure = call$call_failure(condition), warnings = none, messages = none), "answer")
  }

  repeat {
    requests <- usable(requests, arguments[2L], "rb")
    request <- unserialize(requests) # an error, and with it the end, where the other side is gone
    say(tryCatch(answer(request), error = failed))
    request <- NULL
  }
})

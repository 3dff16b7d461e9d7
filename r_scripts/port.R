# Calls of any exported R function for ivbridge.ports: looked up by name, never parsed as code.
#
# A call is list(fun = "pkg::name", positional = list(...), named = list(...)); each argument is list(is = "value",
# value = x), list(is = "formula", text = "y ~ x"), whose text ivbridge's parser wrote, or list(is = "call", call = ...).
# A function of a script that is loaded beside this file is "::name".

port_pattern <- "^([A-Za-z][A-Za-z0-9.]*)?::[A-Za-z.][A-Za-z0-9._]*$"

port_split <- function(name) {
  if (!grepl(port_pattern, name)) stop("not the name of an R function: ", name, call. = FALSE)
  list(package = sub("::.*$", "", name), name = sub("^.*::", "", name))
}

port_function <- function(name) {
  parts <- port_split(name)
  found <- if (nzchar(parts$package)) {
    getExportedValue(parts$package, parts$name)
  } else {
    get(parts$name, envir = environment(port_function), inherits = FALSE)
  }
  if (!is.function(found)) stop(name, " is not a function", call. = FALSE)
  found
}

# For each name: the names of its arguments, and the version of its package. An error if there is no such function.
ivb_port_find <- function(functions) {
  found <- lapply(functions, function(name) {
    parts <- port_split(name)
    if (nzchar(parts$package)) {
      exports <- getNamespaceExports(parts$package)
      if (!parts$name %in% exports) {
        apart <- drop(utils::adist(parts$name, exports, ignore.case = TRUE))
        near <- utils::head(exports[order(apart, exports)], sum(apart <= 2L))
        near <- utils::head(near, 8L)
        stop(parts$package, " exports no ", parts$name, if (length(near)) paste0("; it has: ", toString(near)),
             call. = FALSE)
      }
      version <- as.character(utils::packageVersion(parts$package))
    } else {
      version <- ""
    }
    list(arguments = as.character(names(formals(args(port_function(name))))), version = version)
  })
  names(found) <- functions
  found
}

# One answer for each call: list(outputs, error, classes, warnings). `outputs` are lists of accessors: "pkg::name" is
# called with the value, "$name" takes an element or a slot.
ivb_port <- function(calls, outputs) lapply(calls, port_answer, outputs)

port_answer <- function(call, outputs) {
  warnings <- character()
  failure <- NULL
  found <- NULL
  sinks <- sink.number()
  on.exit(while (sink.number() > sinks) sink())
  tryCatch(
    withCallingHandlers(
      {
        if (!is.null(call$seed)) {
          RNGkind("Mersenne-Twister", "Inversion", "Rejection")
          set.seed(call$seed)
        }
        value <- port_call(call)
        found <- lapply(outputs, function(path) port_describe(port_take(value, path)))
      },
      warning = function(w) {
        if (length(warnings) < 20L) warnings[length(warnings) + 1L] <<- port_text(conditionMessage(w))
        invokeRestart("muffleWarning")
      },
      message = function(m) if (!is.null(findRestart("muffleMessage"))) invokeRestart("muffleMessage")
    ),
    error = function(e) failure <<- e
  )
  list(
    outputs = found,
    error = if (!is.null(failure)) port_text(conditionMessage(failure)),
    classes = if (!is.null(failure)) class(failure),
    warnings = warnings
  )
}

port_text <- function(x) iconv(enc2utf8(paste(as.character(x), collapse = " ")), "UTF-8", "UTF-8", sub = "byte")

# The call is built from symbols, so that what R keeps of it (a model's call, a test's data name) stays short; formulas
# see the same symbols.
port_call <- function(call) {
  frame <- new.env(parent = globalenv())
  positional <- seq_along(call$positional)
  names <- c(sprintf("argument%d", positional), names(call$named))
  arguments <- c(call$positional, call$named)
  for (i in seq_along(arguments)) assign(names[i], port_argument(arguments[[i]], frame), envir = frame)
  symbols <- lapply(names, as.name)
  names(symbols) <- c(rep("", length(positional)), names(call$named))
  parts <- port_split(call$fun)
  if (!nzchar(parts$package)) assign(parts$name, port_function(call$fun), envir = frame)
  head <- as.name(parts$name)
  if (nzchar(parts$package)) head <- base::call("::", as.name(parts$package), head)
  # withVisible: a function that returns invisibly returns its value all the same
  withVisible(eval(as.call(c(head, symbols)), frame))$value
}

port_argument <- function(argument, frame) {
  switch(argument$is,
    value = argument$value,
    call = port_call(argument$call),
    formula = stats::as.formula(str2lang(argument$text), env = frame)
  )
}

port_take <- function(value, path) {
  for (step in path) {
    value <- if (startsWith(step, "$")) port_element(value, substring(step, 2L)) else port_function(step)(value)
  }
  value
}

port_element <- function(value, name) {
  if (isS4(value)) return(methods::slot(value, name))
  if (!name %in% names(value)) stop("the value has no element ", name, "; it has: ", toString(names(value)), call. = FALSE)
  value[[name]]
}

# A value as something that can travel: list(kind, value, names). Attributes other than names and dimensions are left out.
port_describe <- function(x) {
  if (is.null(x)) return(list(kind = "none"))
  if (inherits(x, "Matrix")) x <- as.matrix(x)
  if (is.data.frame(x)) {
    return(list(kind = "list", value = lapply(unname(as.list(x)), port_describe), names = names(x)))
  }
  if (inherits(x, "Date")) return(list(kind = "text", value = format(x, "%Y-%m-%dT00:00:00.000000"), names = names(x)))
  if (inherits(x, "POSIXct")) {
    return(list(kind = "text", value = format(x, "%Y-%m-%dT%H:%M:%OS6", tz = "UTC"), names = names(x)))
  }
  if (inherits(x, "difftime")) return(list(kind = "number", value = as.numeric(x, units = "secs"), names = names(x)))
  if (is.factor(x)) return(list(kind = "text", value = as.character(x), names = names(x)))
  if (is.list(x)) {
    x <- unclass(x)
    return(list(kind = "list", value = lapply(unname(x), port_describe), names = names(x)))
  }
  kind <- switch(typeof(x), logical = , integer = , double = "number", character = "text", complex = "complex",
                 raw = "number", "left out")
  if (kind == "left out") return(list(kind = kind, value = class(x)[1L]))
  dim <- dim(x)
  names <- if (is.null(dim)) names(x) else dimnames(x)
  if (kind == "complex") {
    parts <- list(port_bare(Re(x), dim), port_bare(Im(x), dim))
    return(list(kind = kind, value = parts[[1L]], imaginary = parts[[2L]]))
  }
  if (is.raw(x)) x <- as.integer(x)
  list(kind = kind, value = port_bare(x, dim), dim = dim, names = unname(names))
}

# Without attributes; of a text with dimensions the values column by column, since only numbers travel as a matrix.
port_bare <- function(x, dim) {
  attributes(x) <- NULL
  if (is.character(x)) return(port_valid(x))
  if (length(dim) > 1L) dim(x) <- dim
  x
}

# iconv() would make the text "NA" of a missing one
port_valid <- function(x) {
  there <- !is.na(x)
  x[there] <- iconv(enc2utf8(x[there]), "UTF-8", "UTF-8", sub = "byte")
  x
}

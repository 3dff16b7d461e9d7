# How the worker process calls R functions. Sourced into an environment of its own; nothing here is public.
# Every function whose name starts with "ivb_" in the sourced scripts can be called; nothing else can.

call_limit <- 1000L # warnings and messages kept of one call

# Evaluate `work()` and return list(value, failure, warnings, messages). Never raises.
call_guarded <- function(work) {
  sinks <- sink.number()
  on.exit(while (sink.number() > sinks) sink())
  seen <- new.env(parent = emptyenv())
  seen$warnings <- seen$messages <- character()
  note <- function(kind, restart) function(condition) {
    if (length(seen[[kind]]) < call_limit) seen[[kind]] <- c(seen[[kind]], call_text(conditionMessage(condition)))
    muffle <- computeRestarts(condition)
    muffle <- Filter(function(one) identical(one$name, restart), muffle)
    if (length(muffle)) invokeRestart(muffle[[1L]])
  }
  value <- NULL
  failure <- withRestarts(
    tryCatch(
      {
        withCallingHandlers(
          value <- work(),
          warning = note("warnings", "muffleWarning"),
          message = note("messages", "muffleMessage")
        )
        NULL
      },
      error = call_failure
    ),
    abort = function() call_failure(call_condition("ivb_abort", "the R code gave up by jumping to R's top level"))
  )
  list(value = value, failure = failure, warnings = seen$warnings, messages = seen$messages)
}

call_failure <- function(condition) {
  call <- conditionCall(condition)
  package <- if (inherits(condition, "packageNotFoundError")) condition$package
  list(
    classes = class(condition),
    message = call_text(tryCatch(conditionMessage(condition), error = function(e) "(no message)")),
    call = if (is.null(call)) "" else call_text(deparse(call, width.cutoff = 100L, nlines = 3L)),
    package = if (is.null(package)) "" else call_text(package)
  )
}

# One valid UTF-8 string; bytes that are not become "<ff>".
call_text <- function(x) {
  text <- enc2utf8(paste(as.character(x), collapse = " "))
  iconv(text, "UTF-8", "UTF-8", sub = "byte")
}

# Source one script into `envir`; same return value as call_guarded().
call_source <- function(path, envir) {
  call_guarded(function() {
    sys.source(path, envir = envir, keep.source = FALSE)
    NULL
  })
}

# Call `name` of `envir` with the list `arguments`; same return value as call_guarded().
call_function <- function(envir, name, arguments) {
  call_guarded(function() {
    available <- call_available(envir)
    if (!name %in% available) {
      call_stop("ivb_unknown_function", name, " is not a public function. Available: ", toString(available))
    }
    # The call is built from symbols: with the values in it, an error's call would deparse the whole data set.
    frame <- list2env(arguments, parent = envir)
    symbols <- lapply(names(arguments), as.name)
    names(symbols) <- names(arguments)
    value <- eval(as.call(c(list(as.name(name)), symbols)), frame)
    call_check_clash()
    call_check_text(value)
    value
  })
}

call_available <- function(envir) {
  names <- ls(envir, pattern = "^ivb_")
  names[vapply(names, function(name) is.function(envir[[name]]), NA)]
}

# Both packages define methods for the class "ivreg"; with both loaded, each one's results are silently wrong.
call_check_clash <- function() {
  if (all(c("AER", "ivreg") %in% loadedNamespaces())) {
    call_stop(
      "ivb_package_clash",
      "the R packages AER and ivreg are both loaded in this R process. Both own the class \"ivreg\", so ",
      "covariances and diagnostics of either would be wrong"
    )
  }
}

# Text that is not valid in its encoding, or has none, ends the process when C code outside of R asks for it.
call_check_text <- function(x, path = "value") {
  for (text in c(if (is.character(x)) list(x), Filter(is.character, attributes(x)))) {
    if (!all(validEnc(text)) || any(Encoding(text) == "bytes")) {
      call_stop("ivb_unsendable", path, " holds text that is not valid in its encoding")
    }
  }
  if (is.list(x)) {
    for (i in seq_along(x)) {
      one <- .subset2(x, i)
      if (is.list(one) || is.character(one) || !is.null(attributes(one))) {
        call_check_text(one, paste0(path, "[[", i, "]]"))
      }
    }
  }
}

call_condition <- function(class, ...) {
  structure(class = c(class, "error", "condition"), list(message = paste0(...), call = NULL))
}

call_stop <- function(class, ...) stop(call_condition(class, ...))

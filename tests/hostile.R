# Files that R can write and nobody should run, and what happens when a text is evaluated after all.
# `sentinel` is the file that a payload makes.

ivb_hostile_files <- function(folder, sentinel) {
  at <- function(name) file.path(folder, name)
  payload <- bquote(system(.(paste("touch", sentinel))))
  environment <- new.env(parent = globalenv())
  do.call(delayedAssign, list("promised", payload, globalenv(), environment))
  makeActiveBinding("active", eval(call("function", NULL, payload), globalenv()), environment)
  run <- eval(call("function", as.pairlist(alist(x = )), payload), globalenv())
  frame <- data.frame(y = 1:3, x = c(2, 1, 5))
  cycle <- new.env(parent = globalenv())
  cycle$self <- cycle
  assign("frame", frame, envir = cycle)
  setClass("ivb_hostile", representation(code = "function"))

  saveRDS(run, at("closure.rds"))
  saveRDS(compiler::cmpfun(run), at("bytecode.rds"))
  saveRDS(cycle, at("cycle.rds"))
  saveRDS(payload, at("call.rds"))
  saveRDS(as.formula(paste0("y ~ system('touch ", sentinel, "')"), globalenv()), at("formula.rds"))
  saveRDS(expression(system("touch nothing")), at("expression.rds"))
  saveRDS(new("ivb_hostile", code = run), at("s4.rds"))
  saveRDS(as.name(paste0("system('touch ", sentinel, "')")), at("symbol.rds"))
  saveRDS(globalenv(), at("globalenv.rds"))
  saveRDS(asNamespace("stats"), at("namespace.rds"))
  saveRDS(baseenv()$sum, at("builtin.rds"))
  saveRDS(methods::getClass("ivb_hostile"), at("class.rds"))
  saveRDS(structure(list(run), class = "data.frame", names = "x", row.names = 1L), at("column_of_functions.rds"))
  saveRDS(structure(list(list(cycle)), class = "data.frame", names = "x", row.names = 1L), at("column_of_environments.rds"))
  saveRDS(structure(list(x = payload), class = "data.frame", row.names = 1L), at("column_is_a_call.rds"))
  saveRDS(structure(list(x = frame), class = "data.frame", row.names = 1:3), at("column_is_a_frame.rds"))
  wide <- frame
  wide$m <- matrix(1:6, 3)
  saveRDS(wide, at("column_is_a_matrix.rds"))
  saveRDS(structure(1:3, class = "data.frame"), at("frame_is_a_vector.rds"))
  saveRDS(structure(list(a = 1:3, b = 1:2), class = "data.frame", row.names = 1:3), at("columns_of_two_lengths.rds"))
  saveRDS(structure(list(1:3), class = "data.frame", row.names = 1:3), at("columns_without_names.rds"))
  saveRDS(structure(list(f = structure(c(1L, 99L), levels = c("a", "b"), class = "factor")), class = "data.frame",
                    row.names = 1:2), at("factor_beyond_its_levels.rds"))
  saveRDS(structure(list(f = structure(1:2, levels = 1:2, class = "factor")), class = "data.frame", row.names = 1:2),
          at("levels_that_are_no_text.rds"))
  deep <- 1
  for (i in seq_len(2000)) deep <- list(deep)
  saveRDS(deep, at("deep.rds"))
  saveRDS(structure(list(x = deep), class = "data.frame", row.names = 1L), at("deep_column.rds"))
  save(environment, file = at("promises.rda"))
  save(run, cycle, file = at("code_only.rda"))
  frames <- list2env(stats::setNames(list(frame, frame), c("../../etc/passwd", paste0("system('touch ", sentinel, "')"))))
  save(list = ls(frames, all.names = TRUE), envir = frames, file = at("hostile_names.rda"))

  # data that can be read: what is hostile stands beside the columns
  attributed <- frame
  attr(attributed, "terms") <- as.formula(paste0("y ~ system('touch ", sentinel, "')"), env = cycle)
  attr(attributed, "run") <- run
  attr(attributed, "environment") <- cycle
  attr(attributed$x, "code") <- payload
  saveRDS(attributed, at("attributes_of_code.rds"))
  save(frame, run, cycle, payload, file = at("frame_beside_code.rda"))
  TRUE
}

# The naive way: a formula from a text, evaluated as R's model functions do.
ivb_naive <- function(formula, data) {
  library(splines)
  try(stats::model.frame(Formula::as.Formula(stats::as.formula(formula)), data), silent = TRUE)
  language <- try(str2lang(formula), silent = TRUE)
  if (is.call(language)) for (part in all_parts(language)) try(eval(part, data), silent = TRUE)
  TRUE
}

all_parts <- function(language) {
  if (!is.call(language)) return(list())
  if (identical(language[[1L]], as.name("~")) || identical(language[[1L]], as.name("|"))) {
    return(unlist(lapply(as.list(language)[-1L], all_parts), recursive = FALSE))
  }
  list(language)
}

# Names of all functions that a text of R would call.
ivb_calls <- function(code) {
  heads <- character()
  left <- as.list(parse(text = code, keep.source = FALSE))
  while (length(left)) {
    node <- left[[1L]]
    left <- left[-1L]
    if (is.call(node)) {
      heads <- c(heads, paste(deparse(node[[1L]]), collapse = " "))
      left <- c(as.list(node), left)
    } else if (is.pairlist(node)) {
      left <- c(Filter(function(one) !identical(one, quote(expr = )), as.list(node)), left)
    }
  }
  unique(heads)
}

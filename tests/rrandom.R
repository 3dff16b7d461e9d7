# R's own random numbers, for tests/test_rrandom.py: run calls after set.seed(), write every number as 64 bits.
#
#   Rscript rrandom.R calls.txt answers.bin
#
# calls.txt holds one R expression a line; each begins where the one before it stopped.

arguments <- commandArgs(trailingOnly = TRUE)
answers <- file(arguments[2L], "wb")
for (line in readLines(arguments[1L])) {
  value <- suppressWarnings(eval(str2lang(line), globalenv()))
  if (startsWith(line, "set.seed") || startsWith(line, "RNGkind") || startsWith(line, ".Random.seed <-")) next
  writeBin(c(length(value), as.numeric(value)), answers)
}
close(answers)

# Install the R packages named on the command line from CRAN, into the first library that can be written:
#   Rscript --vanilla install.R AER sandwich lmtest
# Packages that are there already are left alone. CRAN's mirror is options("repos") or the variable CRAN, if set.
# Exit code 0 when every package can be loaded afterwards, else 1.

install_wanted <- function(wanted) {
  is_there <- function(package) nzchar(system.file(package = package))
  missing <- Filter(function(package) !is_there(package), wanted)
  if (!length(missing)) {
    message("Nothing to install: ", toString(wanted), " are there.")
    return(TRUE)
  }
  library_dir <- writable_library()
  if (is.null(library_dir)) stop("None of these libraries can be written: ", toString(.libPaths()), call. = FALSE)
  message("Installing ", toString(missing), " from ", cran(), " into ", library_dir)
  utils::install.packages(missing, lib = library_dir, repos = cran(), quiet = TRUE)
  failed <- Filter(function(package) !is_there(package), missing)
  if (length(failed)) message("These could not be installed: ", toString(failed))
  !length(failed)
}

cran <- function() {
  set <- Sys.getenv("CRAN", unset = getOption("repos")[["CRAN"]])
  if (identical(set, "@CRAN@")) "https://cloud.r-project.org" else set
}

# The first library on R's own path that can be written; else the user's library, created.
writable_library <- function() {
  for (path in .libPaths()) if (file.access(path, 2L) == 0L) return(path)
  mine <- path.expand(strsplit(Sys.getenv("R_LIBS_USER"), .Platform$path.sep)[[1L]][1L])
  if (is.na(mine) || !nzchar(mine)) return(NULL)
  dir.create(mine, recursive = TRUE, showWarnings = FALSE)
  if (file.access(mine, 2L) != 0L) return(NULL)
  .libPaths(c(mine, .libPaths()))
  mine
}

wanted <- commandArgs(trailingOnly = TRUE)
if (!length(wanted)) stop("Name the packages to install: Rscript --vanilla install.R AER sandwich", call. = FALSE)
quit(status = if (install_wanted(wanted)) 0L else 1L)

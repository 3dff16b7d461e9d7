# What an answer of R depends on. Sourced by ivbridge's R process; also usable on its own.

# R's version, platform, linear algebra, locale and random number generator, and versions of `packages`.
# `packages` gives NA for one that is not installed.
ivb_provenance <- function(packages = character()) {
  external <- extSoftVersion()
  lapack <- tryCatch(La_library(), error = function(e) "")
  list(
    r = as.character(getRversion()),
    platform = R.version$platform,
    system = Sys.info()[["sysname"]],
    home = R.home(),
    blas = external[["BLAS"]],
    lapack = lapack,
    lapack_version = La_version(),
    locale = Sys.getlocale("LC_CTYPE"),
    collation = Sys.getlocale("LC_COLLATE"),
    utf8 = l10n_info()[["UTF-8"]],
    rng = paste(RNGkind(), collapse = ", "),
    contrasts = paste(getOption("contrasts"), collapse = ", "),
    packages = provenance_versions(packages),
    loaded = sort(loadedNamespaces()),
    clash = all(c("AER", "ivreg") %in% loadedNamespaces())
  )
}

provenance_versions <- function(packages) {
  found <- lapply(packages, function(package) {
    path <- system.file(package = package)
    if (nzchar(path)) as.character(utils::packageVersion(package)) else NA_character_
  })
  names(found) <- packages
  found
}

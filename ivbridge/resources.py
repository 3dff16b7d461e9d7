"""Where the R scripts are: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from ivbridge.errors import RNotAvailableError

__all__ = ["scripts_dir"]


def scripts_dir() -> Path:
    """Folder that holds ``call.R``, ``provenance.R``, ``ivreg.R`` and the other R scripts.

    Returns
    -------
    pathlib.Path
        ``ivbridge/r_scripts`` of an installed wheel, otherwise the top-level ``r_scripts`` of a checkout.

    Raises
    ------
    RNotAvailableError
        Neither folder exists: the installation is damaged.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / "r_scripts", package.parent / "r_scripts")
    for folder in candidates:
        if (folder / "call.R").is_file():
            return folder
    raise RNotAvailableError(
        f"The R scripts of ivbridge were not found in {candidates[0]} or {candidates[1]}.",
        do="reinstall the package: pip install --force-reinstall --no-deps ivbridge",
    )

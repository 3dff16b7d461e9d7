"""Which column plays which role: ``"dependent=Y treatment=T covariates=age,income instruments=Z"``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from ivbridge.causal.question import CausalQuestion
from ivbridge.errors import DataError

__all__ = ["ROLES", "question_of", "read_roles"]

ROLES = ("dependent", "treatment", "covariates", "instruments", "clusters")


def read_roles(text: str) -> dict[str, tuple[str, ...]]:
    """Read the roles.

    Parameters
    ----------
    text : str
        ``role=column`` or ``role=column,column``, separated by spaces or semicolons. A name with a space stands in
        quotes: ``treatment="got it"``.

    Returns
    -------
    dict of str to tuple of str

    Raises
    ------
    DataError
        If a word is no ``role=columns``, there is no such role, or a role is given twice.
    """
    roles: dict[str, tuple[str, ...]] = {}
    pattern = re.compile(r"""\s*([^\s=;]+)\s*=\s*((?:"[^"]*"|'[^']*'|[^\s;"',]+|,\s*)+)\s*;?""")
    at = 0
    while at < len(text.rstrip()):
        found = pattern.match(text, at)
        if not found:
            raise DataError(f"{text[at:].strip()!r} is no role.", available="dependent=Y treatment=T covariates=a,b")
        role, names = found.group(1), found.group(2)
        if role not in ROLES:
            near = difflib.get_close_matches(role, ROLES, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise DataError(f"There is no role {role!r}.{hint}", available=", ".join(ROLES))
        if role in roles:
            raise DataError(f"The role {role} is given twice.", do=f"separate columns by commas: {role}=a,b.")
        parts = re.findall(r""""([^"]*)"|'([^']*)'|([^\s,]+)""", names)
        roles[role] = tuple("".join(part) for part in parts)
        at = found.end()
    return roles


def question_of(roles: Mapping[str, tuple[str, ...]]) -> CausalQuestion:
    """The question that roles describe.

    Raises
    ------
    DataError
        If dependent or treatment is missing, or is more than one column.
    """
    for role in ("dependent", "treatment"):
        if len(roles.get(role, ())) != 1:
            raise DataError(
                f"The role {role} needs one column.", do='--roles "dependent=Y treatment=T covariates=a,b".'
            )
    return CausalQuestion(
        roles["dependent"][0],
        roles["treatment"][0],
        roles.get("covariates", ()),
        roles.get("instruments", ()),
        clusters=next(iter(roles.get("clusters", ())), None),
    )

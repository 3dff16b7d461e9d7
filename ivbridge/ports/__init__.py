"""Check any port: a Python function against the R function that it claims to be.

>>> from ivbridge import ports
>>> cases = {"x": ports.vectors()}
"""

from ivbridge.ports.checking import check, replay
from ivbridge.ports.generators import frames, groups, matrices, probabilities, rows, vectors
from ivbridge.ports.records import (
    Arguments,
    Difference,
    Finding,
    Formula,
    Ledger,
    Output,
    PortOptions,
    Raises,
    RCall,
    arguments,
    formula,
    r_call,
)
from ivbridge.ports.report import PortReport

__all__ = [
    "Arguments",
    "Difference",
    "Finding",
    "Formula",
    "Ledger",
    "Output",
    "PortOptions",
    "PortReport",
    "RCall",
    "Raises",
    "arguments",
    "check",
    "formula",
    "frames",
    "groups",
    "matrices",
    "probabilities",
    "r_call",
    "replay",
    "rows",
    "vectors",
]

"""What a check of a port is asked, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ivbridge.errors import DataError

__all__ = [
    "RTOL",
    "Arguments",
    "Case",
    "Difference",
    "Failure",
    "Finding",
    "Formula",
    "Ledger",
    "Output",
    "OutputLedger",
    "PortOptions",
    "RCall",
    "Raises",
    "arguments",
    "formula",
    "r_call",
]

#: Relative difference that no reason is asked for: some thousand units in the last place of a double.
RTOL = 1e-12

Case: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Arguments:
    """Arguments of one call: ``positional`` first, then ``named`` ones."""

    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RCall:
    """An argument of an R function that R computes itself: ``function`` is "package::name"."""

    function: str
    arguments: Arguments


@dataclass(frozen=True)
class Formula:
    """An argument of an R function that is a formula; its variables are columns of the call's ``data``."""

    text: str


def arguments(*positional: Any, **named: Any) -> Arguments:
    """Arguments for either side, where some have to stand by position.

    Parameters
    ----------
    *positional, **named
        The values. A name that Python does not allow is written ``**{"na.rm": True}``.
    """
    return Arguments(positional, named)


def r_call(function: str, /, *positional: Any, **named: Any) -> RCall:
    """An argument that R computes: ``r_call("stats::lm", formula("y ~ x"), data=frame)``.

    Parameters
    ----------
    function : str
        "package::name" of an exported function.
    *positional, **named
        Its arguments: values, formulas, or further calls.
    """
    return RCall(function, Arguments(positional, named))


def formula(text: str) -> Formula:
    """An argument that is an R formula, in the language that ivbridge reads; it is parsed, never evaluated as text.

    Parameters
    ----------
    text : str
        ``"y ~ x + log(w)"``, ``"y ~ x | z"``, or one-sided: ``"~ g"``.
    """
    return Formula(text)


@dataclass(frozen=True)
class Output:
    """One part of the answers that is compared.

    Parameters
    ----------
    name : str
        How the report calls it.
    py : str or callable, optional
        Attributes or keys of Python's answer, joined by dots ("params"), or a function of it. Default: all of it.
    r : str, optional
        What to take of R's value: "stats::coef" calls a function, "$statistic" takes an element or a slot; several are
        joined by blanks. Default: all of it.
    rtol, atol : float, default 1e-12 and 0
        Numbers agree if they differ by at most ``atol + rtol * max(|Python|, |R|)``, each by itself.
    because : str
        Why the tolerance is another than the default; asked for where it is.

    Raises
    ------
    DataError
        A tolerance is negative, or another than the default without a reason.
    """

    name: str = "value"
    py: str | Callable[[Any], Any] | None = None
    r: str | None = None
    rtol: float = RTOL
    atol: float = 0.0
    because: str = ""

    def __post_init__(self) -> None:
        if not (self.rtol >= 0 and self.atol >= 0):
            raise DataError(f"The output {self.name!r} has a tolerance that is not 0 or more.")
        if (self.rtol > RTOL or self.atol > 0) and not self.because.strip():
            raise DataError(
                f"The output {self.name!r} has the tolerance rtol={self.rtol:g}, atol={self.atol:g} without a reason.",
                do=f"say why in because=..., or take the default rtol={RTOL:g}, atol=0.",
            )


@dataclass(frozen=True)
class Raises:
    """An error that counts as agreement, with the reason.

    Parameters
    ----------
    because : str
        Why this is as it should be.
    py : type or None
        Exception class of Python; None: Python returns.
    r : str or None
        Pattern (`re.search`) in the message of R's error; None: R returns.

    Raises
    ------
    DataError
        No reason, or neither side raises.
    """

    because: str
    py: type[Exception] | None = Exception
    r: str | None = ""

    def __post_init__(self) -> None:
        if not self.because.strip() or (self.py is None and self.r is None):
            raise DataError("Raises(because=..., py=..., r=...) needs a reason, and a side that raises.")


@dataclass(frozen=True)
class PortOptions:
    """How long and how a port is searched.

    Parameters
    ----------
    examples : int, default 300
        Cases to draw.
    seed : int, default 0
        Draws them: in the same program the same seed draws the same cases. Hypothesis also draws constants that
        stand in the modules that are loaded, so another program may draw others.
    errors : tuple of Raises
        Errors that are as they should be.
    draws : str, optional
        Python's argument that takes the random numbers: it gets an `ivbridge.RRandom`, and R the same ``set.seed``.
    timeout : float, default 20
        Seconds that each side may take for one case. R is stopped, and that is a finding; a Python function that takes
        longer ends the search with an EngineError (:func:`ivbridge.ports.limit.limited` says where it cannot).
    findings : int, default 4
        Different findings that are shrunk and shown.
    """

    examples: int = 300
    seed: int = 0
    errors: tuple[Raises, ...] = ()
    draws: str | None = None
    timeout: float = 20.0
    findings: int = 4

    def __post_init__(self) -> None:
        if self.examples < 1 or self.findings < 1 or self.timeout <= 0:
            raise DataError("examples, findings and timeout have to be above 0.")


@dataclass(frozen=True)
class Failure:
    """One side raised: the exception's or condition's classes and message."""

    classes: tuple[str, ...]
    message: str
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.classes[0]}: {' '.join(self.message.split())[:200]}"


@dataclass(frozen=True)
class Difference:
    """One way in which two answers to one case differ.

    Attributes
    ----------
    what : str
        "value", "missing", "infinite", "shape", "kind", "names", "parts", "text", "raises only in Python", "raises only
        in R", "raises in both", "changes its input", "ends R".
    output : str
        Which part of the answer; empty for errors.
    python, r : str
        What each side says.
    gap : float
        Relative difference of the numbers, NaN where there is none.
    """

    what: str
    output: str
    python: str
    r: str
    gap: float = float("nan")

    @property
    def key(self) -> tuple[str, ...]:
        """Differences with the same key are shown once; errors of different classes are different."""
        if self.what.startswith("raises"):
            return self.what, self.python.partition(":")[0], self.r.partition(":")[0]
        return self.what, self.output

    def __str__(self) -> str:
        where = f" in {self.output}" if self.output not in ("", "value") else ""
        return f"{self.what}{where}: Python {self.python}, R {self.r}"


@dataclass(frozen=True)
class Finding:
    """A difference on the smallest input on which it was found.

    Attributes
    ----------
    difference : Difference
    case : mapping
        The input.
    python_code, r_code : str
        Programs that show it.
    cases : int
        Cases of the search that differ in this way.
    note : str
        What else was seen at this input; may be empty.
    answers : mapping
        R's whole answer to the case, as it is recorded.
    """

    difference: Difference
    case: Case
    python_code: str
    r_code: str
    cases: int
    note: str = ""
    answers: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class OutputLedger:
    """What was compared of one output.

    Attributes
    ----------
    compared, identical, within, explained : int
        Numbers; identical ones; others within the tolerance; others that the rounding of the input explains.
    worst, largest : float
        Largest relative gap of those within the tolerance, and of those that differ.
    """

    compared: int = 0
    identical: int = 0
    within: int = 0
    explained: int = 0
    worst: float = 0.0
    largest: float = 0.0

    @property
    def beyond(self) -> int:
        """Numbers that differ."""
        return self.compared - self.identical - self.within - self.explained


@dataclass
class Ledger:
    """What was tried and compared.

    Attributes
    ----------
    tried : int
        Cases.
    compared : int
        Of them: both sides answered, and the answers were compared.
    agreed, differed : int
        Cases that agree (declared errors among them), and those that do not.
    declared : int
        Cases with an error that is declared.
    texts : int
        Texts compared.
    warned : dict
        Cases in which only "Python" or only "R" warned.
    kinds : dict
        Kind of input: cases tried, compared, differing; zeros for one that such inputs could have had.
    outputs : dict
        By part of the answer.
    skipped : dict
        What was there and was not compared, and why.
    """

    tried: int = 0
    compared: int = 0
    agreed: int = 0
    differed: int = 0
    declared: int = 0
    texts: int = 0
    warned: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    outputs: dict[str, OutputLedger] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def values(self) -> int:
        """Numbers and texts compared."""
        return self.texts + sum(one.compared for one in self.outputs.values())

    def to_dict(self) -> dict[str, Any]:
        """The ledger as plain values."""
        return dataclasses.asdict(self)

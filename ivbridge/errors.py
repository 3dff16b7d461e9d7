"""Every error that ivbridge raises, in one tree.

    IvbridgeError
    ├── FormulaError          the text is not a formula, or uses something that is not allowed
    ├── DiagramError          the text is not a causal diagram, or its arrows form a cycle
    ├── DataError             the data cannot answer the question (missing column, infinite value, …)
    ├── DesignError           the model cannot be estimated (under-identified, n ≤ k, …)
    ├── UnsupportedError      this engine, reader or translation does not offer what was asked
    ├── MissingExtraError     an optional Python package is not installed
    ├── EngineError           an engine failed while it worked
    │   ├── RError            R raised: class, message and call are kept; R lives on
    │   │   └── RMemoryError  R ran out of memory, the machine's or its limit's
    │   ├── RTimeoutError     R took longer than its limit and was stopped
    │   └── RDiedError        the R process ended: a crash, quit(), or killed by the system
    ├── RNotAvailableError    R, an R package or rpy2 is missing or incompatible
    ├── ReferenceNotFoundError no recorded answer of R to this question about these data
    ├── StaleReferenceError   the question, the data or an R script changed since it was recorded
    ├── EditedReferenceError  a recorded reference was changed by hand
    └── DisagreementError     `Agreement.assert_ok()`: two engines do not agree (also an AssertionError)

Each message says what was asked, what was found, what is available and what to do, as far as each applies.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "DesignError",
    "DiagramError",
    "DisagreementError",
    "EditedReferenceError",
    "EngineError",
    "FormulaError",
    "IvbridgeError",
    "MissingExtraError",
    "RDiedError",
    "RError",
    "RMemoryError",
    "RNotAvailableError",
    "RTimeoutError",
    "ReferenceNotFoundError",
    "StaleReferenceError",
    "UnsupportedError",
]


class IvbridgeError(Exception):
    """Base of every error raised on purpose by ivbridge.

    Parameters
    ----------
    message : str
        What happened: what was asked and what was found.
    available : str, optional
        What could have been asked instead.
    do : str, optional
        What the reader can do about it; a command where there is one.
    """

    def __init__(self, message: str, *, available: str = "", do: str = "") -> None:
        parts = [message.rstrip()]
        if available:
            parts.append(f"Available: {available}.")
        if do:
            parts.append(f"Do this: {do}")
        super().__init__(" ".join(parts))
        self.message, self.available, self.do = message, available, do

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[IvbridgeError], args: tuple[object, ...], state: dict[str, object]) -> IvbridgeError:
    """Unpickle without calling ``__init__`` again, which would format the message twice."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class FormulaError(IvbridgeError, ValueError):
    """The text is not a formula, or it uses something outside the allow-list."""


class DiagramError(IvbridgeError, ValueError):
    """The text is not a causal diagram, its arrows form a cycle, or a node that was asked for is not in it."""


class DataError(IvbridgeError, ValueError):
    """The data cannot answer the question."""


class DesignError(IvbridgeError, ValueError):
    """The model cannot be estimated from these rows and columns."""


class UnsupportedError(IvbridgeError):
    """An engine, reader or translation does not offer what was asked."""


class MissingExtraError(IvbridgeError, ImportError):
    """An optional Python package is missing; the message holds the install command."""


class EngineError(IvbridgeError):
    """An engine failed while it worked.

    Attributes
    ----------
    output : str
        What R printed during the call until it failed, as `RReply.output`; empty where no R was asked.
    """

    output: str = ""


class RError(EngineError):
    """R raised a condition.

    Attributes
    ----------
    classes : tuple of str
        The R condition's class vector.
    call : str
        The R call that raised, deparsed; empty where R gives none.
    """

    def __init__(self, message: str, *, classes: tuple[str, ...] = (), call: str = "", do: str = "") -> None:
        super().__init__(message, do=do)
        self.classes, self.call = classes, call


class RMemoryError(RError):
    """R could not have the memory that it asked for; the R process lives on."""


class RTimeoutError(EngineError):
    """R took longer than its limit and was stopped."""


class RDiedError(EngineError):
    """The R process ended before it answered."""


class RNotAvailableError(IvbridgeError):
    """R, an R package or rpy2 is missing or incompatible."""


class ReferenceNotFoundError(IvbridgeError):
    """No recorded answer of R to this question about these data was found."""


class StaleReferenceError(IvbridgeError):
    """The question, the data or an R script is not the one that a reference was recorded with."""


class EditedReferenceError(IvbridgeError):
    """A recorded reference is not as it was written, or its numbers contradict each other."""


class DisagreementError(IvbridgeError, AssertionError):
    """Two engines do not agree."""

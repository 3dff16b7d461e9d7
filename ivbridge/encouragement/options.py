"""How an encouragement design is analysed: one frozen record of choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.selection.rules import OneSE, Rule, parse_rule
from ivbridge.selection.spec import Folds
from ivbridge.vcov import HC0, HC1, Classical, Vcov
from ivbridge.vcov_text import parse_vcov

__all__ = ["EncourageOptions"]


@dataclass(frozen=True, slots=True)
class EncourageOptions:
    """Choices of :func:`ivbridge.encourage`.

    Parameters
    ----------
    rule : Rule or str, default OneSE()
        Which experiments the LASSO keeps, where there is more than one: ``"1se"``, ``"min"``, ``"plugin"``, ….
    vcov : Vcov or str, default HC1()
        ``classical``, ``HC0`` or ``HC1``; the defaults of R and Stata differ, HC1 is Stata's ``robust``.
    share : float or mapping of str to float, default 0.5
        Share of users that each experiment was designed to treat, or one for each experiment by name; experiments
        that a mapping does not name were designed for one half.
    engine : {"native", "r"}, default "native"
        Who runs the LASSO.
    folds : Folds, default Folds(10, seed=1)
        As ``set.seed(1); cv.glmnet(…, nfolds = 10)``.
    seeds : int, optional
        Fold seeds over which the pooled answer is drawn again. Default: 30 up to twenty million cells (users ×
        experiments), none beyond, and the report says so.
    check : bool, default False
        Ask R and Python for the selection and the pooled estimate, and compare.

    Raises
    ------
    UnsupportedError
        If a choice is not offered.
    """

    rule: Rule | str = OneSE()  # noqa: RUF009
    vcov: Vcov | str = HC1()  # noqa: RUF009
    share: float | Mapping[str, float] = 0.5
    engine: str = "native"
    folds: Folds = Folds()  # noqa: RUF009
    seeds: int | None = None
    check: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", parse_rule(self.rule))
        vcov = parse_vcov(self.vcov)
        if not isinstance(vcov, Classical | HC0 | HC1):
            raise UnsupportedError(
                f"encourage() cannot compute {vcov}: its sums over a million users hold no more than these need.",
                available="classical, HC0, HC1",
                do="for another vcov pass the pooled question to ivbridge.fit().",
            )
        object.__setattr__(self, "vcov", vcov)
        shares = self.share.values() if isinstance(self.share, Mapping) else (self.share,)
        if not all(isinstance(share, Real) and 0 < share < 1 for share in shares):
            raise UnsupportedError(f"share={self.share!r} was asked.", available="numbers between 0 and 1")
        if self.engine not in ("native", "r"):
            raise UnsupportedError(f"There is no engine {self.engine!r} for experiments.", available="native, r")
        if self.seeds is not None and self.seeds < 0:
            raise UnsupportedError(f"seeds={self.seeds} was asked.", available="0 or more")

    def check_names(self, experiments: tuple[str, ...]) -> None:
        """Check that shares are of experiments that exist.

        Raises
        ------
        DataError
            If one is not.
        """
        shares = self.share if isinstance(self.share, Mapping) else {}
        if unknown := [name for name in shares if name not in experiments]:
            raise DataError(
                f"share names {unknown[0]!r}, which is no experiment.", available=", ".join(experiments[:20])
            )

    def share_of(self, experiment: str) -> float:
        """Share of users that the experiment was designed to treat."""
        return float(self.share.get(experiment, 0.5) if isinstance(self.share, Mapping) else self.share)

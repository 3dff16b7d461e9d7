"""Why printed numbers do not come out, as data: the first reason that fits a cell is the one that counts."""

from __future__ import annotations

from dataclasses import dataclass

from ivbridge.iv_ml.paper.cells import Cell

__all__ = ["REASONS", "Reason", "reason_for"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Cells, by table, world, instrument and method (empty: any of them), and what is the matter with them."""

    tables: tuple[str, ...]
    worlds: tuple[str, ...]
    instruments: tuple[str, ...]
    methods: tuple[str, ...]
    text: str

    def fits(self, cell: Cell) -> bool:
        """Whether it is about this cell."""
        pairs = (
            (self.tables, cell.table), (self.worlds, cell.world), (self.instruments, cell.instrument),
            (self.methods, cell.method),
        )  # fmt: skip
        return all(value in names for names, value in pairs if names)


REASONS: tuple[Reason, ...] = (
    Reason(
        (), (), (), ("dual_iv",),
        "The published recipe inverts a matrix of bandwidths near 90000, which makes its kernel 0.9999 to 1.0001 "
        "everywhere: the instrument is hardly used, and the number is that of 100 rows.",
    ),
    Reason(
        (), (), (), ("dfiv",),
        "The published program trains to an error of about .8 with the true label too: its number is that of the "
        "training, not of the instrument.",
    ),
    Reason(
        (), (), ("AutoIV",), ("poly2sls",),
        "A polynomial of degree 3 in a learnt instrument with outliers: the printed value is an extrapolation.",
    ),
    Reason(
        ("3",), ("PM-CMR",), ("GIV_KM",), ("",),
        "With two groups and the best matching of names, no accuracy is below 50 %.",
    ),
    Reason(
        ("2",), (), ("Fun-EM",), (),
        "The print is above what the true parameters give here, 93 to 96 %: the weights of that table are not told. "
        "With squares in R a mixture of joint Gaussians often misses the groups even so.",
    ),
    Reason(
        ("2",), (), ("EM", "Meta-EM"), (),
        "Outside the linear world (R, T) is no mixture of Gaussians: what is found depends on where the search starts, "
        "and the weights of that table are not told. The mixture of regressions, the default, reaches the oracle.",
    ),
    Reason(
        ("5",), ("IHDP",), ("GIV_KM",), ("poly2sls",),
        "For the same cell the paper's Table 3 has 0.05(0.03).",
    ),
    Reason(
        ("3", "5"), ("IHDP",), ("GIV_EM",), (),
        "In some replications the mixture of joint Gaussians finds no groups (accuracy near 50 %); which units the "
        "authors drew is not told. The mixture of regressions, the default, finds them in all.",
    ),
    Reason(
        ("4",), (), ("GIV_EM",), (),
        "The criterion cannot tell two groups from three here: both balance the covariates. With the number given, "
        "see GIV_EM*.",
    ),
)  # fmt: skip


def reason_for(cell: Cell) -> str:
    """What is known about a cell that does not come out; empty where nothing is."""
    return next((reason.text for reason in REASONS if reason.fits(cell)), "")

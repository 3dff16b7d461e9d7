"""Write docs/iv-ml.md: nonlinear IV and instruments that were never recorded, measured. Data are in docs/iv_ml/.

python docs/make_iv_ml.py             write the page from the data
python docs/make_iv_ml.py --check     write nothing; exit 1 if the page is not what the data say
python docs/make_iv_ml.py FOLDER      take the study that `ivbridge study metaem --out FOLDER` left there, then write the
                                      page; the seconds on it are from tests/benchmarks/iv_ml.py
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from ivbridge.iv_ml.paper import tables, verdicts  # noqa: E402
from ivbridge.iv_ml.paper.cells import cells  # noqa: E402
from ivbridge.iv_ml.paper.parts import METHODS  # noqa: E402

TARGET, DATA = HERE / "iv-ml.md", HERE / "iv_ml"
SPEED = HERE / "performance" / "iv_ml.csv"
FIGURES = {
    "3": "The curve in worlds whose treatment rule is not linear, AGMM, one replication",
    "4": "MMD between the groups by their number: where it is smallest, the program takes K",
    "5": "Accuracy of the groups by the number of sources, with what the true parameters give",
}

#: Method: when to take it, and what makes it fail. The numbers beside it come from the study.
ADVICE: dict[str, tuple[str, str]] = {
    "linear_2sls": ("the effect is one number, or you want the average slope with its standard error", "a curve that bends: its answer is an average of slopes with weights of the first stage"),
    "dml_iv": ("one number, many covariates whose part is not linear", "as linear 2SLS: a curve that bends"),
    "poly2sls": ("**first choice**: smooth curves, few covariates; an answer in milliseconds", "extrapolation; an instrument with outliers; noise of T that changes with Z or X (it puts fitted values into powers)"),
    "kernel_iv": ("smooth curves, no form assumed, up to some ten thousand rows", "few rows; strong confounding, because its penalty is chosen by the squared error of Y"),
    "dual_iv": ("with `dual=\"instruments\"`, the default: as KernelIV, with another objective", "with the paper's dual (of Y and Z): confounded like ordinary regression, or more, see below"),
    "deep_iv": ("many rows, a treatment whose distribution given Z is not normal", "a first stage that is wrong; `loss=\"bound\"`, the published one, flattens the curve where T is noisy"),
    "nn2sls": ("a baseline", "no instrument: any answer fits, so that seeds disagree; fitted values in a network, as Poly2SLS"),
    "one_siv": ("a baseline", "a large weight of Y: the first stage then becomes whatever explains Y"),
    "dfiv": ("features are wanted; then `DFIV.balanced()`", "the published division of steps, 1 for the treatment's features to 20 for those of X: they hardly bend"),
    "deep_gmm": ("moments of unequal precision", "300 steps are an early stop in themselves; without an instrument the start decides"),
    "agmm": ("**first choice among networks**: no first stage, the moment itself is minimised", "few rows with few epochs: its steps have a fixed size"),
    "mode_ensemble": ("several instruments, of which most are valid but nobody knows which", "candidates that fail together"),
}
TITLES = {
    "linear_2sls": "linear 2SLS", "dml_iv": "DML-IV", "mode_ensemble": "ModeIV (mode of curves)",
} | {name: method.title for name, method in METHODS.items()}


def table(heads: str, rows: list[list[object]]) -> list[str]:
    """A Markdown table; heads are separated by |."""
    names = [head.strip() for head in heads.split("|")]
    lines = [names, ["---"] * len(names), *[[str(value) for value in row] for row in rows]]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def number(value: float, digits: int = 2) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


# ---- parts -----------------------------------------------------------------------------------------------------------


def choice(study: pd.DataFrame) -> list[str]:
    """When to use which."""
    found = verdicts.means(study)
    found = found[(found["world"] == "Linear-3-3") & (found["reading"] == "code") & (found["quantity"] == "mse")]
    errors = found.set_index(["instrument", "method"])

    def row(name: str) -> list[object]:
        when, fails = ADVICE[name]
        here: list[object] = ["–", "–", "–"]
        key = f"{name} (default)" if f"{name} (default)" in METHODS else name  # DualIV: not as the program runs it
        if ("TrueIV", key) in errors.index:
            true = errors.loc[("TrueIV", key)]
            none = errors["mean"].get(("NoneIV", key), math.nan)
            here = [number(true["mean"]), number(none), number(true["seconds"], 2 if true["seconds"] < 1 else 0)]
        return [f"**{TITLES[name]}** `{name}`", when, fails, *here]

    return [
        "## When to use which",
        "",
        "Mean squared error in Linear-3-3 with the true label as the instrument and with none, as the published program",
        "runs each method (DualIV: as it is here), and seconds of one replication in this study (the machine had other work; ratios are below).",
        "Small differences between the methods belong to this one world; the failures do not. Methods without numbers are not in",
        "the paper's tables.",
        "",
        *table("method | take it when | what makes it fail | true label | none | s", [row(name) for name in ADVICE]),
        "Which curve satisfies the moment restriction better can be seen without the truth: `Curve.history` has it for",
        "trained methods with `stopping=Stopping()`, and the estimators' `score` is it for all methods; those that put fitted",
        "values into powers or networks (Poly2SLS, NN2SLS) look worse in it than they are, by a constant. The squared error",
        "of Y cannot be used: ordinary regression has the smallest one.",
        "",
    ]


def summary(study: pd.DataFrame) -> list[str]:
    """Verdicts counted, goals met."""
    rows: list[list[object]] = []
    for which in "12345":
        found = verdicts.judged(study, which)
        if len(found):
            counts = found["verdict"].value_counts()
            names = (verdicts.REPRODUCED, verdicts.NOISY, verdicts.BETTER, verdicts.WORSE, verdicts.NOT)
            rows.append([f"Table {which}", len(found), *(int(counts.get(name, 0)) for name in names)])
    goals = verdicts.goals(study)
    missed = goals[~goals["met"].astype(bool)]
    lines = [
        "## The published tables, cell by cell",
        "",
        "A cell is *reproduced* if the two means differ by no more than two Monte Carlo standard errors of both sides and",
        "the rounding of the printed number. Where that is so much that no error at all, or twice the printed one, would",
        "pass as well, it is *too noisy*. *Not reproducible* has a reason, which stands below its table; a cell of GIV_EM or",
        "TrueIV stays *worse* whatever the reason (but for DualIV and DFIV, which the paper itself excepts).",
        "",
        *table("| cells | reproduced | too noisy | better | worse | not reproducible", rows),
        f"The instrument should do what the paper says it does: {int(goals['met'].sum())} of {len(goals)} goals are met",
        "(error with the found groups at most 1.15 times that with the true ones; without an instrument at least 3 times,",
        "KernelIV 2 times; accuracy within 2 points of what the true parameters give).",
        "",
    ]
    if len(missed):
        about = [
            [one["world"], TITLES.get(one["method"], "accuracy"), one["goal"], number(one["value"]), number(one["bound"])]
            for one in missed.to_dict("records")
        ]
        lines += ["Missed:", "", *table("world | method | goal | found | bound", about)]
    return lines


def printed(study: pd.DataFrame) -> list[str]:
    """The tables beside the paper's, and figures."""
    lines: list[str] = []
    for which in "12345":
        if len(verdicts.judged(study, which)):
            lines += [tables.markdown(study, which).rstrip(), ""]
            if which == "2":
                lines += oracle(study)
    for which, caption in FIGURES.items():
        if (DATA / f"figure-{which}.svg").is_file():
            lines += [f"### Figure {which}", "", f"{caption}.", "", f"![{caption}](iv_ml/figure-{which}.svg)", ""]
    return lines


def oracle(study: pd.DataFrame) -> list[str]:
    """Why Table 2 is judged by the true parameters."""
    found = verdicts.means(study)
    found = found[(found["quantity"] == "accuracy") & found["taken"] & found["world"].isin({c.world for c in cells("2")})]
    found = found.set_index(["instrument", "world"])["mean"]
    if not {"Oracle", "Meta-EM (default)"} <= set(found.index.get_level_values(0)):
        return []
    best, ours = found["Oracle"], found["Meta-EM (default)"]
    most = max(cell.mean for cell in cells("2"))
    lost = float((best - ours).dropna().max())
    return [
        f"Table 2 of the paper cannot be a goal: up to {most:.1f} % are printed where the true parameters themselves give",
        f"{best.min():.0f} to {best.max():.0f} % (the row *Oracle*: each row's most probable source, with the w, intercepts and",
        "noise that made the data). A mixture of linear regressions, the default here, knows nothing of them and is",
        f"{lost:.1f} points below the oracle at most." if lost > 0.05 else "nowhere below the oracle.",
        "",
    ]


def readings(study: pd.DataFrame) -> list[str]:
    """The paper's words and the program."""
    found = verdicts.means(study)
    both = found[(found["world"] == "Linear-3-3") & (found["method"] == "poly2sls") & (found["quantity"] == "mse")]
    wide = both.pivot_table(index="instrument", columns="reading", values="mean")
    rows = [
        [name, number(wide.loc[name, "code"], 3), number(wide.loc[name, "paper"], 3)]
        for name in ("NoneIV", "GIV_EM", "TrueIV")
        if name in wide.index and {"code", "paper"} <= set(wide.columns)
    ]
    return [
        "## What the text says and what the program does",
        "",
        "The published numbers are those of the released program, which differs from the text. Both are worlds here:",
        "`Fusion(…, reading=\"code\")` and `reading=\"paper\"`.",
        "",
        "- The outcome has `2·mean(X) - |X₁X₂| - sin(10 + X₃²)` in the program, `mean(X) + |X₁X₂| - sin(10 + X₂X₃)` in Eq. 16.",
        "- The linear rule is `w·X`, not `w·2X`; sources have intercepts (0, 1, 0, -.2, -.8), which the text does not have;",
        "  weights are one fixed table for all replications.",
        "- *Meta-EM* is a plain Gaussian mixture over powers of X and T, started by K-means: the initialisation of Eq. 6 and",
        "  the shared distribution of R are in the text alone. Here they are `start=\"moments\"` and the default",
        "  `distribution=\"regression\"`, a mixture of linear regressions, which is what P(R|Z) = P(R) makes of the mixture.",
        "- Labels enter as one number 0 … K-1, which makes neighbours of groups 1 and 2. One column a group is the default here.",
        "- The MMD's average over pairs needs K(K - 1), not n(n - 1).",
        "",
        *(["Poly2SLS, mean squared error, in both readings:", "", *table("instrument | program | text", rows)] if rows else []),
    ]


def _dfiv(study: pd.DataFrame) -> list[str]:
    errors = verdicts.means(study).set_index(["world", "instrument", "method"])["mean"]
    own = errors.get(("Linear-3-3", "TrueIV", "dfiv"), math.nan)
    found = "" if math.isnan(own) else f" (error {own:.2f} with the true label)"
    return [
        "- **DFIV.** The paper holds that it needs continuous instruments. What it needs is another division of steps: as",
        f"  published the features of the treatment make 100 steps and those of X 2000{found}. `DFIV.balanced()` turns that",
        "  round, and labels are instruments like others.",
    ]


def failures(study: pd.DataFrame) -> list[str]:
    """What fails and why."""
    return [
        "## What fails, and why",
        "",
        "- **No instrument at all.** UAS, WAS, ModeIV and AutoIV make instruments out of columns of X, which act on Y",
        "  themselves: none can be valid in this world, and their rows are those of NoneIV, or worse: with AutoIV the cubic of",
        "  Poly2SLS extrapolates to errors above 100. Nothing in a fit warns of it.",
        "- **Dual IV with the outcome in the dual.** The best dual function of (Y, Z) is E[f | Y, Z] - Y, which knows the",
        "  confounder from Y: a straight line gets the slope Cov(T, Y) / Var(E[T | Y, Z]), which is that of ordinary",
        "  regression or larger. The published program has moreover a kernel that is",
        "  constant to four digits. With a dual of (Z, X) the method works.",
        *_dfiv(study),
        "- **Plug-in second stages** (Poly2SLS, NN2SLS, OneSIV). E[T² | Z, X] is not E[T | Z, X]²: what is left is",
        "  b·Var(T | Z, X), a constant as long as that variance is one, a wrong curve otherwise.",
        "- **A label that was found** depends on T where it is wrong, and through T a little on ε.",
        "- **A floor.** E[ε | X] is not 0 in these worlds: every IV method aims at g + E[ε | X], and the error cannot fall below",
        "  about .013 in Linear-3-3.",
        "- **Can the groups be trusted?** `ivbridge.iv_ml.trust` shows the first stage's F, the balance of X over the groups,",
        "  a bound of the accuracy and the stability over restarts. That sources differ in nothing but how X leads to T",
        "  cannot be tested: it has to be known.",
        "",
    ]


def speed(_: pd.DataFrame) -> list[str]:
    """Ratios, from the benchmark."""
    if not SPEED.is_file():
        return []
    found = pd.read_csv(SPEED)
    found["cpu"] /= found["fits"]
    middle = found.groupby(["question", "who"], sort=False)[["cpu", "quality", "peak_mb"]].median().reset_index()
    rounds = int(found.groupby(["question", "who"]).size().max())
    rows: list[list[object]] = []
    for question, part in middle.groupby("question", sort=False):
        if question == "large":
            continue
        ours = float(part.loc[part["who"] == "ours", "cpu"].iloc[0])
        name = "Meta-EM" if question == "meta_em" else TITLES[str(question)]
        for one in part.to_dict("records"):
            times = one["cpu"] / ours
            ratio = "" if one["who"] == "ours" else f"**{times:.0f}**" if times >= 10 else f"**{times:.2g}**"
            who = {"ours, together": "ours, ten together, each"}.get(one["who"], one["who"])
            rows.append([name if one["who"] == "ours" else "", who, f"{one['cpu']:.3g}", ratio, number(one["quality"], 3)])
    lines = [
        "## Speed",
        "",
        "Processor seconds of one fit of 3000 rows of Linear-3-3 on one thread, in one run (`python -m tests.benchmarks.iv_ml`),",
        f"{'median of ' + str(rounds) + ' rounds' if rounds > 1 else 'one round'}; the ratio is to ours alone. Networks are trained for as few epochs on both sides (3 to 30): it is",
        "the seconds that are compared; the last column (mean squared error; Meta-EM: share of labels found) shows what so",
        "little training gives, not what a method can do. mliv 0.0.2 is the authors' package of 2022, econml 0.15.1 the last",
        "one with DeepIV; both need older packages around them, mliv's DualIV fails with NumPy 2, and its DeepIV is no",
        "part of what it imports (code for TensorFlow 1; not run). *scikit-learn* are its plain pieces: grid searches of",
        "pipelines, one for each stage.",
        "",
        *table("method | who | processor s | ratio | quality", rows),
        "Ten replications in one computation pay where networks are small; wide ones (NN2SLS, OneSIV) are trained one after",
        "another, because together they leave the processor's cache.",
        "",
    ]
    large = middle[middle["question"] == "large"]
    if len(large):
        one = large.iloc[0]
        lines += [
            f"**KernelIV of 10,000 rows** takes {one['cpu']:.1f} processor seconds and {one['peak_mb']:,.0f} MB at its peak, everything",
            f"included, with 1000 landmarks of each half; the error is {one['quality']:.3f}. The notes of the curve say by how much it",
            "differs from the one with half as many landmarks.",
            "",
        ]
    return lines


def checked(_: pd.DataFrame) -> list[str]:
    """What is tested."""
    return [
        "## Held against theory",
        "",
        "No number of this library is tested against itself. In a linear normal world with a strong confounder, and in one",
        "with no effect at all, the slope of every method (mean of four draws, settings for that world) must lie within 35 % of the way from",
        "2SLS to OLS, those of Poly2SLS, DML-IV and ModeIV within 10 %; every loss has the gradients of finite differences;",
        "KernelIV and DualIV equal their papers' matrices and Poly2SLS scikit-learn's grid search; other units of the columns",
        "and other names of the groups (one column each) change nothing; a member of a batch is, up to rounding, what it would",
        "be alone; the same seed gives the same bits, and a saved curve the same bits without PyTorch (`tests/test_iv_ml_*.py`).",
        "",
    ]


SECTIONS: tuple[Callable[[pd.DataFrame], list[str]], ...] = (choice, summary, printed, readings, failures, speed, checked)


def render() -> str:
    """The whole page."""
    study = pd.read_parquet(DATA / "study.parquet")
    replications = int(study.loc[study["quantity"] == "mse", "replication"].max())
    head = [
        "---", "hide: [toc]", "---", "",
        "# Nonlinear IV and lost instruments, measured",
        "",
        "Made by `python docs/make_iv_ml.py`; do not edit. Everything on it follows from one study, whose numbers are in",
        "`docs/iv_ml/study.parquet`:",
        "",
        "```bash",
        "ivbridge study metaem --table 1 --table 2 --table 3 --table 4 --table 5 --figure 3 --figure 4 --figure 5 --data covariates/",
        "python docs/make_iv_ml.py ivbridge-metaem",
        "```",
        "",
        "`ivbridge study metaem --quick` takes minutes. The world of the tables: units come from K sources with their own rule for the",
        "treatment, and the label of the source, which would be an instrument, is lost. Can it be found again, and what do nine",
        "methods make of it? (Wu et al., 2023, *Learning instrumental variable from data fusion for treatment effect estimation*,",
        f"AAAI.) {replications} replications of 3000 rows each.",
        "",
    ]  # fmt: skip
    return "\n".join(head + [line for section in SECTIONS for line in section(study)]).rstrip() + "\n"


def taken(folder: Path) -> None:
    """The study and its figures, from where it was made."""
    DATA.mkdir(exist_ok=True)
    shutil.copyfile(folder / "study.parquet", DATA / "study.parquet")
    for which in FIGURES:
        if (folder / f"figure-{which}.svg").is_file():
            shutil.copyfile(folder / f"figure-{which}.svg", DATA / f"figure-{which}.svg")


def main(arguments: list[Any]) -> int:
    """As the docstring of this script says."""
    if arguments == ["--check"]:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == render()
        print(f"{TARGET} is " + ("what its data say" if fresh else "stale"))
        return 0 if fresh else 1
    for folder in arguments:
        taken(Path(folder))
    TARGET.write_text(render(), encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

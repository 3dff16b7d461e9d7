"""Write docs/selection.md: LASSO selection of instruments, measured. Figures and data are in docs/selection/.

python docs/make_selection.py                        write the page and its figures from the data
python docs/make_selection.py --check                write nothing; exit 1 if the page is not what the data say, or if
                                                     the post's figures, computed again, differ from the data
python docs/make_selection.py parity post draws controls speed
                                                     compute data again (any of them), then write the page. draws takes
                                                     an hour, controls a quarter of one; stopped, they go on when started
                                                     again. speed needs a machine at rest, 8 GB and half an hour.
"""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

from ivbridge import post_charts, study  # noqa: E402
from ivbridge.post import PostResult, post_figures  # noqa: E402
from ivbridge.post_methods import METHODS_A, METHODS_B  # noqa: E402
from ivbridge.simulate import SCENARIOS  # noqa: E402

TARGET, DATA = HERE / "selection.md", HERE / "selection"
#: Where unfinished draws are kept between runs.
UNFINISHED = Path(os.environ.get("IVBRIDGE_DRAWS", Path(tempfile.gettempdir()) / "ivbridge-selection-draws"))
DRAWS_A, DRAWS_B, DRAWS_CONTROLS = 4000, 1000, 300
#: Gaussian scenarios of the first table in which an exact solver ends within seconds.
EXACT = ("a", "b", "d", "e", "g", "q")
SAME_BITS = 17  # what a gap of nothing counts as, in digits


# ---- data ------------------------------------------------------------------------------------------------------------


def make_parity() -> None:
    """R against native on every scenario of tests/lasso_cases.py."""
    from ivbridge.selection.check import crosscheck_lasso
    from tests import lasso_cases

    rows = []
    for name in lasso_cases.NAMES:
        case = lasso_cases.lasso_case(name)
        found = crosscheck_lasso(case.spec, case.data)
        (one,) = found.comparisons
        digits = found.ledger.set_index("quantity")["digits"]
        r, native = one.reference, one.candidate
        rows.append(
            {
                "case": name, "title": case.title, "rows": r.n, "columns": len(r.names), "path": len(r.path.lambdas),
                **{key: digits[key] for key in ("lambda", "coef", "cvm", "cvsd")},
                "index_min": r.index_min + 1, "index_1se": r.index_1se + 1,
                "native_min": native.index_min + 1, "native_1se": native.index_1se + 1,
                "selected_min": len(r.selected("min")), "selected_1se": len(r.selected("1se")),
                "sets": r.selected("min") == native.selected("min") and r.selected("1se") == native.selected("1se"),
                "verdict": found.verdict,
            }
        )  # fmt: skip
        print(name, found.verdict, flush=True)
    pd.DataFrame(rows).round(2).to_csv(DATA / "parity.csv", index=False)
    pd.DataFrame([exact(name) for name in EXACT]).round(2).to_csv(DATA / "sklearn.csv", index=False)


def exact(name: str) -> dict[str, object]:
    """R against scikit-learn, which goes on until the solution is exact."""
    from ivbridge.selection.check import crosscheck_lasso
    from tests import lasso_cases

    case = lasso_cases.lasso_case(name)
    found = crosscheck_lasso(case.spec, case.data, engines=("r", "sklearn"))
    (one,) = found.comparisons
    worst = found.ledger.set_index("quantity")["digits"]
    shrinks = re.search(r"shrinks from (\S+) to (\S+),", one.reason)
    r, other = one.reference, one.candidate
    print(name, "sklearn", found.verdict, flush=True)
    return {
        "title": case.title, "coef": worst["coef"], "cvm": worst["cvm"],
        "sets": all(r.selected(rule) == other.selected(rule) for rule in ("min", "1se")), "verdict": found.verdict,
        "gap_default": shrinks[1] if shrinks else "", "gap_exact": shrinks[2] if shrinks else "",
    }  # fmt: skip


def make_post() -> None:
    """The post's figures from both engines, thirty fold seeds."""
    (DATA / "post.json").write_text(post_figures().to_json(indent=1) + "\n", encoding="utf-8")


def make_draws() -> None:
    """The post's two scenarios, many draws; what is kept is the summary and two quantiles."""
    for name, methods, draws in (("post-a", METHODS_A, DRAWS_A), ("post-b", METHODS_B, DRAWS_B)):
        table = study.run(SCENARIOS[name], methods, draws, path=UNFINISHED / f"{name}.jsonl", progress=said)
        summary = study.summary(table)
        if name == "post-a":
            unbounded = table["conf.low"].eq(-math.inf).groupby(table["method"]).mean()
            summary["unbounded"] = summary["method"].map(unbounded)
        else:
            post_charts.draw_study(table, DATA, f"{name}-draws")[1].unlink()
        summary.round(6).to_csv(DATA / f"{name}-draws.csv", index=False)


def make_controls() -> None:
    """Ways of choosing controls, in a world where they decide."""
    import selection_controls as world

    table = study.run(
        world.TiedControls(), world.METHODS, DRAWS_CONTROLS, 500, UNFINISHED / "controls.jsonl", progress=said
    )
    study.summary(table).round(6).to_csv(DATA / "controls.csv", index=False)


def make_speed() -> None:
    """tests/benchmarks/lasso_speed.py, all three sizes."""
    from tests.benchmarks.lasso_speed import speed_table

    speed_table(("S1", "S2", "S3")).round(4).to_csv(DATA / "speed.csv", index=False)


PARTS: dict[str, Callable[[], None]] = {
    "parity": make_parity, "post": make_post, "draws": make_draws, "controls": make_controls, "speed": make_speed,
}  # fmt: skip


def said(done: int, total: int, what: str) -> None:
    """Progress, a line every fifty draws."""
    if done % 50 == 0 or done == total:
        print(f"{done} of {total}: {what}", flush=True)


# ---- the page --------------------------------------------------------------------------------------------------------


def table(heads: str, rows: list[list[object]]) -> list[str]:
    """A Markdown table; heads are separated by |."""
    names = [head.strip() for head in heads.split("|")]
    lines = [names, ["---"] * len(names), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines] + [""]


def folded(title: str, lines: list[str]) -> list[str]:
    """Lines that open with a click."""
    return [f'??? note "{title}"', "", *("    " + line if line else "" for line in lines)]


def interval(low: float, high: float, decimals: int = 3) -> str:
    """An interval that is not broken at the comma."""
    return f"[{low:.{decimals}f},&nbsp;{high:.{decimals}f}]"


def digits(value: float) -> str:
    """Agreeing digits."""
    return "all" if value >= SAME_BITS else f"{value:.1f}"


def number(value: float, decimals: int) -> str:
    """A number, or a dash where there is none."""
    return "–" if pd.isna(value) else f"{round(value, decimals) + 0.0:.{decimals}f}"  # no minus before a zero


def chance(p: float) -> str:
    """A p-value."""
    return "< 0.001" if p < 0.001 else number(p, 3)


def parity() -> list[str]:
    """R against native."""
    from tests.lasso_cases import TABLE

    found = pd.read_csv(DATA / "parity.csv").set_index("case", drop=False)
    heads = "design | λ path | coefficients | cvm | cvsd | λ.min, λ.1se | selected | verdict"

    def row(name: str) -> list[object]:
        c = found.loc[name]
        equal = (c.index_min, c.index_1se) == (c.native_min, c.native_1se)
        worst = [digits(c[key]) for key in ("lambda", "coef", "cvm", "cvsd")]
        sets = f"{c.selected_min}, {c.selected_1se}: " + ("equal" if c.sets else "**differ**")
        size = "" if c.title.startswith("n = ") else f" ({c.rows} × {c['columns']})"
        return [c.title + size, *worst, "equal" if equal else "**differ**", sets, c.verdict]

    others = [name for name in found.index if name not in TABLE]
    worst = found[["lambda", "coef", "cvm", "cvsd"]].min().min()
    return [
        "## R and native: the same path, the same losses, the same set",
        "",
        "`ivbridge.selection.check.crosscheck_lasso` asks R's `cv.glmnet` and the native engine the same question, with",
        "the folds that R would draw, and compares every number. Each cell is the number of significant digits in which",
        "the *worst* entry agrees (*all*: the same bits everywhere); *cvm* and *cvsd* are the cross-validated loss and",
        "its standard error along the whole path, *selected* counts the columns at λ.min and λ.1se and compares the sets.",
        "",
        *table(heads, [row(name) for name in TABLE]),
        f"The worst number of all {len(found)} scenarios agrees to {worst:.1f} digits.",
        "",
        *folded(f"The other {len(others)} scenarios of tests/lasso_cases.py", table(heads, [row(name) for name in others])),
        "The native engine runs glmnet's own C++ code (package glmstar), so that equality is to be expected of the",
        "solver; folds, losses, the choice of λ and everything around the solver are ours.",
        "",
        "scikit-learn is the fallback where glmstar cannot be installed. It goes on until its solution is exact, and R",
        "stops at `thresh = 1e-7`: that, and nothing else, is what the check finds and calls a *convention*. Its last two",
        "columns are the largest gap of a coefficient with R's default and with `thresh = 1e-14`:",
        "",
        *table(
            "design, scikit-learn against R | coefficients | cvm | sets | verdict | gap, default | gap, 1e-14",
            [
                [c.title, digits(c.coef), digits(c.cvm), "equal" if c.sets else "**differ**", c.verdict, c.gap_default, c.gap_exact]
                for c in pd.read_csv(DATA / "sklearn.csv", dtype={"gap_default": str, "gap_exact": str}).itertuples()
            ],
        ),
    ]


def post() -> list[str]:
    """The post's figures."""
    result = read_post()
    bars, printed = result.to_frame(), result.published()
    rows = []
    for (simulation, label), part in bars.groupby(["simulation", "label"], sort=False):
        r, native = (part[part["engine"] == engine].iloc[0] for engine in ("r", "native"))
        rows.append(
            [
                f"{simulation}: {label}" + (f" ({native['selected']:.0f})" if native["selected"] > 1 else ""),
                f"{r['estimate']:.6f}", f"{native['estimate']:.6f}", interval(native["conf.low"], native["conf.high"]),
                number(native["first-stage F, HC0"], 2), number(native["Wu-Hausman"], 1), chance(native["Sargan p"]),
            ]
        )  # fmt: skip
    pairs = [
        [p.label, p.quantity, f"**{p.printed}**", p.source, f"{p.r:.8g}", f"{p.native:.8g}", "✓" if p.ok else "✗"]
        for p in printed.itertuples()
    ]
    seeds = result.fold_seeds().groupby("selected")
    by_size = [
        [size, len(part), f"{part['estimate'].iloc[0]:.4f}", interval(part["conf.low"].iloc[0], part["conf.high"].iloc[0])]
        for size, part in seeds
    ]
    return [
        "## The post, reproduced",
        "",
        "“Machine Learning Meets Instrumental Variables” (Teconomics, part 3 of “Best of Both Worlds”) shows two",
        "simulations. Both are drawn again with R's random numbers, so that the very same data stand behind every bar.",
        "`ivbridge post` makes this section: charts, table and all.",
        "",
        "![Bar chart of simulation A](selection/post-a.svg)",
        "",
        "![Bar chart of simulation B](selection/post-b.svg)",
        "",
        *table("bar (instruments) | R | native | 95 % interval | first-stage F | Wu–Hausman | Sargan p", rows),
        "*All instruments* mixes in the twenty invalid ones, but they are not the reason for its bias: the 480 valid ones give",
        "2.554 on the same data.",
        "",
        "Standard errors are HC0 with normal quantiles, as in the post (classical and t for OLS); F is robust. The",
        f"Anderson–Rubin set of the good instrument is {result.ar_sets['r']} in R and {result.ar_sets['native']} natively.",
        "With a strong instrument it agrees with the usual interval; the weak one's is the whole line.",
        "",
        "Figures printed in the post, or in the notebook that it links to, that both R and native give to the last printed",
        f"digit: **{int(printed['ok'].sum())} of {len(printed)}**.",
        "",
        *folded("Every printed figure", table("bar | quantity | printed | where | R | native | reproduced", pairs)),
        "### The 1.98 is a lucky draw of the folds",
        "",
        result.luck(),
        "",
        "![Estimates against instruments selected for thirty fold seeds](selection/post-seeds.svg)",
        "",
        *table("instruments selected | fold seeds | estimate | 95 % interval", by_size),
        "The more instruments the folds let in, the closer the estimate comes to OLS: that is many-instrument bias, and",
        "no interval knows of it. Quote a cross-validated selection with its spread over seeds (`Selection.seeds()`), or",
        "use a rule that draws nothing.",
        "",
    ]


def draws() -> list[str]:
    """Monte Carlo."""
    b, a = pd.read_csv(DATA / "post-b-draws.csv"), pd.read_csv(DATA / "post-a-draws.csv")
    says = {
        "OLS": "no instrument", "2SLS, all valid": "every valid A/B test", "LIML, all valid, HC0": "LIML with HC0: too wide",
        "LIML, all valid, Bekker": "LIML with Bekker's standard errors", "LASSO min": "λ.min",
        "LASSO 1se": "λ.1se: the post's", "LASSO 1se, LIML": "the same set, LIML", "plug-in": "Belloni, Chen, Chernozhukov, Hansen",
        "cross-fitted 1se": "two halves take turns", "oracle": "the five strong ones, named in advance",
    }  # fmt: skip
    heads = "method | what it is | median | mean bias | coverage | instruments"

    def row(one: pd.Series) -> list[object]:
        return [
            one["method"], says.get(one["method"], ""), number(one["median"], 3), number(one["bias"], 3), covered(one),
            number(one["selected"], 0),
        ]  # fmt: skip

    weak = a.set_index("method").loc["weak, Anderson–Rubin"]
    none = b.loc[b["missing"] > 0, ["method", "missing"]]
    missing = "; ".join(f"{m} selects nothing in {100 * s:.1f} % of the draws" for m, s in none.itertuples(index=False))
    a_rows = [[o["method"], number(o["median"], 3), covered(o)] for _, o in a.iterrows()]
    return [
        "## What the methods do on many draws",
        "",
        f"Simulation B, {b['draws'].iloc[0]} draws of 1000 rows, true effect 2, nominal 95 % intervals. After ± stands the",
        "Monte Carlo standard error of the coverage; instruments are counted by their median. Every method sees only valid candidates, and each draw has folds of its own.",
        "",
        *table(heads, [row(one) for _, one in b.iterrows()]),
        *([f"{missing}.", ""] if missing else []),
        "![Median and range of the estimates of every method](selection/post-b-draws.svg)",
        "",
        *reading(b.set_index("method")),
        f"Simulation A, {a['draws'].iloc[0]} draws:",
        "",
        *table("method | median | coverage", a_rows),
        "The weak instrument's usual interval covers less than it says around an estimate that sits at OLS; its",
        f"Anderson–Rubin set keeps its promise by being unbounded in {100 * weak['unbounded']:.0f} % of the draws, which is the",
        "truth about that instrument. No interval helps against an invalid one.",
        "",
    ]


def covered(one: pd.Series) -> str:
    """Coverage with its Monte Carlo standard error."""
    return f"{one['coverage']:.3f}&nbsp;±&nbsp;{one['coverage.se']:.3f}"


def reading(b: pd.DataFrame) -> list[str]:
    """What the table of simulation B says."""
    covers = {name: f"{share:.3f}" for name, share in b["coverage"].items()}
    percent = {name: f"{100 * share:.0f} %" for name, share in b["coverage"].items()}
    return [
        f"- **All valid A/B tests at once** hardly help 2SLS: its median is {b.loc['2SLS, all valid', 'median']:.3f}, because 480",
        "  instruments fit the noise of the first stage. LIML does not follow that noise, but it needs Bekker's standard errors:",
        f"  coverage {covers['LIML, all valid, Bekker']}, where HC0, made for few instruments, gives {covers['LIML, all valid, HC0']}.",
        "- **Cross-validation** keeps what helps to predict X, which is more than the estimate can bear. Intervals at λ.min cover",
        f"  in {percent['LASSO min']} of the draws, those at the post's λ.1se in {percent['LASSO 1se']}.",
        "- **The plug-in penalty, cross-fitting, or LIML on the post's set** come close to the oracle, which knows the five:",
        f"  {covers['plug-in']}, {covers['cross-fitted 1se']} and {covers['LASSO 1se, LIML']} against {covers['oracle']}.",
        "",
        "One scenario is one scenario: five strong instruments among 480 are a kind world for the LASSO.",
        "",
    ]


def controls() -> list[str]:
    """Ways of choosing controls."""
    found = pd.read_csv(DATA / "controls.csv")
    rows = [
        [o["method"], number(o["median"], 3), number(o["bias"], 3), covered(o), number(o["selected"], 0)]
        for _, o in found.iterrows()
    ]
    return [
        "## Controls",
        "",
        "The post offers two ways. *Option 1* forces the controls in, or takes them out of everything first; *option 2*",
        "chooses them by a LASSO of Y on X and K. Theory recommends choosing controls for Y and for X (*double*), and",
        "here also for the selected instruments (*union*). A world in which it matters: ten of forty candidates follow",
        "ten of a hundred controls that also act on Y (`docs/selection_controls.py`).",
        f"{found['draws'].iloc[0]} draws of 500 rows, true effect 2, rule 1se, HC1:",
        "",
        *table("controls | median | mean bias | coverage | instruments", rows),
        "Option 2 asks which controls predict Y *given X*. X already carries most of what a control does, the LASSO",
        "drops the rest, and an instrument that followed the dropped control is no longer valid. Option 1 is safe from that; with",
        "all hundred controls in 500 rows a small many-instrument bias is left, which the shorter lists of *double* and *union* more than halve.",
        "",
        "Forced and residualised controls give the same path with `standardize=False`. With glmnet's default they",
        "differ, because a column and its residuals have different standard deviations: `Selection.explain()` says so.",
        "",
    ]


def speed() -> list[str]:
    """Seconds."""
    found = pd.read_csv(DATA / "speed.csv")

    def row(one: pd.Series) -> list[object]:
        size = f"{one['size']}: {one['n']:,} × {one['p']:,}".replace(",", " ")
        stopped = "" if one["finished"] else "stopped at "
        ratio = ("" if one["finished"] else "> ") + f"{one['ratio']:.2f}"
        return [
            size, one["method"], stopped + number(one["seconds"], 2), f"**{ratio}**",
            number(one["cpu ratio"], 2) if one["finished"] else "–", number(one["peak_gb"], 1),
        ]  # fmt: skip

    return [
        "## Speed",
        "",
        "Seconds of one ten-fold cross-validated path, median of interleaved rounds in one run (`tests/benchmarks/lasso_speed.py`),",
        "one thread each. Ratios are to R's own `cv.glmnet`, timed inside R; where the ratio of",
        "wall time and that of processor time differ, the machine had other work to do. *sklearn* is our fallback engine; scikit-learn's own `LassoCV` solves another problem (its own",
        "grid of λ and stopping rule) and is shown for scale. S3 are a million users and 200 logical columns, GB the largest",
        "memory of the process.",
        "",
        *table("size | method | seconds | ratio to R | of processor time | GB", [row(one) for _, one in found.iterrows()]),
    ]


#: What the page shows in its order, each part once its data are there.
SECTIONS = (("parity.csv", parity), ("post.json", post), ("post-b-draws.csv", draws), ("controls.csv", controls), ("speed.csv", speed))


def render() -> str:
    """The whole page."""
    head = [
        "---", "hide: [toc]", "---", "",
        "# Selecting instruments, measured",
        "",
        "Made by `python docs/make_selection.py`; do not edit. Each part has its data in `docs/selection/`, and",
        "`python docs/make_selection.py parity post draws controls speed` computes them again.",
        "",
        "Many A/B tests, one behavior, one outcome: which of them should be the instruments? This page shows that the",
        "native LASSO gives what R's `cv.glmnet` gives, that the post's figures come out of both, what they are worth,",
        "and which rule to use instead. In one line: **`rule=\"plugin\"`, or LIML; and never a cross-validated set without**",
        "**its spread over fold seeds.**",
        "",
    ]
    there = [section for file, section in SECTIONS if (DATA / file).is_file()]
    return "\n".join(head + [line for section in there for line in section()]).rstrip() + "\n"


def read_post() -> PostResult:
    """The figures in the data."""
    return PostResult.from_json((DATA / "post.json").read_text(encoding="utf-8"))


def recomputed_differs() -> list[str]:
    """Bars of the data that a fresh native run does not give, to nine digits; a few fold seeds among them."""
    kept, fresh = read_post(), post_figures(["native"], seeds=2)
    wrong = [f"fold seed {s.seed}" for s, k in zip(fresh.seeds, kept.seeds, strict=False) if s.selected != k.selected]
    stored = {(b.simulation, b.label): b.quantities for b in kept.bars if b.engine == "native"}
    for bar in fresh.bars:
        for name, value in bar.quantities.items():
            if not np.isclose(value, stored[bar.simulation, bar.label][name], rtol=1e-9, atol=0, equal_nan=True):
                wrong.append(f"{bar.simulation} {bar.label} {name}")
    return wrong


def main(arguments: list[str]) -> int:
    """Compute what is asked, write or check the page."""
    if arguments == ["--check"]:
        stale = [] if render() == TARGET.read_text(encoding="utf-8") else [f"{TARGET} is not what its data say"]
        stale += [f"docs/selection/post.json: {what}" for what in recomputed_differs()]
        print("\n".join(stale) or f"{TARGET} is up to date.")
        return 1 if stale else 0
    if unknown := [part for part in arguments if part not in PARTS]:
        print(f"no part {', '.join(unknown)}; available: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    DATA.mkdir(exist_ok=True)
    for part in arguments:
        PARTS[part]()
    for path in post_charts.draw_post(read_post(), DATA):
        if path.suffix == ".png":
            path.unlink()
    TARGET.write_text(render(), encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

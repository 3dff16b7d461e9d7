"""Write docs/gallery.md: every published result of tests/published.toml, computed by both engines.

python docs/make_gallery.py            write docs/gallery.md
python docs/make_gallery.py --check    compare it with a fresh run; exit 1 if a printed or rounded number differs
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]

from published import ENGINES, RESULTS, Printed, answers, computed, digits, digits_left, printed_numbers, round_like  # noqa: E402

from ivbridge.data import load  # noqa: E402

TARGET = HERE / "gallery.md"
NAMES = {
    "coefficient": "coefficient",
    "std_error": "standard error",
    "weak_instruments": "first-stage F",
    "wu_hausman": "Wu–Hausman",
    "sargan": "Sargan",
    "basmann": "Basmann",
    "wald": "model F",
    "r2": "R²",
    "r2_adj": "adjusted R²",
    "sigma": "σ̂",
}
CONVENTION_NAMES = {
    "classical": "classical",
    "classical_n": "classical × √((n−k)/n)",
    "HC0": "HC0",
    "HC1": "HC1",
}
#: quantities that no covariance estimator changes
FREE = ("coefficient", "r2", "r2_adj", "sigma", "sargan", "basmann")


def row(number: Printed) -> str:
    """One line of a result's table."""
    r, native = (computed(number, engine) for engine in ENGINES)
    both = {round_like(r, number.text), round_like(native, number.text)} == {number.text}
    cells = [
        NAMES[number.quantity],
        f"`{number.term}`" if number.term else "",
        "" if number.quantity in FREE else CONVENTION_NAMES[number.convention],
        f"**{number.text}**",
        f"{r:.10g}",
        f"{native:.10g}",
        f"{digits(r, native):.1f}",
        "✓" if both else f"✗ both give {number.gives}",
    ]
    return "| " + " | ".join(cells) + " |"


def step_text(step: dict[str, object]) -> str:
    """A preparation step in words."""
    match step["step"]:
        case "keep":
            return f"only rows with {step['column']} = {step['value']}"
        case "complete":
            return "only rows without missing values"
        case "indicator":
            return f"{step['name']} = 1 where {step['column']} is {step['value']}, else 0"
        case "change":
            columns = ", ".join(f"{new} of {old}" for new, old in step["columns"].items())  # type: ignore[attr-defined]
            return f"changes from {step['from']} to {step['to']} for each {step['unit']}: {columns}"
    raise KeyError(step["step"])


def section(result: str) -> list[str]:
    """One published result."""
    entry, data, numbers = RESULTS[result], load(RESULTS[result]["data"]), list(printed_numbers(result))
    facts = answers(result, asked_vcov(numbers[0]), "native")
    lines = [
        f"## {entry['title']}",
        "",
        entry["question"] + ("" if entry["question"].endswith("?") else "."),
        "",
        f"Printed in: {entry['source']}.  ",
        f"Data: `{data.name}`, {data.citation}  ",
        f"n = {facts['n', '']:.0f}, condition number {facts['condition', '']:.3g}.",
        "",
        "```r",
        *wrapped(entry["formula"]),
        "```",
        "",
    ]
    if steps := entry.get("prepare"):
        lines += ["Preparation: " + "; ".join(step_text(step) for step in steps) + ".", ""]
    if note := entry.get("note"):
        lines += [note.strip(), ""]
    lines += ["| quantity | term | convention | printed | R | native | digits | reproduced |", "|" + "---|" * 8]
    lines += [row(number) for number in numbers]
    lines += [
        f"\n✗ {number.quantity.replace('_', ' ')} `{number.term}`: {number.why}" for number in numbers if number.why
    ]
    return [*lines, ""]


def asked_vcov(number: Printed) -> str:
    """The vcov that stands behind a convention."""
    return "classical" if number.convention.startswith("classical") else number.convention


def wrapped(formula: str) -> list[str]:
    """The formula in lines of at most 100 characters, broken before an operator."""
    lines = [""]
    for part in re.split(r"(?= [+|~] )", " ".join(formula.split())):
        if len(lines[-1] + part) > 100:
            lines.append("   ")
        lines[-1] += part
    return lines


def summary_line(result: str) -> str:
    """One line of the table at the top."""
    numbers = list(printed_numbers(result))
    agree = min(digits(*(computed(number, engine) for engine in ENGINES)) for number in numbers)
    facts = answers(result, asked_vcov(numbers[0]), "native")
    limit = digits_left(facts["condition", ""], facts["n", ""])
    reached = sum(number.text == number.gives for number in numbers)
    return (
        f"| [{RESULTS[result]['title']}](#{anchor(RESULTS[result]['title'])}) | {facts['n', '']:.0f} "
        f"| {reached} of {len(numbers)} | {facts['condition', '']:.3g} | {limit:.1f} | {agree:.1f} |"
    )


def anchor(heading: str) -> str:
    """The link target that Markdown makes of a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower(), flags=re.ASCII)).strip("-")


def render() -> str:
    """The whole page."""
    numbers = [number for result in RESULTS for number in printed_numbers(result)]
    reached = sum(number.text == number.gives for number in numbers)
    head = [
        "# Gallery: published results, reproduced",
        "",
        "Made by `python docs/make_gallery.py`; do not edit.",
        "",
        f"{len(numbers)} printed numbers of {len(RESULTS)} published results, each computed twice: by R (`AER::ivreg`",
        f"with `sandwich`) and natively (`linearmodels`). Both engines give {reached} of them to every printed digit;",
        "where one cannot be reached, its section says why. *digits* is the number of significant digits in which",
        "R and native agree, −log₁₀ of the relative gap, at most 16; it varies a little from machine to machine.",
        "",
        "| result | n | reproduced | κ | digits left | digits agreed, worst |",
        "|---|---|---|---|---|---|",
        *(summary_line(result) for result in RESULTS),
        "",
        "κ is the larger condition number of the instruments and of the regressors projected on them, columns at",
        "unit length. Solving normal equations, as linearmodels called by hand does, costs 2 log₁₀ κ of the 16 digits",
        "of a double, and adding up n rows may cost ½ log₁₀ n more: *digits left* is what remains. The native engine",
        "refines what linearmodels finds; what it does not share with R is what R's QR decomposition loses, about half",
        "as many digits, or as many where the fit is poor. Weak instruments make κ large, because the projected",
        "regressor is then nearly a combination of the others: with 329 509 rows 7 to 9 digits are what R keeps, and",
        "no sign of a wrong formula.",
        "",
    ]
    return "\n".join([*head, *(line for result in RESULTS for line in section(result)), *stata()]) + "\n"


def stata() -> list[str]:
    """What the tests compare with Stata."""
    return [
        "## Stata",
        "",
        "`tests/test_stata.py` compares both engines with what Stata printed or exported:",
        "",
        "- `ivregress 2sls` on `hsng2`: unadjusted, robust and cluster(division), with and without `small`. Every",
        "  coefficient, t, covariance, R², RSS, root MSE, model test and its p-value, to the 7 to 11 digits printed.",
        "- `ivreg2` on `card_stata`, just-identified, over-identified and with aweights: coefficients, standard",
        "  errors, R², RSS, root MSE, first-stage and model F, Sargan, Durbin's endogeneity test: 2·10⁻¹⁰ relative or",
        "  better (10⁻⁹ for standard errors with two clusters).",
        "",
        "Stata without `small` uses RSS/n, HC0, and clusters without G/(G−1); with `small` it is classical, HC1 and",
        "cluster HC1. Its model F of a clustered fit has G−1 denominator degrees of freedom where R keeps n−k.",
    ]


def skeleton(page: str) -> str:
    """The page without what may differ in the last digits: R's and native's columns rounded as printed, no digits."""
    lines = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        printed = re.fullmatch(r"\*\*(-?[\d.]+)\*\*", cells[3]) if len(cells) == 8 else None
        if printed:
            cells[4:7] = [round_like(float(cell), printed.group(1)) for cell in cells[4:6]]
            line = " | ".join(cells)
        elif line.startswith("| [") and len(cells) == 6:
            line = " | ".join(cells[:5])
        lines.append(line)
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    page = render()
    if arguments == ["--check"]:
        same = skeleton(page) == skeleton(TARGET.read_text(encoding="utf-8"))
        print(f"{TARGET} is up to date." if same else f"{TARGET} differs: run python docs/make_gallery.py")
        return 0 if same else 1
    TARGET.write_text(page, encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

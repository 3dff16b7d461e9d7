"""Write what the documentation takes from the program: reference pages, and the output of commands shown on any page.

python docs/make_reference.py            write docs/reference/{cli,vcov,glossary}.md and refresh every block after <!-- run -->
python docs/make_reference.py --check    write nothing; exit 1 and name the pages that would change

A block of the kind ``console`` after ``<!-- run -->`` is run line by line (lines that start with ``$ ivbridge``) in an
empty folder that holds the page's own files: blocks with ``title="name"``. Counts of agreeing digits, versions, hashes
and folders differ from machine to machine and are not compared by ``--check``.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))

from typer.testing import CliRunner  # noqa: E402

from ivbridge import method as method_module  # noqa: E402
from ivbridge import vcov as vcov_module  # noqa: E402
from ivbridge.cli import app  # noqa: E402
from ivbridge.engines.native import linearmodels_options  # noqa: E402
from ivbridge.engines.r_calls import r_call  # noqa: E402
from ivbridge.vcov_text import parse_vcov  # noqa: E402

HOME = "/home/you"
MADE = "<!-- made by: python docs/make_reference.py -->\n\n"
COMMANDS = (
    "check", "explain", "fit", "certify", "drift", "port", "select", "encourage", "post", "study", "marketing",
    "causal", "audit", "dag", "advise", "workbook", "datasets", "demo", "doctor", "setup-r",
)
#: One line of the vcov table each: the short text forms that are worth showing.
FORMS = (
    "classical",
    "HC0",
    "HC1",
    "HC2",
    "HC3",
    "HC4",
    "HC4m",
    "HC5",
    "cluster(g)",
    "cluster(g, type=HC1)",
    "cluster(g, type=HC0, cadjust=False)",
    "cluster(g, h)",
    "cluster(g, h, type=HC1)",
    "cluster(g, h, multi0=True)",
    "nw",
    "nw(4)",
    "nw(4, prewhite=0)",
    "nw(4, prewhite=0, adjust=True)",
    "andrews",
    "andrews(kernel=Bartlett, bw=5)",
    "dk(unit, period)",
    "dk(unit, period, aggregate=False)",
    "pc(unit, period)",
    "bootstrap",
    "bootstrap(R=999, seed=7, cluster=g)",
    "bekker",
    "bekker(cse=True)",
)


def cli_page() -> str:
    """Help of the command and of its subcommands."""
    parts = ["# Command line\n", MADE]
    for command in ((), *((name,) for name in COMMANDS)):
        result = CliRunner().invoke(app, [*command, "--help"], prog_name="ivbridge", env={"COLUMNS": "88"})
        title = " ".join(("ivbridge", *command))
        parts.append(f"## `{title}`\n\n```text\n{result.stdout.strip()}\n```\n\n")
    parts.append(EXIT_CODES)
    return "\n".join(parts[:1]) + "".join(parts[1:])


EXIT_CODES = """## Exit codes

| code | `check`, `demo` | `doctor` | `setup-r` |
| --- | --- | --- | --- |
| 0 | the engines agree: *identical* or *rounding* | R and Python are ready | nothing is left to do |
| 1 | they disagree: *convention*, *substantive* or *not comparable* | the main job cannot run | a step failed |
| 2 | the question could not be run: bad arguments, no such file, R missing, a fault of ivbridge | | the steps were only explained |
| 130 | interrupted | interrupted | interrupted |

Answers go to standard output, errors and the progress bar to standard error. The bar appears after a second of work and only on a terminal.
"""


def vcov_page() -> str:
    """Each covariance estimator with the R call and the linearmodels call that the engines make."""
    lines = [
        "# Covariance estimators\n", MADE.strip(), "",
        "`fit` is an `AER::ivreg` object; packages sandwich and lmtest are attached; `used` holds the rows of the data that the fit uses",
        "(`used <- data[names(residuals(fit)), ]`). The R engine makes the call in the second column. The native engine makes the call in",
        "the third, as arguments of `IV2SLS(…).fit(…)`; where linearmodels has no such estimator, it builds the matrix from bread and meat.\n",
        "| short form | R | linearmodels |", "| --- | --- | --- |",
    ]  # fmt: skip
    for form in FORMS:
        estimator = parse_vcov(form)
        options = linearmodels_options(estimator)
        shown = "–" if options is None else f"`{', '.join(f'{k}={v!r}' for k, v in options.items())}`"
        seed = f"set.seed({estimator.seed}); " if isinstance(estimator, vcov_module.Bootstrap) else ""
        lines.append(f"| `{estimator}` | `{seed}{r_call(estimator)}` | {shown} |")
    lines += ["", "## Each one in words", ""]
    for kind in dict.fromkeys(type(parse_vcov(form)) for form in FORMS):
        text = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(kind.__doc__ or ""), flags=re.DOTALL)
        text = re.sub(r"\nParameters\n-+\n(.*)", lambda m: "\n" + parameters(m.group(1)), text, flags=re.DOTALL)
        lines += [f"### `{kind.keyword}`: `ivbridge.{kind.__name__}`", "", text.strip(), ""]
    lines += ["## Estimators", "", "| short form | meaning |", "| --- | --- |"]
    for method in (method_module.TwoStage(), method_module.LIML(), method_module.Fuller(1)):
        text, _, _ = re.sub(r"``(.+?)``", r"`\1`", type(method).__doc__ or "", flags=re.DOTALL).partition(
            "Parameters\n"
        )
        lines.append(f"| `{method}` | {' '.join(text.split())} |")
    lines += ["", "## Reference distributions", "", "| short form | meaning |", "| --- | --- |"]
    for kind in (vcov_module.T, vcov_module.Z):
        text = " ".join(re.sub(r"``(.+?)``", r"`\1`", kind.__doc__ or "", flags=re.DOTALL).split())
        lines.append(f"| `{kind()}`{', `t(20)`' if kind is vcov_module.T else ''} | {text} |")
    return "\n".join(lines) + "\n"


def parameters(text: str) -> str:
    """A numpy-style block as a list."""
    items = re.findall(r"^(\S.*?) : (.*)\n((?:    .*\n?)+)", text, flags=re.MULTILINE)
    return "\n".join(f"* `{name}` ({kind}): {' '.join(body.split())}" for name, kind, body in items)


def glossary_page() -> str:
    """glossary.toml as a table."""
    columns = tomllib.loads((ROOT / "ivbridge" / "glossary.toml").read_text(encoding="utf-8"))["columns"]
    lines = ["# Glossary\n", MADE.strip(), "",
             "Every column of `tidy()`, `glance()`, `diagnostics()`, `augment()`, of the ledger and of the JSON, from `ivbridge/glossary.toml`.\n",
             "| column | meaning | R | linearmodels | Stata |", "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, entry in columns.items():
        calls = " | ".join(
            f"`{entry[key]}`".replace("|", "\\|") if key in entry else "" for key in ("r", "linearmodels", "stata")
        )
        lines.append(f"| `{name}` | {entry['meaning'].replace('|', chr(92) + '|').replace('<', '&lt;')} | {calls} |")
    return "\n".join(lines) + "\n"


STAGES = {
    "world": "What changes the coefficients",
    "covariance": "What changes standard errors and covariances",
    "inference": "What changes statistics, p-values and intervals",
    "test": "What changes the tests",
}


def conventions_page() -> str:
    """The explainer's catalogue and its table of programs' defaults."""
    folder = ROOT / "ivbridge" / "explainer"
    load = lambda name: tomllib.loads((folder / name).read_text(encoding="utf-8"))  # noqa: E731
    entries = load("catalogue_worlds.toml") | load("catalogue.toml")
    lines = ["# Known conventions\n", MADE.strip(), "",
             (f"The {len(entries)} conventions that `ivbridge explain` tries, alone and in pairs or longer combinations, from "
              "`ivbridge/explainer/catalogue*.toml`."),
             "A convention that is a mistake has no program that makes it on purpose. [How the search works](../explanation/why.md).\n"]  # fmt: skip
    for stage, title in STAGES.items():
        lines += [f"## {title}", "", "| convention | who has it, and source |", "| --- | --- |"]
        for key, entry in entries.items():
            if entry["stage"] == stage:
                named = ", ".join(entry["packages"])
                who = (f"a mistake ({named})" if named else "a mistake") if entry.get("mistake") else named
                lines.append(f"| **{cell(entry['title'])}** · `{key}`<br>{cell(entry['about'])} | {cell(who)}<br>*{cell(entry['source'])}* |")
        lines.append("")
    lines += ["## What programs print by default", "", "From `ivbridge/explainer/defaults.toml`; the names are those of `--reference` and `--candidate`.",
              "", "| name | call | standard errors | reference | source |", "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, entry in load("defaults.toml").items():
        vcov = f"{entry['vcov']}, divisor n" if entry.get("divisor") == "n" else entry["vcov"]
        law = {"t": "t", "z": "normal"}[entry["inference"]]
        lines.append(f"| `{name}` | `{entry['call'].replace('|', chr(92) + '|')}` | {vcov} | {law} | {cell(entry['source'])} |")
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """A text that may stand in a table and holds no markup of its own."""
    return re.sub(r"([|_*<])", r"\\\1", text) if "`" not in text else text.replace("|", "\\|")


PAGES = {"cli.md": cli_page, "vcov.md": vcov_page, "glossary.md": glossary_page, "conventions.md": conventions_page}
_BLOCK = re.compile(r"(<!-- run -->\n```console\n)(.*?)(\n```)", re.DOTALL)
_FILE = re.compile(r'^```\w+ title="([\w.-]+)"\n(.*?)\n```$', re.DOTALL | re.MULTILINE)


def refreshed(text: str) -> str:
    """A page with the output of its commands as it is now."""
    if not _BLOCK.search(text):
        return text
    with tempfile.TemporaryDirectory() as folder:
        for name, content in _FILE.findall(text):
            Path(folder, name).write_text(content + "\n", encoding="utf-8")
        return _BLOCK.sub(lambda match: match[1] + "\n".join(_run(match[2], folder)) + match[3], text)


def _run(block: str, folder: str) -> Iterator[str]:
    lines = iter(block.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue
        command = line[2:]
        yield line
        while command.endswith("\\"):
            following = next(lines)
            yield following
            command = command[:-1] + following
        words = shlex.split(command)
        assert words[0] == "ivbridge", f"only ivbridge is run: {command}"
        done = subprocess.run(
            [sys.executable, "-m", "ivbridge.cli", *words[1:]], cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        )  # fmt: skip
        output = (done.stdout + done.stderr).replace(os.path.realpath(folder), HOME).strip("\n")
        if output:
            yield output
        if done.returncode:
            yield f"(exit code {done.returncode})"


def masked(text: str) -> str:
    """A page without what differs between machines."""
    text = re.sub(r"\b\d+(\.\d+){2,}\b|\b[0-9a-f]{12,64}\b|\b\d\.\de[+-]\d\d\b|\b\d{1,2}\.\d\b", "#", text)
    return re.sub(r"\s+", " ", text)


def wanted() -> Iterator[tuple[Path, str]]:
    """Every page with the text that it should have."""
    for name, make in PAGES.items():
        yield DOCS / "reference" / name, make()
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        if not (path.parent.name == "reference" and path.name in PAGES):
            yield path, refreshed(path.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    """Write or check all pages."""
    stale = []
    for path, text in wanted():
        now = path.read_text(encoding="utf-8") if path.is_file() else ""
        if "--check" in arguments:
            stale += [str(path.relative_to(ROOT))] if masked(text) != masked(now) else []
        elif masked(text) != masked(now) or "--all" in arguments:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    if stale:
        print(f"stale: {', '.join(stale)}; run: python docs/make_reference.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

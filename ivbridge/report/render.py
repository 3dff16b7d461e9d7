"""Jinja environments whose every output is escaped for its format, without a filter that a template could forget."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ivbridge.report.cells import Number
from ivbridge.report.entry import Entry
from ivbridge.report.view import document

__all__ = ["escape_html", "escape_latex", "escape_markdown", "fill", "render"]

_MINUS = "−"


def escape_html(value: object) -> object:
    """Numbers get a true minus sign; Jinja's autoescape does the rest."""
    return value.replace("-", _MINUS) if isinstance(value, Number) else value


def escape_markdown(value: object) -> Markup:
    """Text that stays text in GitHub-flavoured Markdown, in a table cell too."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, Number):
        return Markup(value.replace("-", _MINUS))  # nosec B704  # made of digits
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", str(value)).replace("\n", " ")
    return Markup(escaped)  # nosec B704  # escaped in the line above


#: Where a long word, such as a hash, may be broken.
_LONG = re.compile(r"\w{12}(?=\w{12})")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"$\sim$", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "\n": r"\allowbreak{}", "−": "$-$", "×": r"$\times$", "√": r"$\surd$", "²": r"$^2$", "χ": r"$\chi$", "≤": r"$\leq$",
    "≥": r"$\geq$", "∞": r"$\infty$", "…": r"\ldots{}", "–": "--", "—": "---", "✓": "ok", "✗": "no", "≠": r"$\neq$",
    "₂": r"$_2$", "β": r"$\beta$", "·": r"$\cdot$", "-": "{-}",
}  # fmt: skip


def escape_latex(value: object) -> Markup:
    """Text that LaTeX prints as it is and can break; a letter that pdfLaTeX lacks becomes its code point there."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, Number) and value[:1] in tuple("-0123456789"):
        mantissa, _, exponent = value.partition("e")
        power = rf" \times 10^{{{int(exponent)}}}" if exponent else ""
        return Markup(f"${mantissa}{power}$")  # nosec B704  # made of digits
    pieces = (_LONG.sub(r"\g<0>\n", word) for word in re.split(r"(?<=[(),:_=/.\[\]])", str(value).replace("\n", " ")))
    escaped = "".join(_latex_letter(letter) for letter in "\n".join(pieces))
    return Markup(escaped)  # nosec B704  # escaped letter by letter


def _latex_letter(letter: str) -> str:
    if letter in _LATEX:
        return _LATEX[letter]
    # T1 fonts hold Latin-1 and Latin Extended-A
    if " " <= letter <= "~" or "\u00c0" <= letter <= "\u017f":
        return letter
    return rf"\otherletter{{{ord(letter):04X}}}{{{letter}}}" if letter.isprintable() else " "


_ESCAPES: dict[str, Callable[[Any], object]] = {"html": escape_html, "md": escape_markdown, "tex": escape_latex}


@cache
def _environment(kind: str) -> Environment:
    latex = kind == "tex"
    environment = Environment(
        loader=PackageLoader("ivbridge.report"),
        autoescape=True,  # marks what macros return as escaped; `finalize` escapes for the other formats
        finalize=_ESCAPES[kind],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        block_start_string="<%" if latex else "{%",
        block_end_string="%>" if latex else "%}",
        variable_start_string="<<" if latex else "{{",
        variable_end_string=">>" if latex else "}}",
        comment_start_string="<#" if latex else "{#",
        comment_end_string="#>" if latex else "#}",
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["raw"] = Markup
    environment.filters["code"] = {"html": str, "md": _fenced, "tex": _code_lines}[kind]
    return environment


def _fenced(text: str) -> Markup:
    """Text for a fenced block that its own backticks cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{text}\n{fence}")  # nosec B704  # Markdown reads nothing inside the fence


def _code_lines(text: str) -> Markup:
    """Each line a paragraph that wraps with a hanging indent."""
    return Markup("\n").join(Markup(r"\codeline{") + escape_latex(line) + Markup("}") for line in text.splitlines())


def render(template: str, entries: Sequence[Entry]) -> str:
    """Fill a template with the view of the entries."""
    return fill(template, document=document(entries))


def fill(template: str, **values: object) -> str:
    """Fill a template; the ending before ``.j2`` decides how its output is escaped."""
    kind = template.split(".")[-2]
    return _environment(kind).get_template(template).render(**values)

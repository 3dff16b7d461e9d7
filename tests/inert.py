"""Whether a text that came from a stranger stayed a text: in HTML, Markdown, LaTeX, code and on a terminal."""

from __future__ import annotations

import ast
import io
import re
import unicodedata
from contextlib import redirect_stdout
from html.parser import HTMLParser

import ivbridge
from ivbridge import cli_text
from ivbridge.engines.process import RWorker
from ivbridge.report.code import python_code, r_code

__all__ = ["code", "html", "latex", "markdown", "terminal"]

#: Elements that ivbridge's pages have; none of them loads or runs anything.
ELEMENTS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "footer",
        "section",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "ul",
        "ol",
        "li",
        "a",
        "code",
        "pre",
        "strong",
        "em",
        "small",
        "span",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "figure",
        "figcaption",
        "svg",
        "g",
        "path",
        "line",
        "rect",
        "circle",
        "text",
        "tspan",
        "polyline",
        "polygon",
        "desc",
        "summary",
        "details",
        "br",
        "hr",
        "sub",
        "sup",
        "abbr",
        "i",
        "b",
        "dl",
        "dt",
        "dd",
        "nav",
        "time",
        "col",
        "colgroup",
        "defs",
        "use",
    ]
)


#: No code for models calls these.
FORBIDDEN = frozenset({"system", "system2", "__import__", "open", "eval", "exec", "parse", "file", "writeLines"})
TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ELEMENTS:
            self.bad.append(f"<{tag}>")
        for name, value in attrs:
            loads = name in ("href", "src", "xlink:href", "action", "srcdoc", "data") and not (value or "").startswith(
                "#"
            )
            if name.startswith("on") or loads:
                self.bad.append(f"{tag} {name}={value!r}")


def html(page: str) -> None:
    """Raise unless the page has nothing but inert elements."""
    reader = _Elements()
    reader.feed(page)
    assert not reader.bad, reader.bad


_FENCE = re.compile(r"^(`{3,})[^`\n]*\n.*?\n\1$", flags=re.MULTILINE | re.DOTALL)


def markdown(page: str) -> None:
    """Raise if, outside blocks of code, a tag, a link or an image is not escaped."""
    text = re.sub(r"\\[\\`*_{}\[\]<>#|~$&]", "", _FENCE.sub("", page))
    assert not re.search(r"<\s*[a-zA-Z/!]", text), re.findall(r".{20}<\s*[a-zA-Z/!].{20}", text)
    assert not re.search(r"\]\(", text), "a link"
    assert not re.search(r"^(# |\#\# )?heading", text, re.MULTILINE), "a heading"


def latex(page: str) -> None:
    """Raise if a command that reads, writes or defines stands in the body."""
    body = page.split(r"\begin{document}", 1)[1]
    for command in ("input", "include", "write", "immediate", "def", "csname", "openin", "catcode", "read"):
        assert not re.search(rf"\\{command}(?![a-z])", body), command


def code(agreement: ivbridge.Agreement, data: ivbridge.Dataset, reader: RWorker) -> None:
    """Raise if the code that a report offers for pasting calls anything but functions for models.

    Parameters
    ----------
    reader : RWorker
        Has tests/hostile.R, whose ``ivb_calls`` parses R and lists what would be called.
    """
    tree = ast.parse(python_code(agreement, data))
    calls = {
        ast.unparse(node.func).split("(")[0].split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.Call)
    }
    assert not calls & FORBIDDEN, calls
    found = set(reader.call("ivb_calls", code=r_code(agreement, data)).value)
    assert found
    assert not found & FORBIDDEN, found


def terminal(text: str) -> None:
    """Raise if what the command line prints holds a character that a terminal obeys."""
    out = io.StringIO()
    with redirect_stdout(out):
        cli_text.say(text)
    obeyed = [c for c in out.getvalue() if (unicodedata.category(c) in ("Cc", "Cs") and c != "\n") or c in TURNING]
    assert not obeyed, obeyed

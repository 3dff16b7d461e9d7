"""A badge for a README: one small SVG that needs no font, no script and no network."""

from __future__ import annotations

from html import escape
from typing import Protocol

__all__ = ["badge"]

#: Fill by what is said; white text on each has a contrast of 4.5 or more.
_FILLS = {"ok": "#2a6f3f", "named": "#8a5a00", "bad": "#a32020"}
#: Average width of a letter of Verdana at 11 pixels; letters are spaced to fill their place, so that any font fits.
_LETTER = 6.6


class Signed(Protocol):
    """What a badge shows."""

    @property
    def ok(self) -> bool: ...
    @property
    def verdict(self) -> str: ...
    @property
    def digits(self) -> float: ...


def badge(subject: Signed, label: str = "R = Python") -> str:
    """The verdict, and the agreeing digits where there is agreement.

    Parameters
    ----------
    subject : Certificate
        Or anything with ``ok verdict digits``.
    label : str, default "R = Python"
    """
    kind = "ok" if subject.ok else "named" if subject.verdict == "convention" else "bad"
    agreed = subject.verdict in ("identical", "rounding")
    said = f"{subject.digits:.1f} digits" if subject.ok else "not all compared" if agreed else subject.verdict
    left, right = (round(_LETTER * len(text)) + 14 for text in (label, said))
    width, title = left + right, escape(f"{label}: {said}", quote=True)
    texts = "".join(
        f'<text x="{x}" y="14" textLength="{round(_LETTER * len(text))}">{escape(text)}</text>'
        for x, text in ((7, label), (left + 7, said))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" viewBox="0 0 {width} 20" role="img" '
        f'aria-label="{title}"><title>{title}</title><clipPath id="c"><rect width="{width}" height="20" rx="3"/>'
        f'</clipPath><g clip-path="url(#c)"><rect width="{left}" height="20" fill="#46484d"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_FILLS[kind]}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">'
        f"{texts}</g></svg>\n"
    )

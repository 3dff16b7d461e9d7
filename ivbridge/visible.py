"""Text for a terminal: what a terminal would obey is shown instead."""

from __future__ import annotations

import unicodedata

__all__ = ["visible"]

#: Characters that turn the direction of a line, so that it reads as another text.
_TURNING = frozenset(map(chr, (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def visible(text: str) -> str:
    """Write control characters, lone surrogates and characters that turn the direction as their code points.

    Parameters
    ----------
    text : str
        Names, labels and messages may come from files of strangers. Line ends and tabs stay.

    >>> visible("harmless\\n")
    'harmless\\n'
    >>> print(visible("\\x1b[2J"))
    \\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t" or not (unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING):
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"

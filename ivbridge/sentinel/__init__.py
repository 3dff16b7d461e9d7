"""The drift sentinel: the same recorded questions, answered by two versions of a package.

:func:`ivbridge.drift` runs each version in a process of its own (:mod:`~ivbridge.sentinel.worker`) with one folder in
front of everything else (:mod:`~ivbridge.sentinel.places`), compares the answers with each other and with R's recorded
one (:mod:`~ivbridge.sentinel.watch`), and looks for the reason in the source of the package
(:mod:`~ivbridge.sentinel.sources`).
"""

from __future__ import annotations

__all__: list[str] = []

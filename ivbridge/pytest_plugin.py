"""The pytest plugin: the fixture ``iv_agreement``, the marker ``ivref`` and the option ``--ivref``."""

from __future__ import annotations

__all__: list[str] = []

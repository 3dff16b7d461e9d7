"""Encouragement designs: A/B tests that encourage a behavior, used to learn what the behavior itself does.

Read in this order: :mod:`~ivbridge.encouragement.options` (what may be chosen), :mod:`~ivbridge.encouragement.users`
(the data), :mod:`~ivbridge.encouragement.effects` (each experiment by itself), :mod:`~ivbridge.encouragement.pooled`
(all of them), :mod:`~ivbridge.encouragement.analysis` (the function), :mod:`~ivbridge.encouragement.page` (the report).
"""

__all__: list[str] = []

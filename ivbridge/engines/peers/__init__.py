"""Peer engines: other packages behind the same protocol, asked for the numbers that they report.

A peer gets the design's columns under plain names, so that what differs is the package's arithmetic or convention and
not its reading of a formula; :mod:`ivbridge.engines.peers.reported` names by term what comes back, and says what does
not come back.
"""

__all__: list[str] = []

"""Certificates: a check as one page for a replication package, which says by itself whether it was changed.

A certificate holds what was asked, of which data, what answered, what was compared and what not, and how to do it
again. Its digest is the SHA-256 of all of it; the page in HTML or Markdown carries the same content as JSON, so that
:func:`~ivbridge.certificates.verify.verify_certificate` can draw it again and compare. A digest shows damage and
careless edits, not forgery: :func:`~ivbridge.certificates.verify.check_again` asks R and Python anew.
"""

from __future__ import annotations

__all__: list[str] = []

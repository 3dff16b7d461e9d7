"""LASSO selection of instruments and controls: R's ``cv.glmnet`` and its native mirror, and estimation after it.

Read in this order: :mod:`~ivbridge.selection.spec` (what may be asked), :mod:`~ivbridge.selection.design` (the
matrices), :mod:`~ivbridge.selection.records` (the answer), :mod:`~ivbridge.selection.engines` (who answers),
:mod:`~ivbridge.selection.check` (do they agree).
"""

__all__: list[str] = []

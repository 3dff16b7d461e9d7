"""Components of the graph whose nodes are levels and whose edges are rows.

Two factors' dummies are linearly dependent once for each component (Abowd, Creecy & Kramarz 2002): within one, the sum
of the dummies of either factor is the same column.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ivbridge.absorb.codes import Codes
from ivbridge.records import IntArray

__all__ = ["components", "heaviest"]


def components(one: tuple[Codes, int], other: tuple[Codes, int]) -> int:
    """Components of the graph of two factors, each given as codes (n,) and number of levels."""
    (codes, count), (others, levels) = one, other
    edges = sparse.coo_array(
        (np.ones(len(codes), dtype=np.int8), (codes, others + np.int32(count))), shape=(count + levels,) * 2
    )
    return int(csgraph.connected_components(edges.tocsr(), directed=False)[0])


def heaviest(linked: sparse.csr_array, weights: np.ndarray) -> IntArray:
    """The node of largest weight in each component of an undirected graph, one for each, ascending.

    Parameters
    ----------
    linked : (m, m) sparse array
        Nonzero where two nodes are linked.
    weights : (m,) array
    """
    count, labels = csgraph.connected_components(linked, directed=False)
    order = np.lexsort((-weights, labels))
    firsts = np.searchsorted(labels[order], np.arange(count))
    return np.sort(order[firsts]).astype(np.int64)

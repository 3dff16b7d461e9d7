"""What a fitted mixture itself says against the groups that were found: notes for whoever uses them.

They cost one more fit, with a single group. :mod:`ivbridge.iv_ml.trust` looks further, and takes many.
"""

from __future__ import annotations

import numpy as np

from ivbridge.iv_ml.mixture_gaussian import GaussianMixture
from ivbridge.iv_ml.mixture_regression import RegressionMixture
from ivbridge.iv_ml.mixtures import Mixture
from ivbridge.records import FloatArray

__all__ = ["doubts"]

#: Of T's variance: groups that leave less than this explain T without noise.
_NO_NOISE = 1e-6
#: A treatment with a smaller variance is small beside what the Gaussian mixture adds to each variance.
_SMALL = 1e-3


def doubts(mixture: Mixture, alone: Mixture, probabilities: FloatArray, t: FloatArray) -> tuple[str, ...]:
    """Sentences, none where nothing speaks against the groups.

    Parameters
    ----------
    mixture, alone : Mixture
        With the groups, and with one group for all rows.
    probabilities : (n, K) array
        Of the groups.
    t : (n,) array
    """
    n, groups = probabilities.shape
    used = len(np.unique(probabilities.argmax(axis=1)))
    ours, single = mixture.bic(n), alone.bic(n)
    exact = isinstance(mixture, RegressionMixture) and bool(mixture.variances.min() < _NO_NOISE * t.var())
    lost = f"{groups - used} of the {groups} groups {'is' if groups - used == 1 else 'are'} the most probable of no row"
    said = {
        f"One group for all rows has the smaller BIC ({single:.6g} against {ours:.6g}): the data do not show that "
        "there are groups, and what was found is no instrument.": single <= ours,
        f"{lost}.": 1 < used < groups,
        f"{lost}: all rows are in one group, and nothing varies that could be an instrument.": used == 1,
        "The groups explain the treatment without any noise, as they do where it has few values: they are no more than "
        "the treatment itself, and the answer is that of ordinary regression.": exact,
        "The treatment's variance is small beside the 1e-6 that is added to each variance: give it in another unit.": (
            isinstance(mixture, GaussianMixture) and bool(t.var() < _SMALL)
        ),
    }
    return tuple(sentence for sentence, holds in said.items() if holds)

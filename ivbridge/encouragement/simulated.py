"""Users with a known truth, from R's random numbers: for examples and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivbridge.errors import UnsupportedError
from ivbridge.rrandom import RRandom

__all__ = ["SimulatedUsers", "simulated_users"]


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedUsers:
    """Users whose every causal quantity is known.

    Attributes
    ----------
    frame : DataFrame
        ``retained``, ``reviewed``, ``mobile`` (0/1), ``tenure`` (years), ``test_1 … test_J`` (0/1, int8).
    effect : float
        Effect of reviewing on retention, the same for everybody.
    compliers : (J,) array
        Share of compliers of each test.
    mobile_compliers : float
        Share of mobile users among the compliers of any test that has compliers; one half among all users.
    """

    frame: pd.DataFrame
    effect: float
    compliers: np.ndarray
    mobile_compliers: float


def simulated_users(n: int = 20_000, tests: int = 8, seed: int = 1, strong: int | None = None) -> SimulatedUsers:
    """Draw users of a shop, some of whom were encouraged by A/B tests to leave a review.

    Each user has a latent dedication v, uniform on (0, 1), which makes both reviewing and coming back more likely. A
    user reviews if 1 − v is below 0.15 plus, for each of the ``strong`` tests that treated the user, 0.55 divided by
    their number, times 1.5 for mobile users and 0.5 for others. Users come back with probability 0.2 + 0.1·reviewed
    + 0.5·v. Least squares is therefore far off, and every valid answer is 0.1.

    Parameters
    ----------
    n : int, default 20000
    tests : int, default 8
    seed : int, default 1
        As R's ``set.seed``.
    strong : int, optional
        How many tests encourage at all, the first ones; default: half of them, at least one.

    Returns
    -------
    SimulatedUsers

    Raises
    ------
    UnsupportedError
        If there are no users or tests, or more strong tests than tests.
    """
    strong = max(tests // 2, 1) if strong is None else strong
    if n < 1 or tests < 1 or not 0 <= strong <= tests:
        raise UnsupportedError(f"n={n}, tests={tests}, strong={strong} were asked.", available="0 <= strong <= tests")
    random = RRandom(seed)
    dedication, mobile, tenure = random.runif(n), random.runif(n) < 0.5, -np.log(random.runif(n))
    arms = np.empty((n, tests), dtype=np.int8, order="F")
    for j in range(tests):
        arms[:, j] = random.runif(n) < 0.5
    push = 0.55 / strong if strong else 0.0
    likely = 0.15 + push * np.where(mobile, 1.5, 0.5) * arms[:, :strong].sum(axis=1, dtype=np.int64)
    reviewed = 1 - dedication < np.minimum(likely, 1.0)
    retained = random.runif(n) < 0.2 + 0.1 * reviewed + 0.5 * dedication
    columns = {"retained": retained, "reviewed": reviewed, "mobile": mobile}
    frame = pd.concat(
        [
            pd.DataFrame({name: values.astype(np.int8) for name, values in columns.items()} | {"tenure": tenure}),
            pd.DataFrame(arms, columns=[f"test_{j + 1}" for j in range(tests)], copy=False),
        ],
        axis=1,
    )
    return SimulatedUsers(frame, 0.1, np.where(np.arange(tests) < strong, push, 0.0), 0.75)

"""Fields that are computed when somebody first looks at them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ivbridge
from ivbridge.later import later, postponable
from ivbridge.results import Estimate

LAZY = ("residuals", "fitted", "tests", "first_stages", "data_sha256", "provenance")


@postponable("slow")
@dataclass(frozen=True, slots=True)
class Record:
    quick: int
    slow: int = 5


class Counted:
    """A function that counts its calls."""

    def __init__(self, value: Any) -> None:
        self.value, self.calls = value, 0

    def __call__(self) -> Any:
        self.calls += 1
        return self.value


@pytest.fixture(scope="module")
def eager() -> Estimate:
    return ivbridge.fit("Q ~ P + D | D + F + A", ivbridge.load("kmenta").frame, vcov="HC1")


@pytest.fixture
def lazy(eager: Estimate) -> Estimate:
    values = {name: later(Counted(getattr(eager, name))) for name in LAZY}
    return Estimate(**{f.name: values.get(f.name, getattr(eager, f.name)) for f in dataclasses.fields(eager)})


def test_a_field_is_computed_once_and_only_when_it_is_looked_at() -> None:
    made = Counted(7)
    record = Record(1, later(made))
    assert record.quick == 1 and made.calls == 0
    assert (record.slow, record.slow, made.calls) == (7, 7, 1)


def test_a_field_may_still_hold_a_value_or_its_default() -> None:
    assert (Record(1).slow, Record(1, 3).slow) == (5, 3)


def test_the_record_stays_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Record(1).slow = 2  # type: ignore[misc]


def test_a_failure_is_told_every_time() -> None:
    def fails() -> int:
        raise ivbridge.DataError("no.")

    record = Record(1, later(fails))
    for _ in range(2):
        with pytest.raises(ivbridge.DataError):
            record.slow  # noqa: B018


@pytest.mark.parametrize(
    "text",
    [
        lambda e: e.to_json(), lambda e: e.summary(), lambda e: e._repr_html_(), repr,
        lambda e: e.tidy().to_csv(), lambda e: e.glance().to_csv(), lambda e: e.diagnostics().to_csv(),
        lambda e: e.augment(ivbridge.load("kmenta").frame).to_csv(), lambda e: e.resid.to_csv(),
        lambda e: Estimate.from_json(e.to_json()).to_json(),
    ],
)  # fmt: skip
def test_an_estimate_reads_the_same_whether_fields_were_computed_before(
    text: Callable[[Estimate], str], eager: Estimate, lazy: Estimate
) -> None:
    assert text(lazy) == text(eager)


@pytest.mark.parametrize(
    "copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy, dataclasses.replace]
)
def test_copies_hold_values(copied: Callable[[Estimate], Estimate], eager: Estimate, lazy: Estimate) -> None:
    # a lambda cannot be pickled: what is left to be computed must be computed before
    values = Estimate(**{f.name: getattr(lazy, f.name) for f in dataclasses.fields(lazy)})
    object.__setattr__(values, "residuals", later(lambda: eager.residuals))
    same = copied(values)
    assert type(same) is Estimate
    assert np.array_equal(same.residuals, eager.residuals) and same.data_sha256 == eager.data_sha256


def test_a_summary_needs_no_fingerprint(eager: Estimate) -> None:
    made = Counted(eager.data_sha256)
    estimate = dataclasses.replace(eager, data_sha256=later(made))
    estimate.summary()
    assert made.calls == 0

"""One thread of linear algebra within a block, as many as before after it."""

from __future__ import annotations

import subprocess
import sys
from threading import Barrier, Thread

import pytest
import scipy.linalg  # noqa: F401  # so that its BLAS can be found below
from threadpoolctl import ThreadpoolController

import ivbridge
from ivbridge.engines import native
from ivbridge.threads import one_thread


def used() -> list[int]:
    return [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]


@pytest.fixture
def three() -> list[int]:
    with ThreadpoolController().limit(limits=3, user_api="blas"):
        found = used()
        assert found
        assert set(found) == {3}
        yield found


def test_blocks_within_blocks(three: list[int]) -> None:
    with one_thread():
        with one_thread():
            assert set(used()) == {1}
        assert set(used()) == {1}
    assert used() == three


def test_several_threads_leave_it_as_it_was() -> None:
    before = used()
    inside, left = Barrier(2), Barrier(2)

    def stay() -> None:
        with one_thread():
            inside.wait()
            left.wait()

    thread = Thread(target=stay)
    with one_thread():
        thread.start()
        inside.wait()
    left.wait()
    thread.join()
    assert used() == before


def test_an_error_sets_it_back(three: list[int]) -> None:
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert used() == three


def test_a_fit_uses_one(three: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    numbers = native.diagnostics.numbers
    monkeypatch.setattr(native.diagnostics, "numbers", lambda *given: (seen.extend(used()), numbers(*given))[1])
    data = ivbridge.load("kmenta").frame
    estimate = ivbridge.fit("Q ~ P + D | D + F + A", data, vcov="classical")
    assert set(seen) == {1}
    assert used() == three
    assert estimate.provenance.threads == "1"


def test_importing_ivbridge_looks_for_no_library() -> None:
    code = "import sys, ivbridge; sys.exit('threadpoolctl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

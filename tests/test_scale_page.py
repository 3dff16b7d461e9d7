"""docs/scale.md is what its data say, and its estimate follows the formula on it."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.scripts import script


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_scale.py")


@pytest.fixture(scope="module")
def cluster(page: ModuleType) -> ModuleType:
    found: ModuleType = page.PAGE.part("cluster")
    return found


def test_the_page_is_what_its_data_say(page: ModuleType) -> None:
    assert page.PAGE.render() == page.PAGE.target.read_text(encoding="utf-8"), "run: python docs/make_scale.py"


def numbers(**changes: float) -> dict[tuple[str, int], float]:
    found = {
        "read row": 1e-8, "file row": 64.0, "task": 1e-3,
        "first pass row": 1e-8, "first pass bytes": 1000.0, "first pass join": 0.0,
        "second pass row": 3e-8, "second pass bytes": 1000.0, "second pass join": 0.0,
    }  # fmt: skip
    return {(name.replace("_", " "), 0): value for name, value in (found | changes).items()}


@pytest.mark.parametrize(
    ("changes", "machines", "seconds", "decides"),
    [
        # 6.4 TB at 100 GB/s, and the last 4 million rows of each of 16 cores: 4 GB at 1 GB/s
        ({}, 100, 64 + 4.096, "reading"),
        ({}, 1, 6400 + 4.096, "reading"),
        # 25,000 pieces: 25 s of scheduling, 2.56 s of reading by 2500 machines
        ({}, 2500, 25 + 4.096, "scheduler"),
        # 25,000 pieces / 1600 cores: 16 rounds of 4 million rows at 1.01 µs
        ({"read_row": 1e-6}, 100, 16 * 4.04 + 4.096, "processors"),
        # 25,000 × 10 MB at 1.25 GB/s, and 1 ms each
        ({"first_pass_bytes": 1e7, "first_pass_join": 1e-3}, 100, 200 + 25 + 4.096, "joining"),
    ],
)
def test_the_formula(
    changes: dict[str, float], machines: int, seconds: float, decides: str, cluster: ModuleType
) -> None:
    """By hand."""
    found = numbers(**{key.replace("_", " "): value for key, value in changes.items()})
    first, second = cluster.passes(found, cluster.Cluster(machines=machines), 0, 4e6)
    assert first.seconds == pytest.approx(seconds)
    assert first.decides == decides
    assert second.seconds > 0


@pytest.mark.parametrize(("seconds", "text"), [(7200, "2 h"), (90, "1.5 min"), (89, "89 s"), (0.0125, "12.5 ms")])
def test_times_are_shown_in_a_fitting_unit(seconds: float, text: str, cluster: ModuleType) -> None:
    assert cluster._time(seconds) == text


def test_the_run_on_workers_had_the_same_bits(page: ModuleType) -> None:
    found = page.PAGE.kept("cluster").set_index("name")["value"]
    assert found["run bits"] == 1

"""docs/selection.md is what its data say, the data hold what the page promises, and a fresh run gives the same."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_selection.py")


def test_the_page_is_what_its_data_say(page: ModuleType) -> None:
    assert page.render() == page.TARGET.read_text(encoding="utf-8"), "run: python docs/make_selection.py"


def test_other_data_give_another_page(page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in page.DATA.glob("*.[cj]s*"):
        (tmp_path / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(page, "DATA", tmp_path)
    same = page.render()
    draws = pd.read_csv(tmp_path / "post-b-draws.csv")
    draws.loc[draws["method"] == "plug-in", "coverage"] -= 0.01
    draws.to_csv(tmp_path / "post-b-draws.csv", index=False)
    assert page.render() != same


def test_every_figure_of_the_page_exists(page: ModuleType) -> None:
    text = page.TARGET.read_text(encoding="utf-8")
    named = [part.partition(")")[0] for part in text.split("](")[1:] if part.startswith("selection/")]
    assert len(named) == 4
    assert [name for name in named if not (page.HERE / name).is_file()] == []


def test_the_data_hold_what_the_page_promises(page: ModuleType) -> None:
    from tests.lasso_cases import NAMES, TABLE

    parity = pd.read_csv(page.DATA / "parity.csv")
    assert set(parity["case"]) == set(NAMES)
    assert len(TABLE) == 8
    assert parity["sets"].all()
    assert (parity["index_min"] == parity["native_min"]).all()
    assert (parity["index_1se"] == parity["native_1se"]).all()
    post = page.read_post()
    assert post.engines == ("r", "native")
    assert post.ok
    assert len(post.seeds) == 30
    draws = pd.read_csv(page.DATA / "post-b-draws.csv")
    assert (draws["draws"] >= 500).all()
    assert len(draws) == 10
    assert set(pd.read_csv(page.DATA / "speed.csv")["size"]) == {"S1", "S2", "S3"}


@pytest.mark.slow
def test_a_fresh_run_gives_the_posts_figures_of_the_data(page: ModuleType) -> None:
    assert page.recomputed_differs() == []

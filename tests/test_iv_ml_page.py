"""docs/iv-ml.md is what its data say, and the data hold what the page promises."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from ivbridge import iv_ml
from tests.scripts import script


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_iv_ml.py")


def test_the_page_is_what_its_data_say(page: ModuleType) -> None:
    assert page.render() == page.TARGET.read_text(encoding="utf-8"), "run: python docs/make_iv_ml.py"


def test_other_data_give_another_page(page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = pd.read_parquet(page.DATA / "study.parquet")
    for source in page.DATA.glob("*.svg"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(page, "DATA", tmp_path)
    study.to_parquet(tmp_path / "study.parquet", index=False)
    same = page.render()
    assert same == page.TARGET.read_text(encoding="utf-8")
    study.loc[study["instrument"] == "TrueIV", "value"] += 1
    study.to_parquet(tmp_path / "study.parquet", index=False)
    assert page.render() != same


def test_every_figure_of_the_page_exists(page: ModuleType) -> None:
    named = re.findall(r"\]\((iv_ml/[^)]*)\)", page.TARGET.read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (page.HERE / name).is_file()] == []


def test_every_method_has_advice_and_its_title(page: ModuleType) -> None:
    assert set(page.ADVICE) == set(page.TITLES) & set(iv_ml.METHODS) == set(iv_ml.METHODS)


def test_a_study_is_taken_from_its_folder(page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "docs"
    monkeypatch.setattr(page, "DATA", kept)
    source = tmp_path / "study"
    source.mkdir()
    (source / "study.parquet").write_bytes(b"numbers")
    (source / "figure-4.svg").write_text("<svg/>")
    page.taken(source)
    assert sorted(path.name for path in kept.iterdir()) == ["figure-4.svg", "study.parquet"]


def test_the_speed_table_has_everybody(page: ModuleType) -> None:
    found = pd.read_csv(page.SPEED)
    assert {"poly2sls", "kernel_iv", "meta_em", "large"} <= set(found["question"])
    assert (found["cpu"] > 0).all()
    assert found.loc[found["question"] == "large", "peak_mb"].max() < 4000  # what the page promises: 4 GB
    assert set(found["who"]) > {"ours", "scikit-learn"}

"""R's recorded answers: what is kept, found, refused, and recomputed by R alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import ivbridge
from ivbridge import place, references, references_data, references_replay
from ivbridge.api import design_for
from ivbridge.cli import app
from ivbridge.design import Design
from ivbridge.engines.r import REngine
from ivbridge.errors import (
    DataError,
    EditedReferenceError,
    ReferenceNotFoundError,
    RNotAvailableError,
    StaleReferenceError,
)
from ivbridge.references import BUNDLED, Reference, load_reference, record, references_from
from ivbridge.references_export import beside, read_exported
from ivbridge.references_file import _digest, _lines, _ranges, _rows
from ivbridge.references_verify import data_of, export, verify
from ivbridge.resources import scripts_dir
from tests.cases import CASES, FEW_VCOVS, VCOVS, Case, frame
from tests.published import RESULTS

DATA = frame()
FORMULA = "y ~ x1 + x2 + category | category + z1 + z2 + z3"
ASKED = ["classical", "HC1", "cluster(g, h)"]
#: Every kind of question that a reference has to carry: factors, missing values, weights, one that R answers by itself.
FEW = [case for case in CASES if case.name in ("missing weights", "ordered categories and booleans", "offset, weights")]


def replayed(path: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """replay.R, which knows nothing of Python."""
    script = scripts_dir() / "replay.R"
    return subprocess.run(
        ["Rscript", "--vanilla", script, path, *arguments], capture_output=True, text=True, check=False
    )


def question(formula: str, data: pd.DataFrame, vcov: str = "HC1", **options: Any) -> Design:
    return design_for(formula, data, [vcov], **options)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A reference with a factor, two endogenous regressors and three vcovs."""
    return record(FORMULA, DATA, ASKED, tmp_path_factory.mktemp("kept") / "rich.json")


@pytest.fixture
def rich(kept: Reference, tmp_path: Path) -> Reference:
    """A copy that a test may spoil."""
    assert kept.path
    return load_reference(shutil.copy(kept.path, tmp_path / "rich.json"))


def spoiled(reference: Reference, change: Callable[[Any], object], *, forged: bool = False) -> Path:
    """Change the tree of a file; a forger also computes the digest again."""
    assert reference.path
    tree = json.loads(reference.path.read_text(encoding="utf-8"))
    change(tree)
    if forged:
        tree["digest"] = _digest({key: item for key, item in tree.items() if key != "digest"})
    reference.path.write_text(_lines(tree), encoding="utf-8")
    return reference.path


# ---- record and replay -------------------------------------------------------------------------------------------


def check_round_trip(case: Case, vcovs: tuple[str, ...], path: Path) -> None:
    record(case.formula, DATA, vcovs, path, **case.options)
    with references_from(path):
        same = ivbridge.crosscheck(case.formula, DATA, vcovs, ("r", "recorded"), **case.options)
        native = ivbridge.crosscheck(case.formula, DATA, vcovs, ("recorded", "native"), **case.options)
    assert same.verdict == "identical", same.summary()
    assert native.ok, native.summary()
    assert not same.skipped and not native.skipped


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.name)
def test_what_is_replayed_are_r_s_bits(case: Case, tmp_path: Path) -> None:
    check_round_trip(case, FEW_VCOVS, tmp_path / "case.json")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_question_can_be_recorded_and_recomputed_by_r_alone(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    check_round_trip(case, FEW_VCOVS, path)
    export(load_reference(path), DATA)
    done = replayed(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same bits") == len(FEW_VCOVS)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["2sls", "liml", "fuller(1)"])
def test_every_vcov_can_be_recorded_and_recomputed_by_r_alone(method: str, tmp_path: Path) -> None:
    kclass = ("classical", "HC0", "HC1", "cluster(g)", "nw(2, prewhite=0)", "dk(unit, t)", "bekker", "bekker(cse=True)")
    vcovs = VCOVS if method == "2sls" else kclass
    for inference in ("t", "z", "t(7)"):
        path = tmp_path / f"{inference}.json"
        case = Case("", "y ~ x1 + w1 | w1 + z1 + z2", {"method": method, "inference": inference})
        check_round_trip(case, vcovs, path)
        export(load_reference(path), DATA)
        done = replayed(path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_says_everything_that_the_numbers_depend_on(kept: Reference) -> None:
    assert kept.path
    tree = json.loads(kept.path.read_text(encoding="utf-8"))
    live = ivbridge.fit(FORMULA, DATA, "HC1", "r")
    assert tree["question"] == {
        "formula": live.spec.to_r(), "weights": None, "inference": "t", "method": "2sls", "vcovs": ASKED,
    }  # fmt: skip
    assert tree["data"]["rows"] == len(DATA)
    assert set(tree["data"]["columns"]) == {"y", "x1", "x2", "category", "z1", "z2", "z3", "g", "h"}
    recorded = tree["recorded"]
    assert recorded["versions"] == live.provenance.versions and {"R", "AER", "sandwich"} <= set(recorded["versions"])
    assert (recorded["blas"], recorded["platform"]) == (live.provenance.blas, live.provenance.platform)
    assert recorded["rng"] == "Mersenne-Twister, Inversion, Rejection" and recorded["lapack"]
    assert set(recorded["scripts"]) == {"covariance.R", "ivreg.R"}
    assert recorded["script_sha256"] == live.provenance.script_sha256
    assert recorded["on"][:4].isdigit() and recorded["ivbridge"] == ivbridge.__version__
    # the shortest text that reads back to the same double, at most 17 digits
    assert tree["answers"][1]["coefs"]["std_error"] == live.coefs.std_error.tolist()


def test_a_changed_number_is_one_changed_line(kept: Reference, rich: Reference) -> None:
    assert kept.path
    before = kept.path.read_text(encoding="utf-8")
    path = spoiled(rich, lambda tree: tree["answers"][0]["coefs"]["estimate"].__setitem__(0, 1.5))
    after = path.read_text(encoding="utf-8")
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1


def test_the_command_in_a_file_records_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"weights": "population", "inference": "z"}
    first = record(
        "log(packs) ~ log(rprice) | tdiff",
        ivbridge.load("cigarettes_sw"),
        ["HC1", "cluster(state)"],
        "a b.json",
        **options,
    )
    words = shlex.split(first.command)
    assert words[:2] == ["ivbridge", "record"]
    before = json.loads(Path("a b.json").read_text(encoding="utf-8"))
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    after = json.loads(Path("a b.json").read_text(encoding="utf-8"))
    for tree in (before, after):
        del tree["recorded"]["on"], tree["digest"]
    assert before == after


def test_of_large_data_the_residuals_are_rebuilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(references, "MOST_ROWS", 10)
    path = tmp_path / "large.json"
    record("y ~ x1 + w1 | w1 + z1 + z2", DATA, ["HC1"], path, weights="wt")
    assert json.loads(path.read_text(encoding="utf-8"))["model"]["residuals"] == []
    with references_from(path):
        agreement = ivbridge.crosscheck(
            "y ~ x1 + w1 | w1 + z1 + z2", DATA, ["HC1"], ("r", "recorded", "native"), weights="wt"
        )
    assert agreement.ok, agreement.summary()
    assert not agreement.skipped
    assert {"resid", "fitted"} <= {gap.quantity for gap in agreement.gaps}

    def other(tree: Any) -> None:
        tree["model"]["sums"]["fit"]["residuals"][1] += 1e-3

    with pytest.raises(EditedReferenceError):
        load_reference(spoiled(load_reference(path), other, forged=True))


@given(st.sets(st.integers(0, 60), min_size=1))
def test_rows_are_kept_as_ranges(rows: set[int]) -> None:
    positions = np.array(sorted(rows), dtype=np.int64)
    ranges = _ranges(positions)
    np.testing.assert_array_equal(_rows(ranges, 61), positions)
    for wrong in (ranges[::-1] if len(ranges) > 1 else [], [[-1, 3]], [[0, 61]], [[3, 2]], [*ranges, ranges[-1]]):
        with pytest.raises(ValueError, match="rows are not"):
            _rows(wrong, 61)


def test_nothing_is_recorded_without_a_vcov() -> None:
    with pytest.raises(ivbridge.UnsupportedError, match="no vcov"):
        record("y ~ x1 | z1", DATA, [])


# ---- stale -------------------------------------------------------------------------------------------------------


def nudged(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(x1=data.x1.where(data.index != 7, data.x1 * (1 + 1e-15)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nudged, "the values of the column 'x1' changed"),
        (lambda data: data.iloc[:-1], "59 rows instead of 60"),
        (lambda data: data.iloc[::-1].reset_index(drop=True), "the values of the column 'y' changed"),
        (lambda data: data.assign(category=data.category.cat.reorder_categories(list("fzedcba"))), "type or levels"),
        (lambda data: data.assign(category=data.category.cat.as_ordered()), "type or levels"),
        (lambda data: data.assign(z1=data.z1 > 0), "the type or levels of the column 'z1'"),
        (lambda data: data.assign(z3=data.z3.where(data.index != 4)), "the values of the column 'z3'"),
    ],
)
def test_other_data_make_it_stale(change: Callable[[pd.DataFrame], pd.DataFrame], said: str, rich: Reference) -> None:
    with references_from(rich.path or ""), pytest.raises(StaleReferenceError) as caught:
        ivbridge.fit(FORMULA, change(DATA), "HC1", "recorded")
    assert said in str(caught.value)
    assert caught.value.do.endswith(rich.command)


def test_the_same_numbers_in_other_types_are_the_same_data(rich: Reference) -> None:
    same = DATA.assign(h=DATA.h.astype("Int16"), g=DATA.g.astype("category"), other=1.0).set_index("day")
    with references_from(rich.path or ""):
        assert ivbridge.fit(FORMULA, same, "cluster(g, h)", "recorded").n == len(DATA)


def test_another_question_or_vcov_makes_it_stale(rich: Reference) -> None:
    other = FORMULA.replace(" + z3", "")
    with pytest.raises(StaleReferenceError, match="the question is now") as caught:
        references.replay(rich, question(other, DATA))
    assert shlex.quote(question(other, DATA).spec.to_r()) not in rich.command
    assert "ivbridge.record(" in caught.value.do and "z3" not in caught.value.do
    with pytest.raises(StaleReferenceError, match="no answer under HC3") as caught:
        references.replay(rich, question(FORMULA, DATA, "HC3"))
    assert "'cluster(g, h)', 'HC3'" in caught.value.do
    for changed in ({"weights": "wt"}, {"inference": "z"}, {"method": "liml"}):
        with pytest.raises(StaleReferenceError, match="the question is now"):
            references.replay(rich, question(FORMULA, DATA, **changed))


def test_another_script_makes_it_stale(rich: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(scripts_dir(), tmp_path / "r_scripts")
    with (tmp_path / "r_scripts" / "covariance.R").open("a") as script:
        script.write("# changed\n")
    monkeypatch.setattr(references_replay, "scripts_dir", lambda: tmp_path / "r_scripts")
    with references_from(rich.path or ""), pytest.raises(StaleReferenceError, match=r"R script covariance\.R changed"):
        ivbridge.fit(FORMULA, DATA, "HC1", "recorded")


# ---- edited, broken, hostile -------------------------------------------------------------------------------------


@pytest.mark.parametrize("forged", [False, True], ids=["edited", "forged"])
@pytest.mark.parametrize(
    "change",
    [
        lambda answer, model: answer["coefs"]["estimate"].__setitem__(1, answer["coefs"]["estimate"][1] * (1 + 1e-6)),
        lambda answer, model: answer["coefs"]["std_error"].__setitem__(1, answer["coefs"]["std_error"][1] * (1 + 1e-6)),
        lambda answer, model: answer["coefs"]["p_value"].__setitem__(1, answer["coefs"]["p_value"][1] * (1 + 1e-6)),
        lambda answer, model: answer["coefs"]["conf_low"].__setitem__(1, answer["coefs"]["conf_low"][1] + 1e-6),
        lambda answer, model: answer["cov"][0].__setitem__(0, answer["cov"][0][0] * (1 + 1e-6)),
        lambda answer, model: answer["cov"][0].__setitem__(1, answer["cov"][0][1] * 1.001),
        lambda answer, model: answer["tests"]["wu_hausman"].__setitem__("p_value", 0.05),
        lambda answer, model: answer["first_stages"][0].__setitem__("df_resid", 1),
        lambda answer, model: answer.__setitem__("r2_adj", answer["r2_adj"] * (1 + 1e-6)),
        lambda answer, model: model.__setitem__("sigma", model["sigma"] * (1 + 1e-6)),
        lambda answer, model: model.__setitem__("df_resid", model["df_resid"] + 1),
        lambda answer, model: model["residuals"].__setitem__(3, model["residuals"][3] + 1e-6),
        lambda answer, model: model.__setitem__("rows", [[0, 58]]),
        lambda answer, model: model["x_names"].__setitem__(1, "x9"),
    ],
    ids=["estimate", "std_error", "p_value", "conf_low", "variance", "covariance", "test", "stage", "r2_adj", "sigma",
         "df", "residual", "rows", "name"],
)  # fmt: skip
def test_an_edited_number_is_noticed(change: Callable[[Any, Any], object], forged: bool, rich: Reference) -> None:
    """By the digest; and where somebody computed that again, because the numbers contradict each other."""
    path = spoiled(rich, lambda tree: change(tree["answers"][0], tree["model"]), forged=forged)
    with pytest.raises((EditedReferenceError, DataError)) as caught:
        load_reference(path)
    if not forged:
        assert "digest" in str(caught.value) or "no whole reference" in str(caught.value)


def test_every_leaf_of_the_file_is_under_the_digest(rich: Reference) -> None:
    assert rich.path
    text = rich.path.read_text(encoding="utf-8")
    tree = json.loads(text)

    def leaves(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            yield from leaves(item, (*where, key)) if isinstance(item, dict | list) and item else [(*where, key)]

    places = [place for place in leaves(tree) if place != ("digest",)]
    assert len(places) > 1000
    plain = {key: item for key, item in tree.items() if key != "digest"}
    for keys in places[::31]:
        *outer, last = keys
        holder: Any = plain
        for key in outer:
            holder = holder[key]
        before, holder[last] = holder[last], "something else"
        assert _digest(plain) != tree["digest"], keys
        holder[last] = before
    assert _digest(plain) == tree["digest"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", "null", '{"format": "ivbridge-reference/2"}', "[" * 100_000, '{"format": "a", "format": "a"}',
     '{"format": "ivbridge-reference/1"}', "\x00", '{"format": "ivbridge-reference/1", "question": 1}'],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError):
        load_reference(path)
    with references_from(path), pytest.raises(ReferenceNotFoundError, match="could not be read"):
        ivbridge.fit("y ~ x1 | z1", DATA, "HC1", "recorded")


HOSTILE: list[Any] = [
    None,
    True,
    -1,
    1e400,
    "system('touch owned')",
    [],
    {},
    [[]],
    {"type": "Test"},
    "x" * 9000,
    [1, 2],
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.json"
    record("y ~ x1 | z1 + z2", DATA.iloc[:20], ["HC1"], path)
    return path


@pytest.mark.parametrize("key", ["question", "data", "recorded", "model", "answers"])
def test_hostile_values_are_data(key: str, tiny: Path, tmp_path: Path) -> None:
    """Whatever stands in a field, the file is refused or read as it was; nothing else happens."""
    path = tmp_path / "hostile.json"
    tree = json.loads(tiny.read_text(encoding="utf-8"))
    part = tree[key] if isinstance(tree[key], dict) else tree[key][0]
    for name, before in part.items():
        for value in HOSTILE:
            if value != before:
                part[name] = value
                path.write_text(json.dumps(tree), encoding="utf-8")
                with pytest.raises((DataError, EditedReferenceError)):
                    load_reference(path)
        part[name] = before
    assert [found.name for found in tmp_path.iterdir()] == ["hostile.json"]


def test_a_formula_in_a_file_is_never_code(rich: Reference) -> None:
    path = spoiled(rich, lambda tree: tree["question"].update(formula='y ~ system("touch owned")'), forged=True)
    with pytest.raises(DataError, match="system"):
        load_reference(path)
    export(record("y ~ x1 | z1", DATA, ["HC1"], path), DATA)
    spoiled(load_reference(path), lambda tree: tree["question"].update(formula='y ~ I(system("touch owned")) | z1'))
    done = replayed(path)
    assert done.returncode == 2 and "not allowed" in done.stderr
    assert not list(path.parent.glob("owned*"))


def test_a_file_is_written_whole_or_not_at_all(rich: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rich.path
    before = rich.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place.os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        rich.write(rich.path)
    assert rich.path.read_bytes() == before
    assert [path.name for path in rich.path.parent.iterdir()] == ["rich.json"]
    with pytest.raises(DataError, match="cannot be written"):
        rich.write("/proc/no/such/place.json")


# ---- where references are looked for -----------------------------------------------------------------------------


def test_the_reference_with_these_data_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = DATA.iloc[:30]
    for name, data in (("a", DATA), ("b", half)):
        record("y ~ x1 | z1", data, ["HC1"], tmp_path / f"{name}.json")
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.setenv("IVBRIDGE_REFERENCES", os.pathsep.join([str(tmp_path / "none"), str(tmp_path)]))
    for data in (DATA, half):
        assert ivbridge.fit("y ~ x1 | z1", data, "HC1", "recorded").n == len(data)
    with pytest.raises(StaleReferenceError, match=r"a\.json"):
        ivbridge.fit("y ~ x1 | z1", DATA.iloc[:20], "HC1", "recorded")
    with pytest.raises(ReferenceNotFoundError, match=r"broken\.json") as caught:
        ivbridge.fit("y ~ x1 | z2", DATA, "HC1", "recorded")
    assert f"if the question of {tmp_path / 'a.json'}, y ~ x1 | z1, changed, record it again" in caught.value.do
    assert f"ivbridge.record('y ~ x1 | z2', data, ['HC1'], '{tmp_path / 'a.json'}')" in caught.value.do
    with pytest.raises(ReferenceNotFoundError, match=r"a\.json lacks this vcov.*\['HC1', 'HC3'\]"):
        ivbridge.fit("y ~ x1 | z1", DATA, "HC3", "recorded")
    with pytest.raises(ReferenceNotFoundError) as caught:
        ivbridge.fit("w1 ~ x1 | z2", DATA, "HC1", "recorded")
    assert caught.value.do.endswith("ivbridge record 'w1 ~ x1 | z2' --data DATA --vcov HC1 --out FILE.json")
    monkeypatch.delenv("IVBRIDGE_REFERENCES")
    with pytest.raises(ReferenceNotFoundError):
        ivbridge.fit("y ~ x1 | z1", DATA, "HC1", "recorded")


def test_a_changed_file_is_read_again(rich: Reference) -> None:
    with references_from(rich.path or ""):
        ivbridge.fit(FORMULA, DATA, "HC1", "recorded")
        spoiled(rich, lambda tree: tree["answers"][0].update(kappa=2.0))
        with pytest.raises(EditedReferenceError):
            ivbridge.fit(FORMULA, DATA, "HC1", "recorded")


def test_columns_that_r_did_not_have_are_not_comparable(rich: Reference) -> None:
    """Both sides would share the design's matrices, so these are checked against sums of R's."""
    design = question(FORMULA, DATA)
    one, two = (design.x_names.index(name) for name in ("x1", "x2"))
    swapped = design.x.copy()
    swapped[:, [one, two]] = design.x[:, [two, one]]
    wrong = dataclasses.replace(design, x=swapped)
    answer = references.replay(rich, wrong)
    assert not answer.seen.has_matrices
    assert "x1, x2 are not those that R had" in answer.warnings[-1]
    native = ivbridge.engines.engine("native").fit(wrong)
    assert ivbridge.agree(answer, native).verdict == "not comparable"
    fewer = dataclasses.replace(design, z=design.z[:, :-1], z_names=design.z_names[:-1])
    answer = references.replay(rich, fewer)
    assert ivbridge.agree(answer, ivbridge.engines.engine("native").fit(fewer)).verdict == "not comparable"
    permuted = dataclasses.replace(design, z=design.z[::-1])
    assert references_data.other_columns(rich.sums, permuted)


# ---- R alone -----------------------------------------------------------------------------------------------------


def awkward() -> pd.DataFrame:
    """Columns whose values a csv likes to change."""
    rng = np.random.default_rng(1)
    data = frame(60)[["y", "x1", "z1", "z2", "wt"]].copy()
    data["y"] = data.y / 3 + rng.normal(size=60) * 1e-3
    data["f"] = pd.Categorical(rng.choice(['a,"b"', "NA", "two\nlines", "ü", " x "], 60))
    data.loc[5, "f"] = None
    data["whole"] = rng.integers(0, 3, 60) * 100_000
    data["flag"] = pd.array(rng.choice([True, False], 60), dtype="boolean")
    data.loc[6, "flag"] = pd.NA
    data.loc[[1, 2], ["z2", "x1"]] = [[np.nan, 1e-310], [0.1 + 0.2, -1 / 3]]
    return data


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alone") / "alone.json"
    formula = "y ~ x1 + f + factor(whole) + flag | f + factor(whole) + flag + z1 + z2"
    export(record(formula, awkward(), ["classical", "HC3", "cluster(whole)"], path, weights="wt"), awkward())
    return path


def test_exported_data_are_the_same_bits(alone: Path) -> None:
    reference = load_reference(alone)
    back = read_exported(beside(alone), reference.data)
    with references_from(alone):
        agreement = ivbridge.crosscheck(reference.spec, back, reference.vcovs, ("recorded", "native"))
    assert agreement.ok, agreement.summary()
    (found,) = verify([alone])
    assert found.verdict == "identical", found.lines()


def test_r_alone_gives_the_same_bits(alone: Path) -> None:
    done = replayed(alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same bits") == 3
    assert done.stdout.endswith("AGREES\n")


def test_r_alone_notices_one_part_per_million(alone: Path, tmp_path: Path) -> None:
    places = {
        "estimate": ("answers", 1, "coefs", "estimate", 2),
        "cov": ("answers", 1, "cov", 0, 2),  # above the diagonal
        "first stage std.error": ("answers", 1, "first_stages", 0, "coefs", "std_error", 0),
        "test statistic": ("answers", 1, "tests", "sargan", "statistic"),
        "fitted": ("model", "fitted", 7),
    }
    path = Path(shutil.copy(alone, tmp_path / "alone.json"))

    def change(tree: Any) -> None:
        for *outer, last in places.values():
            holder = tree
            for key in outer:
                holder = holder[key]
            holder[last] *= 1 + 1e-6

    spoiled(dataclasses.replace(load_reference(path), path=path), change)
    done = replayed(path, beside(alone))
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.endswith("DIFFERS\n") and f"HC3: DIFFERS in {len(places)} of" in done.stdout
    assert all(f" {name}: recorded" in done.stdout for name in places), done.stdout


def test_r_alone_notices_other_data(alone: Path, tmp_path: Path) -> None:
    lines = beside(alone).read_text(encoding="utf-8").splitlines(keepends=True)
    csv = tmp_path / "alone.csv"
    csv.write_text("".join([lines[0], *lines[2:], lines[1]]), encoding="utf-8")
    done = replayed(alone, csv)
    assert done.returncode == 1 and "R sees other" in done.stdout


@pytest.mark.slow
def test_r_alone_allows_what_rounding_does(alone: Path, tmp_path: Path) -> None:
    """Another BLAS changes last digits: OpenBLAS left 9.7 to 14.3 digits of the references of the package."""
    path = Path(shutil.copy(alone, tmp_path / "alone.json"))

    def change(tree: Any) -> None:
        tree["answers"][1]["coefs"]["estimate"][1] *= 1 + 1e-14

    spoiled(dataclasses.replace(load_reference(path), path=path), change)
    done = replayed(path, beside(alone))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same bits") == 2 and "digits or more" in done.stdout


@pytest.mark.slow
def test_r_alone_says_why_it_cannot_run(alone: Path, tmp_path: Path) -> None:
    csv = tmp_path / "alone.csv"
    csv.write_text(beside(alone).read_text(encoding="utf-8").rpartition("\n")[0].rpartition("\n")[0], encoding="utf-8")
    assert replayed(alone, csv).returncode == 2
    done = replayed(alone, tmp_path / "none.csv")
    assert done.returncode == 2 and "ivbridge record --export" in done.stderr
    assert replayed(csv).returncode == 2


# ---- verify ------------------------------------------------------------------------------------------------------


def test_verify_says_what_moved(kept: Reference, rich: Reference, tmp_path: Path) -> None:
    assert rich.path and kept.path
    old = dataclasses.replace(
        rich,
        answers={
            vcov: dataclasses.replace(
                answer,
                provenance=dataclasses.replace(
                    answer.provenance, versions={**answer.provenance.versions, "AER": "1.2.9"}
                ),
            )
            for vcov, answer in rich.answers.items()
        },
        scripts={**rich.scripts, "ivreg.R": "0" * 64},
    )
    old.write(tmp_path / "old.json")
    spoiled(rich, lambda tree: tree["answers"][0].update(r2=0.5))
    found = verify([kept.path, tmp_path], DATA)
    assert [one.verdict for one in found] == ["identical", "stale", "edited"]
    assert any("AER 1.2.9 → " in line for line in found[1].lines())
    assert "R script ivreg.R changed" in found[1].problem and found[1].agreement and found[1].agreement.ok
    (unknown,) = verify([kept.path])
    assert unknown.verdict == "could not run" and "data frame in memory" in unknown.problem


def test_verify_says_which_numbers_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "demand.json"
    record("Q ~ P + D | D + F", ivbridge.load("kmenta"), ["HC1"], path)
    fit = REngine.fit

    def later(engine: REngine, design: Design) -> ivbridge.Estimate:
        """An R whose standard errors are one part per million larger."""
        found = fit(engine, design)
        errors = found.coefs.std_error * (1 + 1e-6)
        coefs = dataclasses.replace(found.coefs, std_error=errors, statistic=found.coefs.estimate / errors)
        return dataclasses.replace(found, cov=found.cov * (1 + 1e-6) ** 2, coefs=coefs)

    monkeypatch.setattr(REngine, "fit", later)
    code, out, _ = invoke("record", "--verify", str(path))
    assert code == 1
    assert "demand.json: substantive" in out and "0 of 1 references agree" in out
    assert "std.error of " in out and ": recorded (R " in out and "6.0 digits" in out


# ---- the command line --------------------------------------------------------------------------------------------

KMENTA = ("Q ~ P + D | D + F + A", "--data", "kmenta")


def invoke(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.stdout.split()), done.stderr


@pytest.fixture
def no_r(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where R is not installed; test_packaging.py takes it off the path of a process."""

    def fit(*_: object) -> None:
        raise RNotAvailableError("R was not found.", do="run `ivbridge setup-r`.")

    monkeypatch.setattr(REngine, "fit", fit)


@pytest.mark.usefixtures("no_r")
def test_a_check_without_r_says_that_the_answers_are_recorded() -> None:
    code, out, err = invoke("check", *KMENTA)
    assert code == 0, err
    reference = load_reference(BUNDLED / "kmenta_demand.json")
    versions, day = reference.provenance.versions, reference.provenance.recorded_on[:10]
    assert f"R was not asked: its answers are recorded ones of {day} (R {versions['R']}, AER {versions['AER']}" in out
    code, out, err = invoke("check", *KMENTA, "--json", "--strict")
    assert code == 0, err
    assert json.loads(out)["engines"] == [reference.label, "native"]


@pytest.mark.usefixtures("no_r")
def test_without_r_what_was_not_recorded_could_not_run() -> None:
    code, out, err = invoke("check", "Q ~ P + D | D + F", "--data", "kmenta", "--vcov", "HC1")
    assert (code, out) == (2, "")
    assert "R was not found" in err and "no recorded answer" in err
    assert "ivbridge record 'Q ~ D + P | D + F' --data kmenta --vcov HC1 --out references/NAME.json" in err
    code, out, err = invoke("check", *KMENTA, "--engine", "r", "--engine", "native")
    assert (code, out) == (2, "")


def test_record_verify_and_check_a_file_of_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("questions.toml").write_text(
        '[[question]]\nname = "Demand, small"\nformula = "Q ~ P + D | D + F"\ndata = "kmenta"\nvcov = ["HC1"]\n'
    )
    assert invoke("record", "questions.toml", "--out", "kept", "--export")[0] == 0
    path = Path("kept") / "demand-small.json"
    assert {found.name for found in path.parent.iterdir()} == {path.name, beside(path).name}
    assert invoke("record", "--verify", "kept")[0] == 0
    beside(path).unlink()
    assert invoke("record", "--export", str(path))[0] == 0 and beside(path).is_file()
    request.getfixturevalue("no_r")
    monkeypatch.setenv("IVBRIDGE_REFERENCES", "kept")
    code, out, err = invoke("check", "questions.toml")
    assert code == 0 and "R was not asked" in out, err
    spoiled(load_reference(path), lambda tree: tree["model"].update(sigma=1.0))
    code, out, _ = invoke("record", "--verify", "kept")
    assert code == 1 and "edited" in out and "0 of 1 references agree" in out
    code, out, err = invoke("check", "questions.toml")
    assert code == 2 and "changed by hand" in err


@pytest.mark.parametrize(
    "arguments",
    [["y ~ x | z"], ["y ~ x | z", "--out", "a.json"], ["a", "b", "--out", "c.json"], ["--export"], ["--verify", "none"],
     ["--verify", "a.json", "--data", "kmenta"]],
)  # fmt: skip
def test_what_record_does_not_understand(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("record", *arguments)[0] == 2
    assert list(tmp_path.iterdir()) == []


# ---- the references of the package -------------------------------------------------------------------------------

SHIPPED = sorted(BUNDLED.glob("*.json"))


def test_the_gallery_is_shipped_and_small() -> None:
    names = {path.stem for path in SHIPPED}
    assert set(RESULTS) - names == {"ak_one_instrument"}  # of a prepared column of 329509 rows
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 2_000_000
    assert not [path for path in BUNDLED.glob("*.csv") if not path.with_suffix(".json").exists()]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_reference_is_fresh_and_native_agrees(path: Path) -> None:
    """If a script changed, record them again: python docs/make_references.py."""
    reference = load_reference(path)
    assert reference.scripts == references.script_hashes(reference.spec)
    if reference.data.rows <= 20_000:
        with references_from(path):
            agreement = ivbridge.crosscheck(reference.spec, data_of(reference), reference.vcovs, ("recorded", "native"))
        assert agreement.ok, agreement.summary()
        assert not agreement.skipped


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_r_still_gives_what_is_shipped(path: Path) -> None:
    (found,) = verify([path])
    assert found.ok, found.lines()


def test_where_there_is_no_reference_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for option in ("--verify", "--export"):
        code, out, _ = invoke("record", option, str(tmp_path))
        assert code == 2 and f"there is no reference (*.json) in {tmp_path}" in out
    done = replayed(tmp_path / "none.json")
    assert (done.returncode, done.stderr) == (2, f"replay.R: there is no file {tmp_path / 'none.json'}\n")
    monkeypatch.setenv("IVBRIDGE_REFERENCES", str(tmp_path / "typo"))
    with pytest.raises(ReferenceNotFoundError, match=r"typo \(does not exist\), "):
        references.find_reference(question(FORMULA, DATA.iloc[:50]))


def test_r_alone_names_numbers_of_few_digits(alone: Path) -> None:
    """An edited file may ask for no digits; replay.R, which does not check the digest, must not say just "agrees"."""
    tree = json.loads(alone.read_text(encoding="utf-8"))
    answer = tree["answers"][0]
    answer["coefs"]["estimate"][0] *= 1.01
    answer["digits"]["estimate"] = [0.0]
    edited = alone.with_name("edited.json")
    edited.write_text(json.dumps(tree), encoding="utf-8")
    done = replayed(edited, alone.with_suffix(".csv"))
    assert "1 of them fewer than 6 digits, which the file calls rounding" in done.stdout, done.stdout + done.stderr

"""The study of the paper's tables: every printed cell, what a verdict means, nothing lost when it is stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ivbridge import iv_ml
from ivbridge.cli import app
from ivbridge.errors import DataError, EngineError, UnsupportedError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.paper import answering, figures, publishing, tables
from ivbridge.iv_ml.paper.answering import Fitting, Making, answer
from ivbridge.iv_ml.paper.cells import CELLS, cells
from ivbridge.iv_ml.paper.parts import INSTRUMENTS, METHODS, draw, regression, world
from ivbridge.iv_ml.paper.plans import figure_parts, quick_parts, table_parts
from ivbridge.iv_ml.paper.publishing import Asked
from ivbridge.iv_ml.paper.reasons import REASONS, has_to_come_out
from ivbridge.iv_ml.paper.running import Part, kept, run
from ivbridge.iv_ml.paper.verdicts import goals, judged, means
from ivbridge.records import FloatArray

STANDIN = world("Stand-in")
PART = Part(STANDIN, ("NoneIV", "GIV_KM*", "TrueIV"), ("poly2sls",))


def rows(instrument: str, method: str, values: Sequence[float], **more: Any) -> list[dict[str, Any]]:
    base = {"world": "Linear-3-3", "reading": "code", "quantity": "mse", "groups": None, "at": math.nan, "note": ""}
    return [
        base | {"instrument": instrument, "method": method, "replication": i, "value": value, "seconds": 1.0} | more
        for i, value in enumerate(values, start=1)
    ]


def table(*parts: list[dict[str, Any]]) -> pd.DataFrame:
    found = pd.DataFrame([row for part in parts for row in part])
    return found.astype({"groups": "Int64", "value": "float64"})


def around(mean: float, sd: float, count: int = 10) -> list[float]:
    """Values with exactly this mean and standard deviation."""
    values = np.arange(count) - (count - 1) / 2
    return list(mean + sd * values / values.std(ddof=1))


def verdict(instrument: str, method: str, values: Sequence[float]) -> tuple[str, float]:
    found = judged(table(rows(instrument, method, values)), "1")
    assert len(found) == 1
    return str(found["verdict"][0]), float(found["allowed"][0])


def test_every_printed_cell_is_there() -> None:
    """Tables 1 (9 × 9), 2 (3 × 5), 3 (8 × 8 and four accuracies); what is known of 4 and 5."""
    assert {which: len(cells(which)) for which in "12345"} == {"1": 81, "2": 15, "3": 68, "4": 10, "5": 16}
    assert len({(c.table, c.world, c.instrument, c.method, c.quantity) for c in CELLS}) == len(CELLS)
    found = {(c.table, c.world, c.instrument, c.method): c for c in CELLS}
    nn = found["1", "Linear-3-3", "NoneIV", "nn2sls"]
    assert (nn.mean, nn.sd, nn.half_unit, nn.source) == (1.90, 1.25, 0.005, "paper, Table 1")
    assert math.isinf(found["1", "Linear-3-3", "AutoIV", "poly2sls"].mean)
    assert found["3", "PM-CMR", "TrueIV", "agmm"].text == "0.05(0.02)"
    assert found["2", "Abs-2-5", "Fun-EM", ""].mean == 96.5
    five = found["4", "Linear-5-5", "TrueIV", "poly2sls"]
    assert (five.sd, five.half_unit, five.source) == (0.144, 0.0005, "supplement, Table 4")
    assert found["3", "IHDP", "GIV_EM", ""].source == "paper, text beside Table 3"


@pytest.mark.parametrize("which", "12345")
def test_the_study_computes_every_printed_cell(which: str) -> None:
    planned = {
        (part.world.name, row, method)
        for part in table_parts(which)
        if part.world.reading == "code"
        for row in part.instruments
        for method in (*part.methods, "")
    }
    assert {(c.world, c.instrument, c.method) for c in cells(which)} <= planned
    assert {row for _, row, _ in planned} <= INSTRUMENTS.keys()


def test_reproduced_means_two_standard_errors_and_the_rounding() -> None:
    """KernelIV × TrueIV is 0.11(0.02): ours with sd .03 may be 2·sqrt((.025² + .03²)/10) + .005 away."""
    allowed = 2 * math.sqrt((0.025**2 + 0.03**2) / 10) + 0.005
    assert verdict("TrueIV", "kernel_iv", around(0.11 + 0.999 * allowed, 0.03)) == (
        "reproduced",
        pytest.approx(allowed, abs=1e-12),  # rounding of the constructed values
    )
    assert verdict("TrueIV", "kernel_iv", around(0.11 + 1.001 * allowed, 0.03))[0] == "worse"
    assert verdict("TrueIV", "kernel_iv", around(0.11 - 0.999 * allowed, 0.03))[0] == "reproduced"
    assert verdict("TrueIV", "kernel_iv", around(0.11 - 1.001 * allowed, 0.03))[0] == "better"


def test_where_no_spread_is_printed_ours_stands_for_it() -> None:
    """Table 4, Linear-3-5 × TrueIV: 0.044."""
    found = judged(table(rows("TrueIV", "poly2sls", around(0.05, 0.006), world="Linear-3-5")), "4")
    # 2·sqrt(2·.006²/10) + .0005; rounding of the constructed values
    assert found["allowed"][0] == pytest.approx(2 * math.sqrt(2 * 0.006**2 / 10) + 0.0005, abs=1e-12)
    assert found["verdict"][0] == "worse"


def test_a_known_reason_counts_only_where_a_cell_does_not_come_out() -> None:
    assert verdict("TrueIV", "dual_iv", around(1.93, 0.3))[0] == "reproduced"
    assert verdict("TrueIV", "dual_iv", around(0.2, 0.3))[0] == "better"
    assert judged(table(rows("TrueIV", "dual_iv", around(1.93, 0.3))), "1")["reason"][0] == ""
    found = judged(table(rows("TrueIV", "dual_iv", around(4.0, 0.3))), "1")
    assert found["verdict"][0] == "not reproducible"
    assert found["reason"][0] in {reason.text for reason in REASONS}


def test_what_is_too_noisy_is_not_called_reproduced() -> None:
    """KernelIV × TrueIV is 0.11(0.02): with sd .15, 2·sqrt((.025² + .15²)/10) + .005 = .101 decides; sd .2 does not."""
    assert verdict("TrueIV", "kernel_iv", around(0.15, 0.15))[0] == "reproduced"
    assert verdict("TrueIV", "kernel_iv", around(0.15, 0.20))[0] == "too noisy"
    assert verdict("TrueIV", "kernel_iv", around(0.11, 0.20))[0] == "too noisy"
    assert verdict("TrueIV", "kernel_iv", around(0.90, 0.20))[0] == "worse"
    about = {"world": "IHDP", "groups": 2}
    for sd, said in (
        (5.0, "reproduced"),
        (15.0, "too noisy"),
    ):  # 93.47 is an error of 6.53; 2·sqrt(2·sd²/10): 4.5, 13.4
        accuracy = rows("GIV_EM", "", around(91, sd), quantity="accuracy", **about)
        found = judged(table(accuracy, rows("GIV_EM", "", [2.0] * 10, quantity="groups", **about)), "3")
        assert found["verdict"].tolist() == [said]


def test_no_reason_makes_up_for_a_worse_cell_of_the_papers_own_method() -> None:
    """Every cell of GIV_EM and TrueIV in Tables 1, 3, 4 (and 5, which is 3 again) but DualIV's and DFIV's."""
    owed = [cell for cell in CELLS if cell.table != "2" and cell.instrument in ("GIV_EM", "TrueIV") and cell.method]
    assert {cell.method for cell in owed if not has_to_come_out(cell)} == {"dual_iv", "dfiv"}
    assert len([cell for cell in owed if has_to_come_out(cell)]) == 14 + 16 + 6 + 8
    found = judged(table(rows("GIV_EM", "poly2sls", around(0.5, 0.01), world="IHDP")), "3")
    assert found["verdict"].tolist() == ["worse"]
    assert "finds no groups" in found["reason"][0]


def test_every_reason_is_about_printed_cells() -> None:
    assert [reason.text for reason in REASONS if not any(reason.fits(cell) for cell in CELLS)] == []
    explained = [cell for cell in CELLS if cell.instrument == "TrueIV" and any(reason.fits(cell) for reason in REASONS)]
    assert {cell.method for cell in explained} == {"dual_iv", "dfiv"}  # elsewhere the true label has no excuse


def test_a_bound_is_reproduced_above_it() -> None:
    assert verdict("AutoIV", "poly2sls", [150.0, 170.0])[0] == "reproduced"
    assert verdict("AutoIV", "poly2sls", [0.3, 0.4])[0] == "better"


def test_a_cell_without_a_value_is_not_reproduced() -> None:
    found = judged(table(rows("TrueIV", "agmm", [math.nan, math.nan])), "1")
    assert found["verdict"][0] == "worse"
    assert found["count"][0] == 0


def test_accuracies_are_judged_by_the_oracle() -> None:
    def groups(name: str, value: float, place: str = "Linear-2-5") -> list[dict[str, Any]]:
        about = {"world": place, "groups": 2}
        found = rows(name, "", around(value, 0.5), quantity="accuracy", **about)
        return found + rows(name, "", [2.0] * 10, quantity="groups", **about)

    printed = table(groups("EM", 92.5), groups("Meta-EM", 86.2), groups("Fun-EM", 80.0), groups("Oracle", 94.0))
    found = judged(printed, "2").set_index("instrument")["verdict"]  # each printed 86.1
    assert found.to_dict() == {"EM": "better", "Meta-EM": "reproduced", "Fun-EM": "worse"}
    printed = table(
        groups("Fun-EM", 92.5, "Poly-2-5"), groups("Oracle", 94.0, "Poly-2-5"), groups("EM", 60.0, "Poly-2-5"),
        groups("Fun-EM", 94.1, "Abs-2-5"), groups("Oracle", 96.2, "Abs-2-5"),
    )  # fmt: skip
    found = judged(printed, "2").set_index(["instrument", "world"])["verdict"]  # printed 98.1, 82.9, 96.5
    assert found.to_dict() == {
        ("EM", "Poly-2-5"): "not reproducible", ("Fun-EM", "Poly-2-5"): "reproduced", ("Fun-EM", "Abs-2-5"): "worse"
    }  # fmt: skip
    reached = goals(table(groups("Meta-EM (default)", 91.9), groups("Oracle", 94.0)))
    assert reached["value"][0] == pytest.approx(2.1, abs=1e-9)  # rounding of the constructed values
    assert not reached["met"][0]


def test_accuracies_are_those_of_the_number_of_groups_that_was_taken() -> None:
    about = {"quantity": "accuracy", "world": "IHDP"}
    found = means(
        table(
            rows("GIV_EM", "", [60.0, 62.0], groups=3, **about),
            rows("GIV_EM", "", [90.0, 92.0], groups=2, **about),
            rows("GIV_EM", "", [2.0, 2.0], quantity="groups", groups=2, world="IHDP"),
        )
    )
    assert found[found["taken"] & found["quantity"].eq("accuracy")]["mean"].tolist() == [91.0]
    assert found[~found["taken"]]["mean"].tolist() == [61.0]


def test_goals_are_ratios_to_the_true_label() -> None:
    found = goals(
        table(
            rows("TrueIV", "kernel_iv", [0.1, 0.1]), rows("NoneIV", "kernel_iv", [0.2, 0.22]),
            rows("GIV_EM", "kernel_iv", [0.11, 0.13]), rows("TrueIV", "agmm", [0.1, 0.1]),
            rows("NoneIV", "agmm", [0.2, 0.22]), rows("GIV_EM (default)", "agmm", [0.1, 0.12]),
            # one replication is a drawing's, no mean
            rows("TrueIV", "agmm", [0.1], world="Poly-3-3"), rows("NoneIV", "agmm", [0.2], world="Poly-3-3"),
        )
    ).set_index(["method", "goal"])  # fmt: skip
    assert set(found["world"]) == {"Linear-3-3"}
    assert found["met"].to_dict() == {
        ("kernel_iv", "NoneIV / TrueIV"): True, ("kernel_iv", "GIV_EM / TrueIV"): False,
        ("agmm", "NoneIV / TrueIV"): False, ("agmm", "GIV_EM (default) / TrueIV"): True,
    }  # fmt: skip


def test_methods_run_as_the_papers_program_runs_them() -> None:
    for name in METHODS:
        made = regression(name, 5)
        assert not made.standardize
        assert getattr(made, "stopping", None) is None
    assert getattr(regression("deep_iv", 5), "components", 0) == 5
    assert [name for name, one in METHODS.items() if not one.kind] == [
        c.method for c in cells("1") if c.instrument == "TrueIV"
    ]


def test_an_answer_is_the_error_against_the_truth_on_the_test_sample(tmp_path: Path) -> None:
    making = Making(STANDIN, INSTRUMENTS["TrueIV (one-hot)"], (1, 2), tmp_path)
    about = answer(making)
    assert [row["value"] for row in about if row["quantity"] == "accuracy"] == [100.0, 100.0]
    found = [row["value"] for row in answer(Fitting(making, "poly2sls")) if row["quantity"] == "mse"]
    for value, seed in zip(found, (1, 2), strict=True):
        one = draw(STANDIN, seed)
        onehot = (one.train.labels[:, None] == np.arange(2)).astype(float)
        curve = iv_ml.method_class("poly2sls")(standardize=False).fit(one.train.data.with_instruments(onehot), seed)
        y, t, x, _ = one.test.data.arrays
        assert value == pytest.approx(np.mean((curve.predict(t, x) - one.test.truth) ** 2), rel=1e-12)  # other order
        assert value < np.mean((y - one.test.truth) ** 2)


def test_a_curve_for_a_figure_has_the_mean_of_the_truth(tmp_path: Path) -> None:
    making = Making(STANDIN, INSTRUMENTS["TrueIV"], (1,), tmp_path)
    points = [row for row in answer(Fitting(making, "poly2sls")) if row["quantity"] == "curve"]
    truth = np.sort(draw(STANDIN, 1).test.truth)
    assert [row["at"] for row in points] == pytest.approx([part.mean() for part in np.array_split(truth, 40)])


def test_instruments_that_are_gone_are_made_again(tmp_path: Path) -> None:
    making = Making(STANDIN, INSTRUMENTS["GIV_KM*"], (1, 2), tmp_path)
    answer(making)
    first = [row["value"] for row in answer(Fitting(making, "poly2sls"))]
    making.path.write_bytes(making.path.read_bytes()[:100])
    assert [row["value"] for row in answer(Fitting(making, "poly2sls"))] == first
    making.path.unlink()
    assert [row["value"] for row in answer(Fitting(making, "poly2sls"))] == first


def test_instruments_of_different_rows_and_worlds_have_files_of_their_own() -> None:
    places = (STANDIN, world("Linear-3-3"), world("Linear-3-3", "paper"), world("Linear-3-10"))
    found = {Making(place, row, (1,), Path("x")).path for place in places for row in INSTRUMENTS.values()}
    assert len(found) == len(places) * len(INSTRUMENTS)


class Unsteady:
    """A method whose training diverges for seed 2."""

    def fit_many(self, data: Sequence[IVData], seeds: Sequence[int]) -> list[Any]:
        return [self.fit(one, seed) for one, seed in zip(data, seeds, strict=True)]

    def fit(self, data: IVData, seed: int) -> Any:
        if seed == 2:
            raise EngineError("The loss is not finite.")
        return regression("poly2sls", 2).fit(data, seed)


def test_a_replication_that_diverges_has_no_value_and_the_others_have_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "regression", lambda _name, _sources: Unsteady())
    making = Making(STANDIN, INSTRUMENTS["NoneIV"], (1, 2, 3), tmp_path)
    found = [row for row in answer(Fitting(making, "poly2sls")) if row["quantity"] == "mse"]
    assert [math.isnan(row["value"]) for row in found] == [False, True, False]
    assert found[1]["note"] == "The loss is not finite."


def test_an_unexpected_error_is_told_and_ends_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str, _sources: int) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(answering, "regression", broken)
    with pytest.raises(EngineError, match="RuntimeError: shapes do not fit"):
        answer(Fitting(Making(STANDIN, INSTRUMENTS["NoneIV"], (1,), tmp_path), "poly2sls"))


class Stopped:
    """A progress bar over which somebody presses Ctrl-C."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, []

    def __call__(self, done: int, total: int, _what: str) -> None:
        self.seen.append((done, total))
        if done == self.after:
            raise KeyboardInterrupt


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """The same but for the time that it took."""
    order = ["instrument", "method", "replication", "quantity", "at"]
    first, second = (f.drop(columns="seconds").sort_values(order, ignore_index=True) for f in (one, other))
    return first.equals(second)


def test_a_study_goes_on_from_where_it_was_stopped(tmp_path: Path) -> None:
    whole = run([PART], tmp_path / "whole", 2, jobs=2)
    assert whole["quantity"].value_counts()["mse"] == 6
    with pytest.raises(KeyboardInterrupt):
        run([PART], tmp_path / "parts", 2, jobs=1, progress=Stopped(4))
    before = len(kept(tmp_path / "parts"))
    assert 0 < before < len(whole)
    seen = Stopped(-1)
    assert same(run([PART], tmp_path / "parts", 2, jobs=1, progress=seen), whole)
    assert seen.seen == [(4, 6), (5, 6), (6, 6)]
    journal = tmp_path / "parts" / "study.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))  # killed within an answer
    assert same(run([PART], tmp_path / "parts", 2, jobs=1), whole)
    assert same(kept(tmp_path / "parts"), whole)


def test_a_folder_belongs_to_one_number_of_replications(tmp_path: Path) -> None:
    (tmp_path / "study.jsonl").write_text('{"about": {"number of replications": "10"}}\n')
    with pytest.raises(DataError, match="holds another number of replications: 10; asked now: 2"):
        run([PART], tmp_path, 2)
    with pytest.raises(DataError, match="is empty"):
        run([PART], tmp_path, 0)
    with pytest.raises(DataError, match="holds no study"):
        kept(tmp_path / "none")


def test_missing_data_are_said_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IVBRIDGE_DATA", raising=False)
    with pytest.raises(DataError, match="IHDP do not come with the package"):
        run(table_parts("3"), tmp_path)
    assert not (tmp_path / "study.jsonl").exists()


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="1, 2, 3, 4, 5"):
        table_parts("6")
    with pytest.raises(UnsupportedError, match="3, 4, 5"):
        figure_parts("2")


def test_quick_leaves_out_what_takes_long() -> None:
    found = {(row, m) for part in quick_parts(table_parts("1")) for row in part.instruments for m in part.methods}
    slow = {pair for pair in found if METHODS[pair[1]].seconds > 1}
    assert slow == {("TrueIV", name) for name, method in METHODS.items() if method.seconds > 1}
    assert ("NoneIV", "kernel_iv") in found
    assert not any(row == "AutoIV" for row, _ in found)


def test_methods_that_are_named_are_the_only_columns() -> None:
    parts = Asked(("1", "3"), ("3", "4"), methods=("agmm",)).parts()
    assert {method for part in parts for method in part.methods} == {"agmm"}
    assert [part.world.name for part in Asked((), ("3",)).alone()] == ["Poly-3-3", "Sin-3-3", "Sigmoid-3-3", "Abs-3-3"]


def test_tables_show_both_numbers_the_verdict_and_the_reason() -> None:
    found = table(
        rows("GIV_KM*", "kernel_iv", around(0.21, 0.03)), rows("TrueIV", "kernel_iv", around(0.3, 0.02)),
        rows("TrueIV", "dual_iv", around(4.0, 0.5)), rows("TrueIV (one-hot)", "kernel_iv", around(0.1, 0.01)),
        rows("TrueIV", "kernel_iv", around(0.2, 0.01), reading="paper"),
        rows("TrueIV", "dual_iv (default)", around(0.06, 0.01)),
    )  # fmt: skip
    text = tables.text(found, "1")
    assert "0.21(0.03) [0.21(0.03)] =" in text
    assert "0.30(0.02) [0.11(0.02)] −" in text
    assert "1 of 3 cells reproduced, 1 worse, 1 not reproducible" in text
    assert "TrueIV DualIV: The published program" in text
    assert "over 10 replications" in text
    assert "guesses" not in text
    assert "0.100(0.010)" in text
    assert "0.060(0.010)" in text  # DualIV (default)
    assert "TrueIV, in the paper's words" in text
    lines = tables.markdown(found, "1").splitlines()
    assert "| GIV_KM\\* | 0.21(0.03) [0.21(0.03)] = |  |  |" in lines
    assert "|  | KernelIV | DualIV | DualIV (default) |" in lines
    assert sum(line.startswith("| TrueIV |") for line in lines) == 1


def test_a_table_has_no_rows_of_another_one() -> None:
    """Linear-2-5 is a world of Table 2, which has no TrueIV, and of Table 4, which has."""
    about = {"world": "Linear-2-5", "quantity": "accuracy", "groups": 2}
    taken = about | {"quantity": "groups"}
    found = table(
        *(
            rows(name, "", [90.0, 91.0], **about) + rows(name, "", [2.0] * 2, **taken)
            for name in ("EM", "Oracle", "TrueIV")
        ),
        rows("TrueIV", "poly2sls", [0.04, 0.05], world="Linear-2-5"),
    )
    shown = [line.split()[0] for line in tables.text(found, "2").splitlines() if line.strip()]
    assert {"EM", "Oracle"} <= set(shown)
    assert "TrueIV" not in shown


def curves(name: str) -> list[dict[str, Any]]:
    at = np.linspace(-1, 3, 40)
    return [
        rows("TrueIV", "agmm", [float(a)], world=name, quantity="curve")[0] | {"at": float(a) + 0.1, "value": float(a)}
        for a in at
    ]


def balance(name: str, values: FloatArray) -> list[dict[str, Any]]:
    found = []
    for groups, value in zip((2, 3, 5, 10), values, strict=True):
        found += rows(name, "", [float(value)] * 2, world="Linear-2-5", quantity="mmd", groups=groups)
        found += rows(name, "", [90.0 - groups] * 2, world="Linear-2-5", quantity="accuracy", groups=groups)
    return found + rows(name, "", [2.0] * 2, world="Linear-2-5", quantity="groups", groups=2)


@pytest.mark.parametrize(
    ("which", "given", "words"),
    [
        ("3", curves("Poly-3-3") + curves("Abs-3-3"), ("Poly-3-3", "Abs-3-3", "TrueIV", "truth")),
        ("4", balance("GIV_EM", np.array([0, 2, 3, 4])), ("Linear-2-5", "GIV_EM", "read off", "2 replications")),
        ("5", balance("Meta-EM", np.ones(4)), ("Meta-EM", "Linear-2-5", "88")),
    ],
)
def test_figures_are_drawn(which: str, given: list[dict[str, Any]], words: tuple[str, ...], tmp_path: Path) -> None:
    vector, raster = figures.draw_figure(table(given), which, tmp_path)
    drawn = vector.read_text()
    assert [word for word in words if word not in drawn] == []
    assert raster.stat().st_size > 10_000  # bytes: an empty picture has 3000


def test_the_command_writes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed here, in this process, in a small world that has Table 1's name."""
    monkeypatch.setattr(publishing, "table_parts", lambda _table, _data: [PART])
    done = CliRunner().invoke(app, ["study", "metaem", "--out", str(tmp_path), "--quick", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {Path(name).name for name in found["files"]} == {"study.parquet", "cells.csv", "goals.csv", "table-1.md"}
    assert found["failed"] == []
    assert {row["goal"] for row in found["goals"]} == {"NoneIV / TrueIV"}
    everything = pd.read_parquet(tmp_path / "study.parquet")
    assert everything[everything["quantity"] == "mse"].groupby(["instrument", "method"]).size().tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--table", "7"], 2, "Table '7' was asked"),
        (["--figure", "1"], 2, "Figure '1' was asked"),
        (["--method", "ols"], 2, "poly2sls"),
        (["--replications", "0"], 2, "--replications"),
        (["--data", "nowhere", "--table", "3"], 2, "nowhere/ihdp_continuous6.csv cannot be read"),
    ],
)
def test_the_command_refuses_what_is_not_there(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["study", "metaem", "--out", str(tmp_path), *arguments])
    assert done.exit_code == code
    assert words in done.output


def test_a_study_that_is_none_is_refused() -> None:
    done = CliRunner().invoke(app, ["study", "deepiv"])
    assert done.exit_code == 2
    assert "The study 'deepiv' was asked. Available: metaem, causal." in done.output


def test_a_cell_that_failed_is_named_and_the_exit_code_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = table(rows("TrueIV", "agmm", [math.nan], note="EngineError: too fast"))
    empty = pd.DataFrame(columns=["world", "method", "goal", "value", "bound", "met"])
    made = publishing.Published("Table", failed, empty, failed, ())
    assert "too fast" in made.summary()
    monkeypatch.setattr(publishing, "publish", lambda *_args: made)
    assert CliRunner().invoke(app, ["study", "metaem", "--out", str(tmp_path)]).exit_code == 1


@pytest.mark.slow
def test_the_quick_study_finds_what_was_printed(tmp_path: Path) -> None:
    """One replication of Table 1: with the true label each method is nearer to the print of TrueIV than of NoneIV.

    Not so DualIV, whose printed errors are all alike.
    """
    found = publishing.publish(Asked(("1",), quick=True), tmp_path, replications=1)
    assert found.failed.empty
    assert found.goals["met"].all()
    ours = found.cells[found.cells["instrument"] == "TrueIV"].set_index("method")["mean"]
    printed = {(c.instrument, c.method): c.mean for c in cells("1")}
    methods = [name for name in ours.index if name != "dual_iv"]
    assert len(methods) == 8
    near = {m: abs(ours[m] - printed["TrueIV", m]) < abs(ours[m] - printed["NoneIV", m]) for m in methods}
    assert [name for name, one in near.items() if not one] == []

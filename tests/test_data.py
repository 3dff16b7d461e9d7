"""Bundled sets are what their catalogue says; every file format comes back as it was written; errors help."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ivbridge.data
from ivbridge.data import Dataset, datasets, load, read
from ivbridge.errors import DataError, MissingExtraError

FOLDER = Path(ivbridge.data.__file__).parent / "datasets"
CATALOGUE = tomllib.loads((FOLDER / "datasets.toml").read_text(encoding="utf-8"))
LICENCE_TEXTS = {
    "GPL-2.0-only OR GPL-3.0-only": "GPL-2.0.txt",
    "GPL-2.0-or-later": "GPL-2.0.txt",
    "GPL-3.0-only": "GPL-3.0.txt",
    "MIT": "MIT-ivreg2r.txt",
    "NCSA": "NCSA-linearmodels.txt",
}
#: counts and means that are in print or were computed in R from the package objects themselves
KNOWN = [
    ("cigarettes_sw", 96, lambda d: d.packs.mean(), 109.1824),
    ("card", 3010, lambda d: d.educ.mean(), 13.26346),
    ("mroz", 753, lambda d: d.inlf.sum(), 428),
    ("psid1976", 753, lambda d: (d.participation == "yes").sum(), 428),
    ("fertility", 254654, lambda d: (d.morekids == "yes").mean(), 0.3805634),
    ("ak80", 329509, lambda d: d.education.mean(), 12.76991),
    ("wage2", 935, lambda d: d.wage.mean(), 957.9455),
    ("meps", 10391, lambda d: len(d.dropna()), 10089),
    ("kmenta", 20, lambda d: d.year.min(), 1922),
    ("klein_i", 22, lambda d: len(d.dropna()), 21),
    ("hsng2", 50, lambda d: d.rent.mean(), 234.76),
    ("schooling_returns", 3010, lambda d: (d.ethnicity == "afam").sum(), 703),
    ("weak_instrument", 200, lambda d: d.columns.tolist() == ["y", "x", "z"], True),
]


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_bundled_set_is_what_the_catalogue_says(name):
    entry, data = CATALOGUE[name], load(name)
    assert data.frame.shape == (entry["rows"], entry["columns"])
    assert data.sha256 == entry["sha256"] == hashlib.sha256((FOLDER / entry["file"]).read_bytes()).hexdigest()
    assert (data.name, data.citation, data.licence, data.source) == (
        name, entry["citation"], entry["licence"], entry["source"],
    )  # fmt: skip
    assert data.citation
    assert "package" in data.source
    for column, levels in entry.get("factors", {}).items():
        assert data.frame[column].cat.categories.tolist() == levels
        assert data.frame[column].cat.ordered == (column in entry.get("ordered", []))
        assert set(data.frame[column].dropna()) == set(levels), "a level without rows, or a value without a level"
    assert not [
        name for name in data.frame if data.frame[name].dtype == object or "string" in str(data.frame[name].dtype)
    ]
    assert data.frame.index.equals(pd.RangeIndex(len(data.frame)))


@pytest.mark.parametrize(("name", "rows", "statistic", "value"), KNOWN, ids=[row[0] for row in KNOWN])
def test_known_facts(name, rows, statistic, value):
    frame = load(name).frame
    assert len(frame) == rows
    assert float(statistic(frame)) == pytest.approx(float(value), rel=5e-7)  # the facts are rounded to 7 digits


def test_every_file_is_listed_and_licensed():
    files = {path.name for path in FOLDER.iterdir() if path.suffix in {".csv", ".gz"}}
    assert files == {entry["file"] for entry in CATALOGUE.values()}
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 5_000_000
    text = (FOLDER / "LICENCES.md").read_text(encoding="utf-8")
    for name, entry in CATALOGUE.items():
        assert name in text
        assert (FOLDER / "licences" / LICENCE_TEXTS[entry["licence"]]).is_file()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.gz")), ids=lambda path: path.name)
def test_compressed_files_carry_no_time_stamp(path):
    assert path.read_bytes()[4:8] == b"\0\0\0\0"


def test_listing():
    listing = datasets()
    assert listing.columns.tolist() == ["name", "rows", "columns", "description", "licence", "citation"]
    assert listing["name"].tolist() == sorted(CATALOGUE)


def test_derived_columns_are_those_of_the_AER_help_page():
    d = load("cigarettes_sw").frame
    np.testing.assert_array_equal(d.rprice, d.price / d.cpi)
    np.testing.assert_array_equal(d.rincome, d.income / d.population / d.cpi)
    np.testing.assert_array_equal(d.rtax, d.tax / d.cpi)
    np.testing.assert_array_equal(d.tdiff, (d.taxs - d.tax) / d.cpi)


def test_derived_columns_of_the_census_sets():
    ak, fertility = load("ak80").frame, load("fertility").frame
    assert (ak.age.min(), ak.age.max()) == (40.25, 50.0)
    assert ak.married.dtype == ak.black.dtype == ak.smsa.dtype == bool
    np.testing.assert_array_equal(fertility.samesex, fertility.gender1.astype(str) == fertility.gender2.astype(str))


def test_wage934_is_damaged_as_its_note_says():
    damaged, whole = load("wage934"), load("wage2").frame.iloc[1:].reset_index(drop=True)
    assert "the first of the 935 rows of `wage2` is missing, and brthord has 0 for 10 in three rows" in damaged.note
    assert (whole.brthord == 10).sum() == (damaged.frame.brthord == 0).sum() == 3
    mended = damaged.frame.assign(brthord=damaged.frame.brthord.replace(0, 10))
    pd.testing.assert_frame_equal(mended.drop(columns="lwage"), whole.drop(columns="lwage"), check_exact=True)
    np.testing.assert_allclose(mended.lwage, whole.lwage, rtol=0, atol=5e-7)  # the copy has 6 decimals


def test_card_stata_holds_single_precision_numbers():
    wage = load("card_stata").frame.lwage.to_numpy()
    assert wage.dtype == np.float64
    np.testing.assert_array_equal(wage, wage.astype(np.float32).astype(np.float64))
    assert np.abs(wage - load("card").frame.lwage).max() < 5e-7  # neighbours in single precision


def test_loads_are_independent():
    frame = load("kmenta").frame
    frame.loc[0, "Q"] = -1.0
    assert load("kmenta").frame.loc[0, "Q"] == 98.485


def test_repr_names_rows_columns_and_origin():
    assert "20 rows, 6 columns" in repr(load("kmenta"))
    assert "ivreg" in repr(load("kmenta"))


def test_unknown_name():
    with pytest.raises(DataError, match=r"no bundled dataset 'cigaretes'.*Did you mean cigarettes_sw.*Available: ak80"):
        load("cigaretes")


def test_changed_file_is_noticed(monkeypatch, tmp_path):
    (tmp_path / "kmenta.csv").write_bytes((FOLDER / "kmenta.csv").read_bytes().replace(b"98.485", b"98.486"))
    monkeypatch.setattr(ivbridge.data, "_FOLDER", tmp_path)
    load_kmenta = {"kmenta": CATALOGUE["kmenta"]}
    monkeypatch.setattr(ivbridge.data, "_catalogue", lambda: load_kmenta)
    with pytest.raises(DataError, match="was changed"):
        load("kmenta")


# --- files -----------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "x": [0.1, np.nan, 1 / 3, 5e-324, -1.7976931348623157e308],
        "n": [1, 2, 3, 4, 5],
        "flag": [True, False, True, True, False],
        "s": ["a", 'é, quoted "x"', "c", "d", "Ω"],
    }
)


def same_as_frame(data: Dataset, path: Path, name: str) -> None:
    pd.testing.assert_frame_equal(data.frame.astype({"s": object}), FRAME.astype({"s": object}), check_exact=True)
    assert (data.name, data.source, data.citation, data.licence) == (name, str(path), "", "")
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".CSV", ".csv.xz", ".csv.bz2", ".tsv", ".tab", ".tsv.gz"])
def test_text_round_trips_to_the_bit(tmp_path, ending):
    path = tmp_path / f"my.panel{ending}"
    compression = {"gz": "gzip", "xz": "xz", "bz2": "bz2"}.get(ending.split(".")[-1])
    FRAME.to_csv(path, index=False, sep="," if "csv" in ending.lower() else "\t", compression=compression)
    same_as_frame(read(path), path, "my.panel")
    same_as_frame(read(str(path)), path, "my.panel")


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_arrow_round_trips(tmp_path, ending):
    path = tmp_path / f"d.{ending}"
    frame = FRAME.assign(g=pd.Categorical(["b", "a", "b", "a", "b"], ["b", "a", "unused"]), f=np.float32(0.1))
    frame.to_parquet(path) if ending == "parquet" else frame.to_feather(path)
    got = read(path).frame
    assert got.g.cat.categories.tolist() == ["b", "a", "unused"]
    assert got.f.dtype == np.float64
    assert got.f[0] == float(np.float32(0.1))
    same_as_frame(Dataset(got[list(FRAME)], "d", "", "", str(path), read(path).sha256), path, "d")


def test_nullable_columns_become_plain_where_nothing_is_lost(tmp_path):
    path = tmp_path / "d.parquet"
    pd.DataFrame({
        "whole": pd.array([1, 2], "Int64"), "gap": pd.array([1, None], "Int64"),
        "big": pd.array([2**60 + 1, None], "Int64"),
        "yes": pd.array([True, False], "boolean"), "maybe": pd.array([True, None], "boolean"),
    }).to_parquet(path)  # fmt: skip
    got = read(path).frame
    assert [str(kind) for kind in got.dtypes] == ["int64", "float64", "Int64", "bool", "boolean"]
    assert got.big[0] == 2**60 + 1


def test_named_index_becomes_a_column(tmp_path):
    path = tmp_path / "d.parquet"
    FRAME.set_index("n").to_parquet(path)
    assert "n" in read(path).frame


def test_na_is_missing_and_other_words_are_text(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("x,s\n1,None\nNA,null\n,n/a\n3,\n")
    got = read(path).frame
    assert got.x.isna().tolist() == [False, True, True, False]
    assert got.s.isna().tolist() == [False, False, False, True]


def test_stata_labels_become_unordered_categories(tmp_path):
    path = tmp_path / "d.dta"
    labelled = pd.DataFrame(
        {"sex": [1, 2, 2], "top": [1, 50, 98], "x": np.float32([0.1, 2, np.nan]), "s": ["a", "b", "c"]}
    )
    labels = {"sex": {1: "zebra", 2: "ant"}, "top": {98: "98 or more"}}
    labelled.to_stata(path, write_index=False, value_labels=labels)
    got = read(path).frame
    assert got.sex.cat.categories.tolist() == ["zebra", "ant"], "order of the codes"
    assert not got.sex.cat.ordered
    assert got.top.tolist() == [1, 50, 98], "labels for some values only: the numbers"
    assert got.x[0] == float(np.float32(0.1))
    assert np.isnan(got.x[2])


R_FRAME = """
d <- data.frame(x = c(1/3, NA, Inf), i = c(1L, NA, 3L), l = c(TRUE, FALSE, TRUE), s = c("a", NA, "\\u00e9"),
  f = factor(c("lo", "hi", NA), levels = c("lo", "hi", "unused")),
  o = factor(c("s", "m", "l"), levels = c("s", "m", "l"), ordered = TRUE),
  day = as.Date("2020-02-28") + 0:2, row.names = c("A", "B", "C"))
e <- data.frame(z = 1:3)
"""


def run_r(code: str, folder: Path) -> None:
    subprocess.run(["Rscript", "--vanilla", "-e", R_FRAME + code], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("save", [
    "saveRDS(d, 'd.rds')", "saveRDS(d, 'd.rds', ascii = TRUE)", "saveRDS(d, 'd.rds', compress = 'xz')",
    "saveRDS(d, 'd.rds', version = 2)", "save(d, file = 'd.rda')", "n <- 1; save(d, n, file = 'd.RData')",
    "class(d) <- c('tbl_df', 'tbl', 'data.frame'); saveRDS(d, 'd.rds')",
])  # fmt: skip
def test_r_data_frames(tmp_path, save):
    run_r(save, tmp_path)
    (path,) = tmp_path.iterdir()
    got = read(path).frame
    assert got.x.tolist()[0::2] == [1 / 3, np.inf]
    assert np.isnan(got.x[1])
    assert got.i.isna().tolist() == [False, True, False]
    assert got.l.dtype == bool
    assert got.s.isna().tolist() == [False, True, False]
    assert got.s[2] == "é"
    assert got.f.cat.categories.tolist() == ["lo", "hi", "unused"]
    assert got.f.isna().tolist() == [False, False, True]
    assert not got.f.cat.ordered
    assert got.o.cat.ordered
    assert got.o.cat.categories.tolist() == ["s", "m", "l"]
    assert got.day[1] == pd.Timestamp("2020-02-29")
    assert got.index.tolist() == [0, 1, 2]


def test_labelled_vectors_and_times_from_r(tmp_path):
    code = """
    haven <- function(x, labels) structure(x, labels = labels, class = c("haven_labelled", "vctrs_vctr", "double"))
    e$z <- haven(c(2, 1, NA), c(zebra = 2, ant = 1))
    e$partly <- haven(c(1, 50, 98), c("98 or more" = 98))
    e$twice <- haven(c(1, 2, 2), c(same = 1, same = 2))
    e$bare <- haven(c(1, 2, 3), NULL)
    e$t <- as.POSIXct("2020-02-29 12:00", tz = "UTC") + 0:2
    saveRDS(e, "e.rds")"""
    run_r(code, tmp_path)
    got = read(tmp_path / "e.rds").frame
    assert got.z.cat.categories.tolist() == ["ant", "zebra"]
    assert got.z.tolist()[:2] == ["zebra", "ant"]
    assert got.z.isna().tolist() == [False, False, True]
    assert got.partly.tolist() == [1, 50, 98]
    assert got.twice.tolist() == [1, 2, 2]
    assert got.bare.tolist() == [1, 2, 3]
    assert got.t[0] == pd.Timestamp("2020-02-29 12:00", tz="UTC")


def test_one_of_several_objects(tmp_path):
    run_r("save(d, e, file = 'two.rda')", tmp_path)
    path = tmp_path / "two.rda"
    assert read(f"{path}::e").frame.z.tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"holds 2 data frames: choose one.*two\.rda::d, .*two\.rda::e.*Do this: write"):
        read(path)
    with pytest.raises(DataError, match=r"no data frame 'f'.*two\.rda::d"):
        read(f"{path}::f")


@pytest.mark.parametrize(("save", "message"), [
    ("saveRDS(1:3, 'x.rds')", "holds no data frame; it has x .integer"),
    ("saveRDS(data.frame(a = as.difftime(1, units = 'mins')), 'x.rds')", "R class difftime"),
    ("e$z <- structure(c(1, 2, 3), class = 'integer64'); saveRDS(e, 'x.rds')", "R class integer64"),
    ("writeBin(as.raw(1:50), 'x.rds')", "rdata package stops with NotImplementedError.*write.csv"),
    ("saveRDS(setNames(data.frame(1, 2), c('a', 'a')), 'x.rds')", "columns with the same name: 'a'"),
])  # fmt: skip
def test_r_files_that_cannot_be_carried_over(tmp_path, save, message):
    run_r(save, tmp_path)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "x.rds")


@pytest.mark.parametrize(("content", "message"), [
    (b"", "not a table"),
    (b"a,b,a\n1,2,3\n", "columns with the same name: 'a'"),
    (b"a,b\nr1,1,2\nr2,3,4\n", "names 2 columns, but its first row has 3 fields"),
    (b"a,b\n1,2\n3,4,5\n", "not a table"),
    ("a\né\n".encode("latin1"), "not UTF-8.*iconv -f latin1"),
])  # fmt: skip
def test_broken_text(tmp_path, content, message):
    path = tmp_path / "d.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["d.dta", "d.parquet", "d.feather", "d.csv.gz", "d.rda"])
def test_broken_binary_files(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"this is not what the ending says" * 9)
    with pytest.raises(DataError, match=f"{name.split('.')[0]}.*cannot be read|not a table"):
        read(path)


def test_repeated_stata_labels(tmp_path):
    path = tmp_path / "d.dta"
    frame = pd.DataFrame({"q": [1, 2, 3]})
    frame.to_stata(path, write_index=False, value_labels={"q": {1: "same", 2: "SAME", 3: "other"}})
    path.write_bytes(path.read_bytes().replace(b"SAME", b"same"))
    with pytest.raises(DataError, match=r"not unique.*label values NAME"):
        read(path)


def test_missing_file_names_close_matches(tmp_path):
    (tmp_path / "panel2020.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"no file .*panel2021\.csv.* Did you mean panel2020\.csv"):
        read(tmp_path / "panel2021.csv")
    with pytest.raises(DataError, match=r"folder .*nowhere does not exist"):
        read(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(DataError, match="download the file"):
        read("https://example.org/x.csv")
    with pytest.raises(DataError, match="Did you mean cigarettes_sw"):
        read("cigarettes")


@pytest.mark.parametrize("name", ["d.xlsx", "d", "d.sav", "d.gz", "d.parquet.gz", ".csv"])
def test_unknown_ending_lists_the_known_ones(tmp_path, name):
    (tmp_path / name).write_text("a\n1\n")
    with pytest.raises(DataError, match=r"no file format that can be read\. Available: \.csv, .*\.dta"):
        read(tmp_path / name)


def test_a_bundled_name_is_read_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("kmenta").licence == "GPL-2.0-or-later"
    Path("kmenta").write_text("a\n1\n")
    with pytest.raises(DataError, match="no file format"):
        read("kmenta")


@pytest.mark.parametrize(("name", "package"), [("d.parquet", "pyarrow"), ("d.feather", "pyarrow"), ("d.rds", "rdata")])
def test_missing_package_names_the_extra(tmp_path, monkeypatch, name, package):
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf'needs the package {package}.*pip install "ivbridge\[files\]"'):
        read(tmp_path / name)


def test_bundled_sets_need_no_optional_package():
    code = (
        "import sys; sys.modules['pyarrow'] = sys.modules['rdata'] = None\n"
        "from ivbridge.data import datasets, load\n"
        "print(sum(len(load(name).frame) for name in datasets().name))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) == sum(entry["rows"] for entry in CATALOGUE.values())


def test_aer_sets_equal_the_package_objects_to_the_bit(tmp_path):
    objects = {
        "cigarettes_sw": "CigarettesSW",
        "psid1976": "PSID1976",
        "fertility": "Fertility",
        "weak_instrument": "WeakInstrument",
    }
    code = "suppressMessages(library(AER)); " + " ".join(
        f"data({r}); saveRDS({r}, '{ours}.rds', compress = FALSE);" for ours, r in objects.items()
    )
    run_r(code, tmp_path)
    for ours in objects:
        theirs, mine = read(tmp_path / f"{ours}.rds").frame, load(ours).frame
        for column in theirs:
            left, right = mine[column], theirs[column]
            if isinstance(right.dtype, pd.CategoricalDtype):
                assert left.cat.categories.tolist() == right.cat.categories.tolist()
                np.testing.assert_array_equal(left.cat.codes, right.cat.codes)
            else:
                np.testing.assert_array_equal(left.to_numpy(float), right.to_numpy(float))


def test_gzip_files_are_plain_text_inside():
    with gzip.open(FOLDER / "card.csv.gz", "rt", encoding="ascii") as text:
        assert text.readline().startswith("id,nearc2,nearc4,educ")
    assert json.dumps(CATALOGUE["card"]["citation"])

"""R's random numbers: equal to R's own, every bit of every draw, whatever was drawn before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.rdistributions import normal_quantile
from ivbridge.rrandom import RRandom, SampleKind
from ivbridge.rwords import Words

Call = tuple[str, Callable[[RRandom], np.ndarray]]
KINDS: tuple[SampleKind, ...] = ("Rejection", "Rounding")
SEEDS = (1, 0, -5, 2**31 - 1, 20_260_101)
MILLION = 10**6

#: A million of each, the stream going on from one to the next.
LONG: tuple[Call, ...] = (
    ("runif(1e6)", lambda r: r.runif(MILLION)),
    ("rnorm(1e6)", lambda r: r.rnorm(MILLION)),
    ("rexp(1e6)", lambda r: r.rexp(MILLION)),
    ("sample(1e6)", lambda r: r.sample(MILLION)),
    ("sample(12345, 1e6, TRUE)", lambda r: r.sample(12345, MILLION, replace=True)),
    ("rbinom(1e6, 1, 0.5)", lambda r: r.rbinom(MILLION, 1, 0.5)),
    ("rbinom(1e6, 100, 0.05)", lambda r: r.rbinom(MILLION, 100, 0.05)),
    ("runif(1)", lambda r: r.runif(1)),
)

#: Slower ones: numbers that are drawn in a loop.
SLOW: tuple[Call, ...] = (
    ("rbinom(1e6, 1000, 0.3)", lambda r: r.rbinom(MILLION, 1000, 0.3)),
    ("rbinom(1e6, 1e7, 0.7)", lambda r: r.rbinom(MILLION, 10**7, 0.7)),
    ("sample(5000, 1e6, TRUE, 1:5000)", lambda r: r.sample(5000, MILLION, True, np.arange(1, 5001))),
    ("sample(10, 1e6, TRUE, 10:1)", lambda r: r.sample(10, MILLION, True, np.arange(10, 0, -1))),
    ("runif(1)", lambda r: r.runif(1)),
)

#: Short ones that reach every branch, in one stream.
MIXED: tuple[Call, ...] = (
    ("sample(10)", lambda r: r.sample(10)),
    ("rnorm(7, 3, c(1, 0, 2))", lambda r: r.rnorm(7, 3, [1, 0, 2])),
    ("runif(5, c(-1, 2), c(3, 2))", lambda r: r.runif(5, [-1, 2], [3, 2])),
    ("rexp(5, c(2, 0.1))", lambda r: r.rexp(5, [2, 0.1])),
    ("sample(1)", lambda r: r.sample(1)),
    ("sample(5, 1)", lambda r: r.sample(5, 1)),
    ("sample(5, 0)", lambda r: r.sample(5, 0)),
    ("sample(c(3.5, 7, -1))", lambda r: r.sample(np.array([3.5, 7, -1]))),
    ("sample(rep(seq(10), length = 97))", lambda r: r.sample(np.resize(np.arange(1, 11), 97))),
    ("sample(65537, 400)", lambda r: r.sample(65537, 400)),
    ("sample(65536, 40, TRUE)", lambda r: r.sample(65536, 40, replace=True)),
    ("sample(3e9, 20, TRUE)", lambda r: r.sample(3 * 10**9, 20, replace=True)),
    ("sample(4e15 + 7, 20, TRUE)", lambda r: r.sample(4 * 10**15 + 7, 20, replace=True)),
    ("sample(3e9, 20)", lambda r: r.sample(3 * 10**9, 20)),
    ("sample(10000001, 9000)", lambda r: r.sample(10_000_001, 9000)),  # hashed, with repetitions
    ("replicate(3, sample(17))", lambda r: r.permutations(np.arange(1, 18), 3).ravel(order="F")),
    ("replicate(2, sample(c(7, 9)))", lambda r: r.permutations([7, 9], 2).ravel(order="F")),
    ("rbinom(20, c(1, 0, 500, 80, 30), c(0.2, 0.9, 0.5, 0.6, 1, 0, 0.99))",
     lambda r: r.rbinom(20, [1, 0, 500, 80, 30], [0.2, 0.9, 0.5, 0.6, 1, 0, 0.99])),
    ("rbinom(20, 59, 0.5)", lambda r: r.rbinom(20, 59, 0.5)),  # the last to be inverted
    ("rbinom(2000, 61, 0.5)", lambda r: r.rbinom(2000, 61, 0.5)),  # rejection with tails that are evaluated in full
    ("rbinom(2000, 2^31 - 2, 1e-4)", lambda r: r.rbinom(2000, 2**31 - 2, 1e-4)),
    ("rbinom(2000, 2^31 - 2, 1e-8)", lambda r: r.rbinom(2000, 2**31 - 2, 1e-8)),  # inversion
    ("sample(5, 20, TRUE, c(1, 2, 2, 1, 4))", lambda r: r.sample(5, 20, True, [1, 2, 2, 1, 4])),
    ("sample(5, 5, FALSE, c(1, 2, 2, 1, 4))", lambda r: r.sample(5, 5, False, [1, 2, 2, 1, 4])),
    ("sample(7, 6, prob = c(1, 1, 1, 1, 1, 0, 1))", lambda r: r.sample(7, 6, prob=[1, 1, 1, 1, 1, 0, 1])),
    ("sample(c(0.5, 8), 4, TRUE, c(0, 3))", lambda r: r.sample([0.5, 8], 4, True, [0, 3])),
    ("sample(300, 900, TRUE, rep(1:3, 100))", lambda r: r.sample(300, 900, True, [1, 2, 3] * 100)),  # alias, ties
    ("sample(250, 900, TRUE, rep(1, 250))", lambda r: r.sample(250, 900, True, np.ones(250))),
    ("sample(70000, 900, TRUE, 1:70000)", lambda r: r.sample(70000, 900, True, np.arange(1, 70001))),
    ("rexp(3)", lambda r: r.rexp(3)),
    ("rnorm(3, 1e8, 1e-8)", lambda r: r.rnorm(3, 1e8, 1e-8)),
    (".Random.seed", lambda r: r.random_seed),
)  # fmt: skip


def from_r(lines: Sequence[str], folder: Path) -> list[np.ndarray]:
    """What R answers, one array a line."""
    (folder / "calls.txt").write_text("\n".join(lines) + "\n")
    script = Path(__file__).with_name("rrandom.R")
    command = ["Rscript", "--vanilla", str(script), str(folder / "calls.txt"), str(folder / "answers.bin")]
    subprocess.run(command, check=True, timeout=300)
    numbers, found = np.fromfile(folder / "answers.bin"), []
    while len(numbers):
        length = int(numbers[0])
        found.append(numbers[1 : length + 1])
        numbers = numbers[length + 1 :]
    return found


def differing(kind: SampleKind, seed: int, calls: Sequence[Call], folder: Path) -> list[str]:
    """The calls whose numbers are not R's, with how many differ."""
    start = [f'RNGkind(sample.kind = "{kind}")', f"set.seed({seed})"]
    theirs = from_r(start + [text for text, _ in calls], folder)
    random = RRandom(seed, kind)
    wrong = []
    for (text, mine), expected in zip(calls, theirs, strict=True):
        drawn = mine(random)
        if drawn.shape != expected.shape:
            wrong.append(f"{text}: shape {drawn.shape}, not {expected.shape}")
        elif count := int((drawn != expected).sum()):
            wrong.append(f"{text}: {count} of {len(expected)} differ")
    return wrong


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_branch_in_one_stream(kind: SampleKind, seed: int, tmp_path: Path) -> None:
    assert differing(kind, seed, MIXED, tmp_path) == []


@pytest.mark.parametrize(("kind", "calls"), [("Rejection", LONG), ("Rounding", LONG[3:5])])
def test_a_million_of_each(kind: SampleKind, calls: Sequence[Call], tmp_path: Path) -> None:
    assert differing(kind, 42, calls, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_million_of_each_for_more_seeds(kind: SampleKind, seed: int, tmp_path: Path) -> None:
    assert differing(kind, seed, LONG + SLOW, tmp_path) == []


def test_one_wrong_bit_is_found(tmp_path: Path) -> None:
    calls: list[Call] = [
        ("runif(4)", lambda r: np.nextafter(r.runif(4), [0, 1, 0, 0])),
        ("runif(1)", lambda r: r.runif(1)),
    ]
    assert differing("Rejection", 1, calls, tmp_path) == ["runif(4): 4 of 4 differ"]


def test_draws_go_on_where_r_stands(tmp_path: Path) -> None:
    state, theirs = from_r(["set.seed(8)", "c(rnorm(3), .Random.seed)", "c(runif(2), sample(9))"], tmp_path)
    random = RRandom.resume(state[3:].astype(np.int64))
    assert [*random.runif(2), *random.sample(9)] == theirs.tolist()


def test_r_goes_on_where_the_stream_stands(tmp_path: Path) -> None:
    random = RRandom(8, "Rounding")
    random.rexp(5)
    (theirs,) = from_r([r_state(random), "c(sample(20), rnorm(2))"], tmp_path)
    assert [*random.sample(20), *random.rnorm(2)] == theirs.tolist()


def r_state(random: RRandom) -> str:
    """R code that puts R where the stream is; R's smallest integer is its NA."""
    return f".Random.seed <- c({', '.join('NA' if word == -(2**31) else f'{word}L' for word in random.random_seed)})"


def untempered(word: int) -> int:
    """The state of a Mersenne Twister (Matsumoto & Nishimura 1998) from which it makes this word."""
    word ^= word >> 18
    word ^= (word << 15) & 0xEFC60000
    part = word
    for _ in range(4):
        part = word ^ ((part << 7) & 0x9D2C5680)
    word = part
    return word ^ (word >> 11) ^ (word >> 22)


def giving(words: Sequence[int]) -> RRandom:
    """A stream whose next words are these."""
    state = RRandom(1).random_seed
    state[1] = 1  # the next word is the second one
    state[3 : 3 + len(words)] = np.array([untempered(word) for word in words], dtype=np.uint32).view(np.int32)
    return RRandom.resume(state)


ALL = 2**32 - 1
HALF = 2**31

RARE: tuple[tuple[Sequence[int], Call], ...] = (
    ([0, ALL, 1, 0, 5, HALF], ("runif(6)", lambda r: r.runif(6))),  # R gives no 0, and none of these is a 1
    ([0, ALL, 31, 0, 0, 5, ALL, 8], ("rnorm(4)", lambda r: r.rnorm(4))),  # beyond six standard deviations
    ([ALL, ALL], ("rnorm(1)", lambda r: r.rnorm(1))),  # a probability that rounds to 1
    ([0, HALF, *range(5, 40), HALF // 2, *range(7, 40)], ("rexp(3)", lambda r: r.rexp(3))),  # powers of two
    ([HALF], ("rbinom(1, 1, 0.5)", lambda r: r.rbinom(1, 1, 0.5))),
    ([HALF], ("sample(2, 1, TRUE, c(1, 1))", lambda r: r.sample(2, 1, True, [1, 1]))),
    ([HALF], ("sample(2, 1, prob = c(1, 1))", lambda r: r.sample(2, 1, prob=[1, 1]))),
)


@pytest.mark.parametrize(("words", "call"), RARE, ids=[text for _, (text, _) in RARE])
def test_the_rarest_words(words: Sequence[int], call: Call, tmp_path: Path) -> None:
    assert giving(words)._words.take(len(words)).tolist() == list(words)
    text, mine = call
    drawn, after = from_r([r_state(giving(words)), text, "runif(1)"], tmp_path)
    random = giving(words)
    assert mine(random).tolist() == drawn.tolist()
    assert random.runif(1) == after


def test_normal_numbers_without_end() -> None:
    assert giving([ALL, ALL]).rnorm(1).tolist() == [np.inf]
    assert giving([0, 31]).rnorm(1)[0] < -8


def test_normal_quantiles_everywhere(tmp_path: Path) -> None:
    p = np.r_[np.logspace(-300, -0.01, 2000), 1 - np.logspace(-15, -1, 500), 0.075, 0.925, 0.5, np.exp(-25)]
    np.concatenate([[len(p)], p]).tofile(tmp_path / "p.bin")
    (theirs,) = from_r([f'qnorm(readBin("{tmp_path / "p.bin"}", "double", {len(p) + 1})[-1])'], tmp_path)
    assert normal_quantile(p).tolist() == theirs.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_permutations_are_samples(kind: SampleKind) -> None:
    columns, one = RRandom(5, kind), RRandom(5, kind)
    assert columns.permutations([4, 4, 9, 2], 6).T.tolist() == [one.sample([4, 4, 9, 2]).tolist() for _ in range(6)]
    assert columns.runif(1) == one.runif(1)


def test_nothing_is_drawn_for_nothing() -> None:
    random, other = RRandom(3), RRandom(3)
    assert len(random.runif(0)) == len(random.rnorm(0)) == len(random.rexp(0)) == len(random.sample(0)) == 0
    assert random.rbinom(4, [0, 7], [0.5, 1]).tolist() == [0, 7, 0, 7]
    assert random.sample(np.array([3.5]), 0).tolist() == []
    assert random.permutations([1, 2], 0).shape == (2, 0)
    assert random.runif(1) == other.runif(1)


def test_an_array_of_one_value_is_that_value() -> None:
    """R's ``sample(5)`` for a vector that happens to have one element counts to five; an array here does not."""
    assert RRandom(1).sample(np.array([5])).tolist() == [5]
    assert sorted(RRandom(1).sample(5).tolist()) == [1, 2, 3, 4, 5]


BAD: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: RRandom(2**31), "seed"),
    (lambda: RRandom(1.5), "seed"),  # type: ignore[arg-type]
    (lambda: RRandom(True), "seed"),
    (lambda: RRandom(1).runif(-1), "n=-1"),
    (lambda: RRandom(1).runif(2.0), "n=2.0"),  # type: ignore[arg-type]
    (lambda: RRandom(1).runif(2, 3, 1), "above max"),
    (lambda: RRandom(1).runif(2, np.nan), "min must be"),
    (lambda: RRandom(1).rnorm(2, 0, -1), "negative"),
    (lambda: RRandom(1).rnorm(2, []), "mean must be"),
    (lambda: RRandom(1).rexp(2, 0), "not above 0"),
    (lambda: RRandom(1).rbinom(2, 1.5, 0.5), "whole number"),
    (lambda: RRandom(1).rbinom(2, -1, 0.5), "whole number"),
    (lambda: RRandom(1).rbinom(2, 1, 1.5), "between 0 and 1"),
    (lambda: RRandom(1).sample(3, 4), "without replacement"),
    (lambda: RRandom(1).sample(0, 1, replace=True), "1 of 0"),
    (lambda: RRandom(1).sample(3, -1), "size=-1"),
    (lambda: RRandom(1).sample(3.7), "neither a whole number nor an array"),
    (lambda: RRandom(1).sample(3, prob=[1, 2]), "3 finite numbers"),
    (lambda: RRandom(1).sample(2, prob=[1, -2]), "not negative"),
    (lambda: RRandom(1).sample(3, 3, prob=[1, 2, 0]), "2 have a positive prob"),
    (lambda: RRandom(1).sample(2, 3, replace=True, prob=[0, 0]), "0 have a positive prob"),
    (lambda: RRandom(1).permutations([], 1), "row of values"),
    (lambda: RRandom.resume(np.arange(626)), "Random.seed"),
    (lambda: RRandom.resume([10403, 1]), "Random.seed"),
    (lambda: RRandom.resume([10403, 0, *range(624)]), "Random.seed"),
)  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD)
def test_what_r_would_not_draw_is_an_error(call: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        call()


def test_what_is_not_offered_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="Rejection, Rounding"):
        RRandom(1, "Inversion")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="20 million"):
        RRandom(1).rbinom(1, 10**9, 0.5)


def test_words_are_those_of_the_generator() -> None:
    """The 10000th word of the seed that the C++ standard names for its ``mt19937``: another seeding, the same words."""
    words = Words(1)
    reference = np.random.RandomState(5489).get_state(legacy=False)["state"]
    words.go_to(np.r_[reference["pos"], reference["key"].view(np.int32)])
    assert int(words.take(10_000)[-1]) == 4_123_659_995

"""Diagrams: what is read, what is identified, why not, and how it is drawn.

Identification is held against linear worlds (``diagram_worlds``), textbooks and the answers that dagitty's own tests
state; pgmpy is a second opinion whose known faults are shown here.
"""

from __future__ import annotations

import builtins
import json
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from diagram_worlds import (
    Case,
    World,
    adjusts,
    every_case,
    is_front_door,
    is_instrument,
    some_cases,
    worlds,
)
from typer.testing import CliRunner

from ivbridge import diagrams
from ivbridge.cli import app
from ivbridge.diagrams import Diagram, examine, identify, is_adjustment, judge_adjustment, parse, write
from ivbridge.diagrams.graph import networkx
from ivbridge.diagrams.identify import Identification, forbidden
from ivbridge.diagrams.layout import HEIGHT, arrange
from ivbridge.diagrams.paths import is_open, paths, show
from ivbridge.diagrams.reasons import reason, reasons
from ivbridge.diagrams.second import second_opinion
from ivbridge.diagrams.separators import separators
from ivbridge.errors import DiagramError, MissingExtraError

# ---------------------------------------------------------------- text

READ = {
    "x -> y": ("xy", [("x", "y")], [], ""),
    "x <- y": ("xy", [("y", "x")], [], ""),
    "a -> b <- c": ("abc", [("a", "b"), ("c", "b")], [], ""),
    "x -> y; u [latent]; x <- u -> y": ("xyu", [("x", "y"), ("u", "x"), ("u", "y")], [], "u"),
    "a <-> b\nb <-> a": ("ab", [], [("a", "b")], ""),
    "x -> y  # the effect\n// nothing\nz": ("xyz", [("x", "y")], [], ""),
    "{a, b} -> {c d}": ("abcd", [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")], [], ""),
    "{a\nb} -> c;": ("abc", [("a", "c"), ("b", "c")], [], ""),
    "x -> y; x -> y": ("xy", [("x", "y")], [], ""),
    "u [unobserved] -> x": ("ux", [("u", "x")], [], "u"),
    'dag {\nbb="0,0,1,1"\nu [latent,pos="-1.2,0.5"]\nu -> y\n}': ("uy", [("u", "y")], [], "u"),
    'dag model { x [pos="0,1"]; x -> y }': ("xy", [("x", "y")], [], ""),
}


@pytest.mark.parametrize("text", READ)
def test_a_text_is_read(text: str) -> None:
    nodes, arrows, arcs, latent = READ[text]
    diagram = parse(text).diagram
    assert set(diagram.nodes) == set(nodes)
    assert sorted(diagram.arrows) == sorted(arrows)
    assert (list(diagram.arcs), diagram.latent) == (arcs, frozenset(latent))


def test_marks_and_quoted_names_are_remembered() -> None:
    drawing = parse('"body mass" [exposure]; "body mass" -> risk [outcome]; age [adjusted] -> risk; größe.2 -> risk')
    assert (drawing.treatment, drawing.dependent, drawing.adjusted) == ("body mass", "risk", ("age",))
    assert "größe.2" in drawing.diagram.nodes


WRONG = {
    "x - y": (1, 3, "cannot be read"),
    "x ->": (1, 5, "a node was expected"),
    "a -> b\nx y": (2, 3, "an arrow or the end"),
    "-> y": (1, 1, "a node was expected"),
    "a [odd] -> b": (1, 3, "unknown mark 'odd'"),
    "{a, b": (1, 6, "in braces"),
    "{} -> b": (1, 1, "holds no node"),
    "1a -> b": (1, 1, "cannot be read"),
    "a -> b;\n  c => d": (2, 5, "cannot be read"),
    'a -> "b': (1, 6, "cannot be read"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_read_is_named_with_its_place(text: str) -> None:
    line, column, why = WRONG[text]
    with pytest.raises(DiagramError, match=why) as caught:
        parse(text)
    assert str(caught.value).startswith(f"Line {line}, column {column}: ")


REFUSED = {
    "a -> b -> c -> a": "cycle: a -> b -> c -> a",
    "s -> a -> b; b -> a": "cycle: (a -> b -> a|b -> a -> b)",
    "a -> a": "'a' is joined to itself",
    "a <-> a": "'a' is joined to itself",
    "  ;\n # nothing": "names no node",
    "x [exposure]; z [exposure]": "marks 2 treatments: x, z",
    "dag { x -> y": "does not close it",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_diagram_is_refused(text: str) -> None:
    with pytest.raises(DiagramError, match=REFUSED[text]):
        parse(text)


def test_text_and_diagram_are_one() -> None:
    for case in some_cases(6, 100, seed=3):
        back = parse(write(case.diagram)).diagram
        assert set(back.nodes) == set(case.diagram.nodes)
        assert (set(back.arrows), back.latent) == (set(case.diagram.arrows), case.diagram.latent)
    odd = Diagram(("a b", "c"), (("a b", "c"),), (("c", "a b"),))
    assert parse(write(odd)).diagram == odd


def test_a_diagram_refuses_nodes_that_it_does_not_have() -> None:
    with pytest.raises(DiagramError, match=r"no node 'b'. Available: a"):
        Diagram(("a",), (("a", "b"),))
    diagram = parse("x -> y; u -> y; u [latent]").diagram
    for ends, why in ((("x", "q"), "no node 'q'"), (("x", "u"), "'u' is not observed"), (("x", "x"), "name two nodes")):
        with pytest.raises(DiagramError, match=why):
            identify(diagram, *ends)
    for given, why in ((["u"], "'u' is not observed"), (["y"], "cannot be adjusted for"), (["w"], "no node 'w'")):
        with pytest.raises(DiagramError, match=why):
            is_adjustment(diagram, "x", "y", given)
    with pytest.raises(DiagramError, match=r"Which node is the dependent variable\? Available: x, y"):
        examine("x -> y; u -> y; u [latent]", "x")


# ---------------------------------------------------------------- identification: every diagram on four nodes


@pytest.fixture(scope="module")
def small() -> list[tuple[Case, Identification, list[World]]]:
    """Every diagram on four nodes, every effect, every set of unobserved nodes: 3072 of them."""
    cases = list(every_case(4))
    assert len(cases) == 2**6 * 12 * 4
    return [(case, identify(case.diagram, *case.names), worlds(case.diagram)) for case in cases]


Small = list[tuple[Case, Identification, list[World]]]


def check_adjustment(case: Case, found: Identification, there: list[World]) -> None:
    """Valid sets are those whose regression gives the effect; listed are the minimal ones, and the precise one is."""
    valid = {given for given in case.subsets() if adjusts(case, given, there)}
    named = {given for given in case.subsets() if is_adjustment(case.diagram, *case.names, case.called(given))}
    if found.affects:
        assert named == valid, case
    assert named <= valid, case  # an effect of zero is found by sets that open no path, and by others by chance
    minimal = {given for given in named if not any(other < given for other in named)}
    assert {case.places(one) for one in found.adjustment} == minimal, case
    if found.precise is not None:
        chosen = case.places(found.precise)
        for w in there:
            # the asymptotic variance of the coefficient: noise of y over what is left of x
            spread = {g: w.partial(case.y, case.y, {*g, case.x}) / w.partial(case.x, case.x, g) for g in named}
            assert spread[chosen] <= min(spread.values()) * (1 + 1e-9), case  # rounding of two divisions


def check_front_doors(case: Case, found: Identification, there: list[World]) -> None:
    """Every set that is named gives the effect, and every set that gives it holds one that is named."""
    named = {case.places(one) for one in found.front_doors}
    right = {through for through in case.subsets() if through and is_front_door(case, through, there)}
    assert named <= right, case
    assert all(any(one <= through for one in named) for through in right), case


def check_instruments(case: Case, found: Identification, there: list[World]) -> None:
    """The same of instruments among the nodes that the treatment does not cause."""
    after = case.diagram.descendants([case.names[0]])
    before = [place for place in case.others if case.diagram.nodes[place] not in after]
    right = {
        (z, frozenset(given))
        for z in before
        for size in range(len(before))
        for given in combinations([other for other in before if other != z], size)
        if is_instrument(case, z, frozenset(given), there)
    }
    named = {(case.diagram.nodes.index(one.name), case.places(one.given)) for one in found.instruments}
    assert named <= right, case
    assert all(any(z == name and one <= given for name, one in named) for z, given in right), case


def test_adjustment_sets_are_those_whose_regression_gives_the_effect(small: Small) -> None:
    for one in small:
        check_adjustment(*one)


def test_front_doors_are_the_sets_whose_products_give_the_effect(small: Small) -> None:
    for case, found, there in small:
        if found.affects:
            check_front_doors(case, found, there)


def test_instruments_are_the_nodes_whose_wald_ratio_gives_the_effect(small: Small) -> None:
    for case, found, there in small:
        if found.affects:
            check_instruments(case, found, there)


def test_no_effect_means_that_no_world_has_one(small: Small) -> None:
    for case, found, there in small:
        # a sum over no path is zero but for rounding; a product of three arrows is above .5^3
        assert found.affects == all(abs(w.effects[case.y, case.x]) > 1e-12 for w in there), case
        assert found.complete
        assert (found.by == "no effect") is not found.affects


def test_larger_diagrams_hold_too() -> None:
    """Front doors are sound only: with covariates there are others, which ``identify`` does not look for."""
    for case in some_cases(6, 250, seed=8):
        found, there = identify(case.diagram, *case.names), worlds(case.diagram)
        check_adjustment(case, found, there)
        if found.affects:
            assert all(is_front_door(case, case.places(one), there) for one in found.front_doors)
            assert all(
                is_instrument(case, case.diagram.nodes.index(one.name), case.places(one.given), there)
                for one in found.instruments
            )


def test_a_path_is_open_exactly_where_nodes_are_dependent(small: Small) -> None:
    """Against networkx: some path is open if and only if the nodes are not d-separated."""
    for case, _, _ in small:
        x, y = case.names
        for given in case.subsets():
            fixed = case.called(given)
            some = any(is_open(case.diagram, path, fixed) for path in paths(case.diagram, x, y))
            assert some is not nx.is_d_separator(case.diagram.digraph, {x}, {y}, fixed)


def test_separators_are_all_minimal_ones() -> None:
    for case in some_cases(7, 60, seed=5):
        graph, (x, y) = case.diagram.digraph, case.names
        allowed = case.diagram.observed
        right = [set(s) for s in map(case.called, case.subsets()) if nx.is_d_separator(graph, {x}, {y}, s)]
        minimal = [s for s in right if not any(other < s for other in right)]
        found, complete = separators(graph, x, y, allowed)
        assert complete
        assert sorted(map(sorted, found)) == sorted(map(sorted, minimal))


def test_more_separators_than_can_be_listed_are_said_to_be_more() -> None:
    """Ten ways, each closed at either of two nodes: 2^10 minimal sets."""
    arrows = [pair for i in range(10) for pair in ((f"p{i}", "x"), (f"p{i}", f"q{i}"), (f"q{i}", "y"))]
    names = tuple(dict.fromkeys(name for pair in arrows for name in pair))
    found = identify(Diagram((*names,), (*arrows, ("x", "y"))), "x", "y")
    assert (len(found.adjustment), found.complete) == (200, False)
    assert all(is_adjustment(found.diagram, "x", "y", one) for one in found.adjustment[::20])
    assert "more sets than are listed" in examine(found.diagram, "x", "y").summary()


# ---------------------------------------------------------------- textbooks

PEARL_3_4 = "X1 -> {X3 X4}; X2 -> {X4 X5}; {X3 X4} -> T; {X4 X5} -> Y; T -> X6 -> Y"
SHRIER_PLATT = """
Coach -> {TeamMotivation FitnessLevel}; Genetics -> {FitnessLevel NeuromuscularFatigue ConnectiveTissueDisorder}
TeamMotivation -> {WarmUp PreviousInjury}; FitnessLevel -> {PreGameProprioception NeuromuscularFatigue}
ConnectiveTissueDisorder -> {NeuromuscularFatigue TissueWeakness}; PreGameProprioception -> WarmUp
NeuromuscularFatigue -> {IntraGameProprioception Injury}; ContactSport -> {PreviousInjury IntraGameProprioception}
TissueWeakness -> Injury; WarmUp -> IntraGameProprioception -> Injury
"""
#: Text, treatment, dependent, adjustment sets, front doors, instruments with what is given.
TEXTBOOK: dict[str, tuple[str, str, str, list[str], list[str], list[tuple[str, str]]]] = {
    "one confounder": ("c -> {x y}; x -> y", "x", "y", ["c"], [], []),
    "randomised": ("x -> y; c -> y", "x", "y", [""], [], []),
    "M-bias (Greenland, Pearl and Robins 1999, figure 12)": (
        "x <- u -> m <- v -> y; x -> y; u [latent]; v [latent]", "x", "y", [""], [], []),
    "butterfly, everything observed": ("x <- u -> m <- v -> y; m -> {x y}; x -> y", "x", "y", ["u m", "m v"], [],
                                       [("u", "m v")]),
    "butterfly, the wings not observed": (
        "x <- u -> m <- v -> y; m -> {x y}; x -> y; u [latent]; v [latent]", "x", "y", [], [], []),
    "front door (Pearl 1995, smoking and tar)": ("x -> m -> y; x <-> y", "x", "y", [], ["m"], []),
    "front door of two nodes": ("x -> {a b}; a -> b; {a b} -> y; x <-> y", "x", "y", [], ["a b"], []),
    "front door with a confounded mediator fails": ("x -> m -> y; x <-> y; m <-> y", "x", "y", [], [], []),
    "front door beside a direct arrow fails": ("x -> m -> y; x -> y; x <-> y", "x", "y", [], [], []),
    "instrument": ("z -> x -> y; x <-> y", "x", "y", [], [], [("z", "")]),
    "instrument that acts by itself": ("z -> x -> y; z -> y; x <-> y", "x", "y", [], [], []),
    "instrument given a covariate (Brito and Pearl 2002)": ("w -> z -> x -> y; w -> y; x <-> y; w <-> z", "x", "y", [],
                                                           [], [("z", "w")]),
    "proxy of an unobserved instrument": ("z <- u -> x -> y; x <-> y; u [latent]", "x", "y", [], [], [("z", "")]),
    "a child of the treatment is no instrument": ("x -> {w y}; x <-> y", "x", "y", [], [], []),
    "bow": ("x -> y; x <-> y", "x", "y", [], [], []),
    "selection on the dependent variable": ("x -> y -> s; x -> s", "x", "y", [""], [], []),
    "napkin (Pearl and Mackenzie 2018): z given w": ("w -> z -> x -> y; w <-> x; w <-> y", "x", "y", [], [],
                                                     [("z", "w")]),
    "front door that needs a covariate, which is not looked for": (
        "x -> m -> y; c -> m; c <-> y; x <-> y", "x", "y", [], [], []),
    "back door, Pearl (2009), figure 3.4: {X3, X4} and {X4, X5}, and not {X4}": (
        PEARL_3_4, "T", "Y", ["X1 X4", "X2 X4", "X3 X4", "X4 X5"], ["X6"], []),
    # the next three: the answers that dagitty's own tests state
    "dagitty: two ways": ("S -> T; h -> S; i -> {h T}; x -> {S z}; z -> T", "S", "T", ["h x", "h z", "x i", "i z"], [],
                          []),
    "dagitty: either side of a collider": ("t -> x -> y; u1 -> {t y}; u2 -> {t x}", "x", "y", ["u1", "t u2"], [], []),
    "dagitty: extended confounding": (
        "A -> {E Z}; B -> {D Z}; Z -> {E D}; E -> D; B [latent]", "E", "D", ["A Z"], [], []),
}  # fmt: skip
#: Instruments of these are not stated where the sets come from; some have many, as every randomised treatment has.
UNSTATED = {name for name in TEXTBOOK if name.startswith(("dagitty", "back door", "butterfly, everything"))}


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbooks_agree(name: str) -> None:
    text, x, y, adjustment, fronts, instruments = TEXTBOOK[name]
    found = identify(parse(text).diagram, x, y)
    assert {frozenset(one) for one in found.adjustment} == {frozenset(one.split()) for one in adjustment}
    assert {frozenset(one) for one in found.front_doors} == {frozenset(one.split()) for one in fronts}
    named = {(one.name, frozenset(one.given)) for one in found.instruments}
    stated = {(z, frozenset(given.split())) for z, given in instruments}
    assert stated <= named
    if name not in UNSTATED:
        assert stated == named


def test_pearls_collider_alone_does_not_do() -> None:
    """Pearl (2009), section 3.3.1: conditioning on X4 alone opens the path T, X3, X1, X4, X2, X5, Y."""
    judged = judge_adjustment(parse(PEARL_3_4).diagram, "T", "Y", ["X4"])
    assert not judged.valid
    assert judged.faults == ("T <- X3 <- X1 -> X4 <- X2 -> X5 -> Y becomes open.",)


def test_warming_up_before_sports() -> None:
    """Shrier and Platt (2008), figure 2; the sets that dagitty's tests state with fitness level compulsory."""
    diagram = parse(SHRIER_PLATT).diagram
    found = identify(diagram, "WarmUp", "Injury")
    barred = {"Genetics", "ConnectiveTissueDisorder", "IntraGameProprioception"}
    stated = [{"Coach"}, {"TeamMotivation"}, {"NeuromuscularFatigue", "TissueWeakness"}]
    others = [n for n in diagram.observed if n not in barred | {"WarmUp", "Injury", "FitnessLevel"}]
    valid = [
        set(one)
        for size in range(len(others) + 1)
        for one in combinations(others, size)
        if is_adjustment(diagram, "WarmUp", "Injury", ["FitnessLevel", *one])
    ]
    minimal = [one for one in valid if not any(other < one for other in valid)]
    assert sorted(map(sorted, minimal)) == sorted(map(sorted, stated))
    assert {"NeuromuscularFatigue", "TissueWeakness"} in [set(one) for one in found.adjustment]  # the paper's own


# ---------------------------------------------------------------- reasons

SAID = {
    ("x <- a -> m <- b -> y; x -> y; m -> k", "m"): (
        "collider", "only with others", "opens x <- a -> m <- b -> y; a closes that again"),
    ("x <- a -> m <- b -> y; x -> y; m -> k", "k"): (
        "caused by a collider", "only with others", "opens x <- a -> m <- b -> y"),
    ("x <- a -> m <- b -> y; x -> y; m -> k", "b"): ("cause of the dependent variable", "harmless", "more precise"),
    ("x <- a -> m <- b -> y; x -> y; a [latent]; b [latent]", "m"): ("collider", "never", "no observed node closes"),
    ("x -> m -> y; x <-> y", "m"): ("mediator", "never", "m lies on x -> m -> y"),
    ("x -> m -> y; m <-> y", "m"): ("mediator", "never", "It also opens x -> m <-> y."),
    ("x -> m -> y; m -> d", "d"): ("caused by a mediator", "never", "d is caused by m (m -> d)"),
    ("x -> y -> s", "s"): ("caused by the dependent variable", "never", "s is caused by y (y -> s)"),
    ("x -> y; x -> q", "q"): ("caused by the treatment", "harmless", "no path is opened"),
    ("x -> {c y}; c <- u -> y; u [latent]", "c"): ("collider", "never", "opens x -> c <- u -> y"),
    ("c -> {x y}; x -> y", "c"): ("confounder", "needed", "closes x <- c -> y; every adjustment set holds it"),
    ("c -> d -> x -> y; c -> y", "d"): ("on a back-door path", "one choice", "closes x <- d <- c -> y"),
    ("z -> x -> y", "z"): ("instrument", "harmless", "makes worse whatever confounding"),
    ("x <- u -> m <- v -> y; m -> {x y}; x -> y; u [latent]; v [latent]", "m"): (
        "confounder and collider", "does not suffice", "closes x <- m -> y and opens x <- u -> m <- v -> y"),
    ("z -> x -> y; x <-> y", "z"): ("instrument", "does not suffice", "x <-> y stays open"),
    ("a -> {x m}; b -> {m y}; m -> {x y}; x -> y", "a"): (
        "confounder", "one choice", "closes x <- a -> m -> y; other sets do without it"),
    ("x -> y; w", "w"): ("other", "harmless", "no path is opened"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "name"), SAID)
def test_a_node_has_its_reason(text: str, name: str) -> None:
    role, advice, words = SAID[text, name]
    said = reason(identify(parse(text).diagram, "x", "y"), name)
    assert (said.role, said.advice) == (role, advice)
    assert words in said.why


def test_advice_is_what_trying_every_set_shows(small: Small) -> None:
    """`needed`, `one choice`, `harmless`, `never` and the rest, against all subsets in linear worlds."""
    for case, found, there in small:
        if not found.affects:
            continue
        valid = [given for given in case.subsets() if adjusts(case, given, there)]
        minimal = [one for one in valid if not any(other < one for other in valid)]
        for said in reasons(found):
            place = case.diagram.nodes.index(said.name)
            inside = [one for one in minimal if place in one]
            right = {
                "does not suffice": not valid and said.name not in forbidden(case.diagram, *case.names),
                "needed": bool(minimal) and len(inside) == len(minimal),
                "one choice": 0 < len(inside) < len(minimal),
                "harmless": bool(minimal) and not inside and all(one | {place} in valid for one in minimal),
                "only with others": not inside
                and any(place in one for one in valid)
                and not all(one | {place} in valid for one in minimal),
                "never": not any(place in one for one in valid),
            }
            assert right[said.advice], (case, said)
            if said.advice == "only with others":
                assert frozenset({place}) | case.places(said.others) in valid


def test_paths_that_are_said_to_open_do(small: Small) -> None:
    for case, found, _ in small:
        known = {show(case.diagram, path): path for path in paths(case.diagram, *case.names)}
        for said in reasons(found):
            for text in said.closes:
                assert is_open(case.diagram, known[text], ())
                assert not is_open(case.diagram, known[text], [said.name])
            for text in said.opens:
                assert any(
                    not is_open(case.diagram, known[text], base)
                    and is_open(case.diagram, known[text], {*base, said.name})
                    for base in [(), *found.adjustment]
                )


def test_a_judgement_without_faults_is_a_valid_set(small: Small) -> None:
    for case, _, _ in small:
        for given in case.subsets():
            judged = judge_adjustment(case.diagram, *case.names, case.called(given))
            assert judged.valid is (judged.faults == ())


def test_the_data_have_to_show_what_every_world_shows(small: Small) -> None:
    """A stated independence is a zero partial correlation; where none is stated, no set of observed nodes gives one."""
    done = set()
    for case, _, there in small:
        if case.diagram in done:
            continue
        done.add(case.diagram)
        nodes = case.diagram.nodes
        stated = {(one.one, one.other): one.given for one in diagrams.implications(case.diagram)}
        for pair in combinations(case.diagram.observed, 2):
            i, j = (nodes.index(name) for name in pair)
            rest = [nodes.index(name) for name in case.diagram.observed if name not in pair]
            if pair in stated:
                assert set(stated[pair]) <= set(case.diagram.observed) - set(pair)
                given = case.places(stated[pair])
                # a correlation that is zero comes out within rounding of a 4×4 system; others are above 1e-3
                assert all(abs(w.correlation(i, j, given)) < 1e-12 for w in there), case
                continue
            for size in range(len(rest) + 1):
                for one in combinations(rest, size):
                    assert any(abs(w.correlation(i, j, one)) > 1e-6 for w in there), (case, pair, one)


# ---------------------------------------------------------------- pgmpy


def test_pgmpy_takes_a_child_of_the_treatment_for_an_instrument() -> None:
    """In the linear world its Wald ratio is the confounded least-squares coefficient, far from the effect."""
    diagram = parse("x -> {w y}; u -> {x y}; z -> x").diagram
    case = Case(Diagram(diagram.nodes, diagram.arrows, (), frozenset("u")), 0, 2)
    opinion = second_opinion(identify(case.diagram, "x", "y"))[2]
    assert (opinion.ours, opinion.theirs, opinion.agree) == ("z", "w, z", False)
    assert "pgmpy takes what the treatment causes" in opinion.why
    w, x, y, z = (diagram.nodes.index(name) for name in "wxyz")
    (world, *_) = worlds(case.diagram)
    wald = world.partial(w, y, ()) / world.partial(w, x, ())
    # both are the same ratio of covariances, computed in another order: rounding of 1e-16
    assert wald == pytest.approx(world.partial(x, y, ()) / world.partial(x, x, ()), rel=1e-12)
    assert abs(wald - world.effects[y, x]) > 0.1
    assert world.partial(z, y, ()) / world.partial(z, x, ()) == pytest.approx(world.effects[y, x], rel=1e-12)


def test_pgmpy_differs_only_where_the_reason_is_known(small: Small) -> None:
    """Its adjustment sets are the same everywhere; its instruments and front doors are not."""
    counts = {True: 0, False: 0}
    for case, found, _ in small:
        if not found.affects:
            continue
        for opinion in second_opinion(found):
            counts[opinion.agree] += 1
            assert opinion.agree or opinion.why, (case, opinion)
            assert opinion.agree or "adjustment" not in opinion.question
    assert counts == {True: 2578, False: 98}


# ---------------------------------------------------------------- drawing

MANY = [
    "x -> y", "x -> y; x <-> y; z", "x <- a -> m <- b -> y; m -> {x y}; x -> y", SHRIER_PLATT + "; WarmUp <-> Injury",
    PEARL_3_4, "; ".join(f"v{i} -> v{j}" for i in range(9) for j in range(i + 1, 9, 2)),
    "{a b c d e f} -> {x y}; x -> y", "a;b;c", '"a rather long name of a variable" -> y; y -> z',
]  # fmt: skip


@pytest.mark.parametrize("text", MANY)
def test_a_drawing_has_every_node_and_no_overlap(text: str) -> None:
    diagram = parse(text).diagram
    layout = arrange(diagram)
    boxes = {name: (x, y, layout.widths[name]) for name, (x, y) in layout.centres.items()}
    for (one, (x, y, width)), (other, (u, v, extent)) in combinations(boxes.items(), 2):
        assert abs(y - v) >= HEIGHT or abs(x - u) >= (width + extent) / 2, (one, other)
    for x, y, width in boxes.values():
        assert width / 2 <= x <= layout.size[0] - width / 2
        assert HEIGHT / 2 <= y <= layout.size[1] - HEIGHT / 2
    for cause, effect in diagram.arrows:
        assert layout.centres[cause][0] < layout.centres[effect][0]
        way = [layout.centres[cause], *layout.bends[cause, effect], layout.centres[effect]]
        assert len({round(x, 6) for x, _ in way}) == len(way)
        for x, y in layout.bends[cause, effect]:
            assert all(abs(x - u) > width / 2 or abs(y - v) > HEIGHT / 2 for u, v, width in boxes.values())
    texts = ET.fromstring(diagrams.draw(diagram)).iter("{http://www.w3.org/2000/svg}text")
    assert {node.text for node in texts} >= set(diagram.nodes)


def shapes(svg: str, kind: str) -> list[str]:
    """Classes of the shapes of one kind, legend included."""
    return [node.get("class", "") for node in ET.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{kind}")]


def test_a_drawing_says_what_is_what() -> None:
    diagram = parse("x <- u -> y; x -> y; u [latent]; x <- c -> y").diagram
    svg = diagrams.draw(diagram, "x", "y", ["c"])
    assert sorted(shapes(svg, "rect")[:4]) == ["node adjusted", "node dependent", "node latent", "node treatment"]
    assert sum("biasing" in one for one in shapes(svg, "path")) == 2 + 1 + 1  # two arrows, the legend, a head
    assert "held fixed" in svg
    assert "open path that is not the effect" in svg
    closed = diagrams.draw(parse("x <- c -> y; x -> y").diagram, "x", "y", ["c"])
    assert "open path" not in closed
    assert "the effect" in closed


def test_a_drawing_is_the_same_every_time_and_harmless() -> None:
    diagram = Diagram(("<b>&\"'", "y"), (("<b>&\"'", "y"),))
    svg = diagrams.draw(diagram)
    assert svg == diagrams.draw(diagram)
    assert "<b>" not in svg
    assert "&lt;b&gt;&amp;" in svg
    assert not re.search(r"<script|href|url\((?!#ivb)", svg)


# ---------------------------------------------------------------- report and command


def test_what_would_have_to_be_observed_is_said() -> None:
    report = examine("x <- u -> y; x -> y; u [latent]; v [latent] -> w", "x", "y")
    assert report.missing == ("u",)
    assert not report.ok
    assert "Observing u would give an adjustment set." in report.sentences
    assert "No set of observed nodes will do for adjustment: x <- u -> y is open." in report.sentences


def test_an_effect_of_zero_is_said() -> None:
    report = examine("y -> x; c -> {x y}", "x", "y")
    assert report.sentences == ("No path along arrows leads from x to y: the diagram says that the effect is zero.",)
    assert (report.found.by, report.commands) == ("no effect", ())


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["dag", *arguments], prog_name="ivbridge", env={"COLUMNS": "80"})


def test_the_command_says_sets_and_reasons(tmp_path: Path) -> None:
    text = "x -> y; x <- a -> m <- b -> y; m -> k"
    done = run(text, "-t", "x", "-y", "y", "--adjust", "m", "--svg", str(tmp_path / "d.svg"), "--report",
               str(tmp_path / "d.html"))  # fmt: skip
    assert done.exit_code == 1, done.output
    assert "{m} is no valid adjustment set.\n  - x <- a -> m <- b -> y becomes open." in done.output
    assert "ivbridge causal DATA --dependent y --treatment x --covariates b" in done.output
    svg = (tmp_path / "d.svg").read_text(encoding="utf-8")
    assert ET.fromstring(svg).tag.endswith("svg")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert svg.strip() in page
    assert "x &lt;- a -&gt; m &lt;- b -&gt; y becomes open." in page
    assert "<script" not in page
    assert run(text, "-t", "x", "-y", "y", "--adjust", "m,a").exit_code == 0
    assert run(text, "-t", "x", "-y", "y", "--adjust", "").exit_code == 0


def test_the_command_reads_a_file_and_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text("dag {\nx [exposure]\ny [outcome]\nx -> y\nx <-> y\nz -> x\n}\n", encoding="utf-8")
    done = run(str(path), "--json", "--check")
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["identified_by"] == "instrument"
    assert said["instruments"] == [{"name": "z", "given": []}]
    assert [one["agree"] for one in said["second_opinion"]] == [True, True, True]
    assert said["commands"] == [
        "ivbridge causal DATA --dependent y --treatment x --instruments z --estimand LATE --method two_stage"
    ]
    path.write_bytes(b"\xff\xfe")
    assert "is not text in UTF-8" in run(str(path)).output


def test_the_command_ends_with_2_where_it_cannot_run(tmp_path: Path) -> None:
    for arguments, why in (
        (["x -> y -> x", "-t", "x", "-y", "y"], "cycle: "),
        (["x -> y"], "Which node is the treatment?"),
        (["x -> y", "-t", "x", "-y", "q"], "no node 'q'"),
        (["x -> y", "-t", "x", "-y", "y", "--svg", str(tmp_path / "no" / "d.svg")], "no folder"),
    ):
        done = run(*arguments)
        assert (done.exit_code, why in done.output) == (2, True), done.output


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("networkx", "pgmpy"):
            raise ImportError(name)
        return real(name, *rest, **more)

    found = identify(parse("x -> y").diagram, "x", "y")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pgmpy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    for ask in (networkx, lambda: second_opinion(found)):
        with pytest.raises(MissingExtraError, match=r'pip install "ivbridge\[diagrams\]"'):
            ask()


# ---------------------------------------------------------------- size and files


def test_paths_are_all_there_and_short_ones_come_first() -> None:
    diagram = parse("a -> b; a -> c; b -> d; c -> d; b -> c; d -> e; a -> e; e -> f; c -> f").diagram
    every = list(nx.all_simple_paths(diagram.digraph.to_undirected(), "a", "f"))
    assert sorted(paths(diagram, "a", "f")) == sorted(map(tuple, every))
    assert [len(path) for path in paths(diagram, "a", "f")] == sorted(map(len, every))


def test_two_hundred_nodes_end_in_an_answer_that_says_what_was_left_out() -> None:
    """A chain with shortcuts has more paths than can be walked, and front doors among 198 nodes."""
    arrows = [f"n{i} -> n{j}" for i in range(200) for j in (i + 1, i + 7) if j < 200]
    found = examine("; ".join(arrows), "n0", "n199")
    assert found.found.adjustment == ((),) and found.ok
    assert (found.verdicts, found.independences) == ((), ())
    assert "Of 200 nodes, none is looked at by itself" in found.summary()
    assert not found.found.complete


@pytest.mark.parametrize("option", ["--svg", "--report"])
def test_a_file_of_another_kind_is_refused(option: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["dag", "x -> y", "-t", "x", "-y", "y", option, str(tmp_path / "page.pdf")])
    assert result.exit_code == 2
    assert "names ending in" in result.stderr and not list(tmp_path.iterdir())

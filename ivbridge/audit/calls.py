"""What calls of functions and methods mean: random numbers, models that are fitted, tables; others are only noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ivbridge.audit.nodes import FITTED, Node, Place, Program, Stream, constant
from ivbridge.audit.vocabulary import DISTRIBUTIONS

__all__ = ["call", "fit_of", "method"]

#: Methods and functions that leave the values of a column or a table what they are.
_SAME = frozenset(["to_numpy", "ravel", "flatten", "astype", "reshape", "squeeze", "tolist", "to_list"])
_WRAPPED = frozenset(("numpy.asarray", "numpy.array", "numpy.ravel", "numpy.squeeze", "pandas.Series", "float", "list"))
_GENERATORS = frozenset(("default_rng", "RandomState", "Generator", "PCG64", "SeedSequence"))
_FITS = frozenset(("fit", "fit_transform", "fit_predict", "fit_resample", "fit_regularized", "train"))
#: Names by which a generator is passed to a function.
_GENERATOR_NAMES = frozenset(("rng", "random", "generator", "random_state", "rs", "gen"))
_WITHIN = frozenset(("best_estimator_", "named_steps", "estimator_", "model_", "result", "results"))


def fit_of(program: Program, model: Node) -> Node | None:
    """The last call that fitted this model, if any did."""
    if model.op == "method" and model.name in _FITS:
        return model
    if model in program.fits:
        return program.fits[model]
    if model.op in ("attribute", "column") and model.name in _WITHIN:
        return fit_of(program, model.args[0])
    return None


def call(name: str, given: Sequence[Node], named: Mapping[str, Node], place: Place, program: Program) -> Node:
    """A function or a class is called."""
    if name == "len":
        return program.make("call", "len", (), place)  # how many rows there are says nothing about what is in them
    ending = name.rpartition(".")[2]
    if name in _WRAPPED and len(given) == 1 and given[0].op not in ("list", "dict", "constant"):
        return given[0]
    if name in ("numpy.random.seed", "random.seed"):
        program.stream = _started(program, given[0] if given else None, "numpy.random", place)
    module = name.rpartition(".")[0]
    if ending in DISTRIBUTIONS and module in ("numpy.random", "random"):
        return _draw(program, program.stream, ending, given, named, place)
    if ending == "rvs":
        return program.make("draw", module, given, place, keywords=named, unique=True)
    if ending in _GENERATORS and (module in ("numpy.random", "") or module.endswith("random")):
        made = program.make("call", name, given, place, keywords=named, unique=True)
        seed = given[0] if given else named.get("seed")
        program.generators[made] = _started(program, seed, ending, place)
        return made
    # a class makes a new thing each time; a function gives the same for the same
    made = program.make("call", name, given, place, keywords=named, unique=ending[:1].isupper())
    if ending == "DataFrame" and given and given[0].op == "dict":
        program.columns[made] = dict(zip(given[0].name.split("\0"), given[0].args, strict=False))
        for title, value in program.columns[made].items():
            value.labels.append(title)
    return made


def method(
    base: Node, name: str, given: Sequence[Node], named: Mapping[str, Node], place: Place, program: Program
) -> Node:
    """A method of a value is called."""
    if name in _SAME:
        return base
    stream = program.generators.get(base)
    if name in DISTRIBUTIONS and (stream or (base.op == "input" and base.name in _GENERATOR_NAMES)):
        return _draw(program, stream or Stream(None, base.name, place), name, given, named, place)
    if name == "rvs":
        return program.make("draw", name, (base, *given), place, keywords=named, unique=True)
    said = dict(named)
    if name not in _FITS and (fit := fit_of(program, base)):
        said[FITTED] = fit
    made = program.make("method", name, (base, *given), place, keywords=said)
    if name in _FITS:
        program.fits[base] = made
    if name == "assign":
        program.columns[made] = {**program.columns.get(base, {}), **named}
        for title, value in named.items():
            value.labels.append(title)
    return made


def _started(program: Program, seed: Node | None, kind: str, place: Place) -> Stream:
    stream = Stream(constant(seed), kind, place)
    program.streams.append(stream)
    return stream


def _draw(
    program: Program, stream: Stream, name: str, given: Sequence[Node], named: Mapping[str, Node], place: Place
) -> Node:
    made = program.make("draw", name, given, place, keywords=named, value=len(stream.draws), unique=True)
    stream.draws.append(made)
    return made

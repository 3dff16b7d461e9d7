"""Columns of tables: what ``df["x"]``, ``df.loc[rows, "x"]`` and ``df["x"] = …`` mean."""

from __future__ import annotations

from collections.abc import Iterable

from ivbridge.audit.nodes import Node, Place, Program, constant

__all__ = ["chosen", "column", "columns_of", "keep_column"]

#: Methods that give the same rows and columns again, or some of the rows.
COPIES = frozenset(
    ["copy", "reset_index", "dropna", "sort_values", "sort_index", "sample", "head", "tail", "query", "fillna", "round"]
)
#: Functions that put columns beside each other.
JOINED = frozenset(
    ["add_constant", "column_stack", "concat", "hstack", "concatenate", "c_", "DataFrame", "asarray", "array"]
)


def column(program: Program, table: Node, name: str, place: Place) -> Node:
    """The column of a table, as it was last assigned."""
    own = program.columns.setdefault(table, {})
    if name in own:
        return own[name]
    if table.op == "subset":
        rows = table.args[1]
        return program.make("take", name, (column(program, table.args[0], name, place), rows), place)
    if table.op == "method" and table.name == "groupby":
        return program.make("take", name, (column(program, table.args[0], name, place), table), place)
    if table.op == "method" and table.name in COPIES:
        return column(program, table.args[0], name, place)
    if table.op in ("method", "call") and table.name.endswith(("assign", "add_constant")) and table.args:
        return column(program, table.args[0], name, place)
    if table.op == "columns" and (kept := [one for one in table.args if one.name == name or name in one.labels]):
        return kept[0]
    own[name] = program.make("column", name, (table,), place)
    return own[name]


def keep_column(program: Program, table: Node, name: str, value: Node) -> None:
    """Note that a column was assigned."""
    program.columns.setdefault(table, {})[name] = value
    value.labels.append(name)


def chosen(program: Program, table: Node, index: Node, place: Place) -> Node:
    """What ``table[index]`` is: a column, several columns, or some rows."""
    picked = constant(index)
    if isinstance(picked, str):
        return column(program, table, picked, place)
    if isinstance(picked, tuple) and picked and all(isinstance(one, str) for one in picked):
        parts = [column(program, table, str(one), place) for one in picked]
        return program.make("columns", ",".join(map(str, picked)), parts, place)
    return program.make("subset", "", (table, index), place)


def columns_of(program: Program, node: Node | None) -> tuple[Node, ...]:
    """The columns that a matrix of regressors is made of, as far as they are known; itself where it is one column."""
    if node is None:
        return ()
    added = [one for one in program.columns.get(node, {}).values() if one.op != "column"]
    if node.op == "columns":
        return (*node.args, *added)
    name = node.name.rpartition(".")[2]
    if node.op == "call" and name in JOINED:
        return (*_flat(program, node.args), *added)
    if node.op == "list":
        return _flat(program, node.args)
    if node.op in ("subset", "split"):
        return columns_of(program, node.args[0])
    if node.op == "method" and node.name in ("fit_transform", "transform", "assign", "drop", "join", *COPIES):
        source = node.args[1] if node.name.endswith("transform") and len(node.args) > 1 else node.args[0]
        return (*columns_of(program, source), *added)
    return (node, *added)


def _flat(program: Program, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Columns of several matrices; constants are none."""
    return tuple(one for node in nodes if node.op != "constant" for one in columns_of(program, node))

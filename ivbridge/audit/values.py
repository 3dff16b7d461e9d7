"""What an expression means: its node, made from the nodes of what it uses."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any

from ivbridge.audit.calls import call, fit_of, method
from ivbridge.audit.nodes import FITTED, Node
from ivbridge.audit.scope import DEEPEST, Scope
from ivbridge.audit.tables import chosen, column, keep_column

__all__ = ["assign_item", "evaluate"]

#: Modules by the names that everybody gives them, where a fragment does not import them.
_MODULES = frozenset(("np", "pd", "sm", "smf", "plt", "sns", "stats"))
_LOCATORS = frozenset(("loc", "iloc", "at", "iat"))


def evaluate(node: ast.expr, scope: Scope) -> Node:
    """The node of an expression."""
    kind = _KINDS.get(type(node))
    if kind is not None:
        return kind(node, scope)
    parts = [evaluate(one, scope) for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]
    return scope.program.make("mixed", type(node).__name__, parts, scope.place(node))


def assign_item(target: ast.Subscript, value: Node, scope: Scope) -> None:
    """``df["x"] = …``, ``df.loc[rows, "x"] = …``, ``a[rows] = …``."""
    base = evaluate(_table(target), scope)
    index = target.slice
    parts = index.elts if isinstance(index, ast.Tuple) and _locates(target) else [index]
    rows = None if len(parts) == 1 and not _locates(target) else parts[0]
    names = evaluate(parts[-1], scope)
    if isinstance(names.value, str):
        if rows is not None and not isinstance(rows, ast.Slice):
            old = column(scope.program, base, names.value, scope.place(target))
            value = scope.program.make("filled", "", (old, value, evaluate(rows, scope)), scope.place(target))
        keep_column(scope.program, base, names.value, value)
    elif isinstance(target.value, ast.Name):
        place = scope.place(target)
        scope.bind(target.value.id, scope.program.make("filled", "", (base, value, names), place), place)


def _locates(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Attribute) and node.value.attr in _LOCATORS


def _table(node: ast.Subscript) -> ast.expr:
    """The table of ``df[…]`` and of ``df.loc[…]``."""
    return node.value.value if isinstance(node.value, ast.Attribute) and _locates(node) else node.value


def _constant(node: ast.Constant, scope: Scope) -> Node:
    return scope.program.make("constant", "", (), scope.place(node), value=node.value)


def _name(node: ast.Name, scope: Scope) -> Node:
    scope.program.loads.setdefault(node.id, []).append(scope.place(node))
    if node.id in scope.names:
        return scope.names[node.id]
    if node.id in scope.imports or node.id in scope.functions or node.id in _MODULES or hasattr(builtins, node.id):
        return scope.program.make("global", scope.imports.get(node.id, node.id), (), scope.place(node))
    # made elsewhere, in a file that this one continues
    scope.names[node.id] = scope.program.make("input", node.id, (), scope.place(node))
    return scope.names[node.id]


def _attribute(node: ast.Attribute, scope: Scope) -> Node:
    base, program, place = evaluate(node.value, scope), scope.program, scope.place(node)
    if base.op == "global":
        return program.make("global", f"{base.name}.{node.attr}", (), place)
    if node.attr in ("values", "array"):
        return base
    if node.attr in ("shape", "size", "index", "columns"):
        return program.make("call", node.attr, (), place)
    if node.attr in program.columns.get(base, {}):
        return column(program, base, node.attr, place)
    fit = fit_of(program, base)
    return program.make("attribute", node.attr, (base,), place, keywords={FITTED: fit} if fit else {})


def _call(node: ast.Call, scope: Scope) -> Node:
    function, place = node.func, scope.place(node)
    if isinstance(function, ast.Name) and function.id not in scope.names:  # also of a star import
        base = scope.program.make("global", scope.imports.get(function.id, function.id), (), place)
    else:
        base = evaluate(function.value if isinstance(function, ast.Attribute) else function, scope)
    given = [evaluate(one, scope) for one in node.args]
    named = {one.arg or "**": evaluate(one.value, scope) for one in node.keywords}
    own = scope.functions.get(base.name) if base.op == "global" and isinstance(function, ast.Name) else None
    if own is not None:
        result = scope.run(own, given, named, scope) if scope.depth < DEEPEST else None
        return result or scope.program.make("mixed", base.name, (*given, *named.values()), place)
    if isinstance(function, ast.Attribute):
        if base.op != "global":
            return method(base, function.attr, given, named, place, scope.program)
        return call(f"{base.name}.{function.attr}", given, named, place, scope.program)
    if base.op == "global":
        return call(base.name, given, named, place, scope.program)
    return scope.program.make("mixed", "call", (base, *given, *named.values()), place)


def _subscript(node: ast.Subscript, scope: Scope) -> Node:
    base, index, program, place = evaluate(_table(node), scope), node.slice, scope.program, scope.place(node)
    if not isinstance(index, ast.Tuple) or not index.elts:
        if isinstance(index, ast.Slice) and not (index.lower or index.upper or index.step):
            return base
        return chosen(program, base, evaluate(index, scope), place)
    rows, rest = index.elts[0], index.elts[1:]
    if not (isinstance(rows, ast.Slice) and not (rows.lower or rows.upper or rows.step)):
        base = program.make("subset", "", (base, evaluate(rows, scope)), place)
    if len(rest) == 1 and (_locates(node) or isinstance(rest[0], ast.Name | ast.Call | ast.Compare | ast.Attribute)):
        return base if isinstance(rest[0], ast.Slice) else chosen(program, base, evaluate(rest[0], scope), place)
    return base


def _arithmetic(node: ast.BinOp, scope: Scope) -> Node:
    left, right = evaluate(node.left, scope), evaluate(node.right, scope)
    place = scope.place(node)
    if isinstance(node.op, ast.Add) and left.op == right.op == "list":
        return scope.program.make("list", "", (*left.args, *right.args), place)
    return scope.program.make("arith", type(node.op).__name__, (left, right), place)


def _unary(node: ast.UnaryOp, scope: Scope) -> Node:
    inner, place = evaluate(node.operand, scope), scope.place(node)
    if isinstance(node.op, ast.USub) and inner.op == "constant" and isinstance(inner.value, int | float):
        return scope.program.make("constant", "", (), place, value=-inner.value)
    return scope.program.make("arith", type(node.op).__name__, (inner,), place)


def _compare(node: ast.Compare, scope: Scope) -> Node:
    parts = [evaluate(one, scope) for one in (node.left, *node.comparators)]
    return scope.program.make("compare", type(node.ops[0]).__name__, parts, scope.place(node))


def _list(node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Node:
    return scope.program.make("list", "", [evaluate(one, scope) for one in node.elts], scope.place(node))


def _starred(node: ast.Starred, scope: Scope) -> Node:
    return evaluate(node.value, scope)


def _dict(node: ast.Dict, scope: Scope) -> Node:
    pairs = zip(node.keys, node.values, strict=True)
    items = [(str(getattr(key, "value", "**")), evaluate(value, scope)) for key, value in pairs]
    return scope.program.make("dict", "\0".join(key for key, _ in items), [v for _, v in items], scope.place(node))


def _comprehension(node: Any, scope: Scope) -> Node:
    scope.loop += 1
    kept = dict(scope.names)
    for part in node.generators:
        source = evaluate(part.iter, scope)
        each = scope.program.make("each", "", (source,), scope.place(node), unique=True)
        scope.assign(part.target, each, scope)
        for condition in part.ifs:
            evaluate(condition, scope)
    elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    made = scope.program.make("mixed", type(node).__name__, [evaluate(e, scope) for e in elements], scope.place(node))
    scope.names = kept
    scope.loop -= 1
    return made


def _lambda(node: ast.Lambda, scope: Scope) -> Node:
    kept = dict(scope.names)
    for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        scope.names[one.arg] = scope.program.make("input", one.arg, (), scope.place(node), unique=True)
    made = scope.program.make("mixed", "Lambda", (evaluate(node.body, scope),), scope.place(node))
    scope.names = kept
    return made


def _text(node: ast.JoinedStr, scope: Scope) -> Node:
    parts = [evaluate(one.value, scope) for one in node.values if isinstance(one, ast.FormattedValue)]
    return scope.program.make("mixed", "JoinedStr", parts, scope.place(node))


def _walrus(node: ast.NamedExpr, scope: Scope) -> Node:
    value = evaluate(node.value, scope)
    scope.assign(node.target, value, scope)
    return value


def _slice(node: ast.Slice, scope: Scope) -> Node:
    parts = [evaluate(one, scope) for one in (node.lower, node.upper, node.step) if one is not None]
    return scope.program.make("mixed", "Slice", parts, scope.place(node))


_KINDS: dict[type[ast.expr], Callable[[Any, Scope], Node]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Attribute: _attribute, ast.Call: _call, ast.Subscript: _subscript,
    ast.BinOp: _arithmetic, ast.UnaryOp: _unary, ast.Compare: _compare, ast.List: _list, ast.Tuple: _list,
    ast.Set: _list, ast.Starred: _starred, ast.Dict: _dict, ast.ListComp: _comprehension, ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension, ast.DictComp: _comprehension, ast.Lambda: _lambda, ast.JoinedStr: _text,
    ast.NamedExpr: _walrus, ast.Slice: _slice,
}  # fmt: skip

"""Follow values through a program without running it: names, columns of tables, models, random numbers.

A small abstract interpreter. It takes statements in their order, both branches of a condition, loops once, and calls
of the program's own functions with their arguments. What it does not know becomes a node that says nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from ivbridge.audit.nodes import Node, Place, Program
from ivbridge.audit.reading import Source
from ivbridge.audit.scope import Function, Scope
from ivbridge.audit.tables import keep_column
from ivbridge.audit.values import assign_item, evaluate

__all__ = ["follow"]


def follow(source: Source) -> Program:
    """Follow all cells in the order in which they stand."""
    program = Program()
    scope = Scope(program, run_function, assign)
    for place, cell in enumerate(source.cells):
        scope.cell, scope.shift = place, cell.first
        tree = ast.parse(cell.code)
        program.words |= _words(tree)
        execute(tree.body, scope)
    for name, function in list(scope.functions.items()):
        if name not in scope.seen:
            run_function(function, [], {}, scope)
    return program


def _words(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.update(node.name.split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def execute(body: Iterable[ast.stmt], scope: Scope) -> None:
    """Follow statements."""
    for statement in body:
        _statement(statement, scope)


def _statement(node: ast.stmt, scope: Scope) -> None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        _imports(node, scope)
    elif isinstance(node, ast.Assign):
        value = evaluate(node.value, scope)
        for target in node.targets:
            assign(target, value, scope)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        assign(node.target, evaluate(node.value, scope), scope)
    elif isinstance(node, ast.AugAssign):
        old = evaluate(_loaded(node.target), scope)
        made = scope.program.make(
            "arith", type(node.op).__name__, (old, evaluate(node.value, scope)), scope.place(node)
        )
        assign(node.target, made, scope)
    elif isinstance(node, ast.Expr):
        evaluate(node.value, scope)
    elif isinstance(node, ast.Return):
        if node.value is not None:
            scope.returned.append(evaluate(node.value, scope))
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        scope.functions[node.name] = Function(node, scope.cell, scope.shift)
        scope.seen.discard(node.name)
    else:
        _block(node, scope)


def _block(node: ast.stmt, scope: Scope) -> None:
    """Statements that hold others."""
    if isinstance(node, ast.For | ast.AsyncFor):
        each = scope.program.make("each", "", (evaluate(node.iter, scope),), scope.place(node), unique=True)
        scope.loop += 1
        assign(node.target, each, scope)
        execute(node.body, scope)
        scope.loop -= 1
        execute(node.orelse, scope)
    elif isinstance(node, ast.While):
        evaluate(node.test, scope)
        scope.loop += 1
        execute(node.body, scope)
        scope.loop -= 1
    elif isinstance(node, ast.If):
        evaluate(node.test, scope)
        execute([*node.body, *node.orelse], scope)
    elif isinstance(node, ast.With | ast.AsyncWith):
        for item in node.items:
            value = evaluate(item.context_expr, scope)
            if item.optional_vars is not None:
                assign(item.optional_vars, value, scope)
        execute(node.body, scope)
    elif isinstance(node, ast.Try):
        execute([*node.body, *(s for h in node.handlers for s in h.body), *node.orelse, *node.finalbody], scope)
    elif isinstance(node, ast.ClassDef):
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        for method in methods:
            run_function(Function(method, scope.cell, scope.shift), [], {}, scope)
    elif isinstance(node, ast.Assert):
        evaluate(node.test, scope)


def _imports(node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            scope.imports[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
        elif alias.asname:
            scope.imports[alias.asname] = alias.name
        else:
            top = alias.name.partition(".")[0]
            scope.imports[top] = top
        scope.names.pop(alias.asname or alias.name.partition(".")[0], None)


def _loaded(target: ast.expr) -> ast.expr:
    """The target of ``+=`` as an expression that is read."""
    copied = ast.parse(ast.unparse(target), mode="eval").body
    return ast.copy_location(copied, target)


def assign(target: ast.expr, value: Node, scope: Scope) -> None:
    """Give a value to a name, a column, or several values to several targets."""
    program, place = scope.program, scope.place(target)
    if isinstance(target, ast.Name):
        scope.bind(target.id, value, place)
    elif isinstance(target, ast.Attribute):
        base = evaluate(target.value, scope)
        if base.op not in ("global", "attribute"):
            keep_column(program, base, target.attr, value)
    elif isinstance(target, ast.Subscript):
        assign_item(target, value, scope)
    elif isinstance(target, ast.Starred):
        assign(target.value, value, scope)
    elif isinstance(target, ast.Tuple | ast.List):
        for i, one in enumerate(target.elts):
            assign(one, _part(value, i, len(target.elts), scope, place), scope)


def _part(value: Node, i: int, length: int, scope: Scope, place: Place) -> Node:
    if value.op == "list" and len(value.args) == length:
        return value.args[i]
    if value.op == "call" and value.name.endswith("train_test_split") and i // 2 < len(value.args):
        side = scope.program.make("constant", "", (), place, value=i % 2)
        return scope.program.make("split", "test" if i % 2 else "train", (value.args[i // 2], value, side), place)
    return scope.program.make("part", str(i), (value,), place)


def run_function(function: Function, given: list[Node], named: dict[str, Node], scope: Scope) -> Node | None:
    """Follow the body of a function of the program with these arguments; what it returns, if that is known."""
    inner = scope.inner(function)
    arguments = function.node.args
    scope.seen.add(function.node.name)
    positional = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    defaults = dict(zip(positional[::-1], arguments.defaults[::-1], strict=False))
    for i, name in enumerate([*positional, *(one.arg for one in arguments.kwonlyargs)]):
        if i < min(len(given), len(positional)):
            inner.names[name] = given[i]
        elif name in named:
            inner.names[name] = named[name]
        elif name in defaults:
            inner.names[name] = evaluate(defaults[name], inner)
        else:
            inner.names[name] = scope.program.make("input", name, (), inner.place(function.node), unique=True)
    execute(function.node.body, inner)
    return inner.returned[-1] if inner.returned else None

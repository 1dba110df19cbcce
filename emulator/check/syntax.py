"""Questions about Python syntax trees that several rules ask."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping

Function = ast.FunctionDef | ast.AsyncFunctionDef


def statements_of_module(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements at the top of a module, also those inside `if` and `try`."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            for name in ("body", "orelse", "finalbody"):
                waiting += getattr(node, name, ())
            for handler in getattr(node, "handlers", ()):
                waiting += handler.body


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body, not those of functions and classes inside of it."""
    waiting = list(ast.iter_child_nodes(function))
    if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        waiting = list(function.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting[:0] = ast.iter_child_nodes(node)


def parameters_of(function: Function) -> list[str]:
    """Return the names of a function's parameters, without *args and **kwargs."""
    arguments = function.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def is_generator(function: ast.AST) -> bool:
    """Whether a function contains a `yield` of its own."""
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own_nodes(function))


def parents_in(function: Function) -> Mapping[int, ast.AST]:
    """Return the parent of each node of a function's own body, by the id of the node."""
    # By identity: syntax trees have no equality, and two equal calls are two calls.
    return {id(child): node for node in (function, *own_nodes(function)) for child in ast.iter_child_nodes(node)}


def has_yield(node: ast.AST) -> bool:
    """Whether an expression contains a `yield` that belongs to the function around it."""
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(inner, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(inner)
    return False


def assigned_name(node: ast.AST | None) -> str | None:
    """Return `x` for the statement `x = …`; None for all others, also for several targets."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def method_call(node: ast.AST, names: Collection[str], methods: Collection[str]) -> str | None:
    """Return the method if a node is a call such as `context.call_activity(…)`, of a variable of one of these names."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in methods
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in names
    ):
        return node.func.attr
    return None

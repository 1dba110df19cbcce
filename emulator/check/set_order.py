"""Rule about sets whose order decides about tasks: for texts it differs between processes, and so between replays."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set

from emulator.check.findings import Finding
from emulator.check.resolving import Scope
from emulator.check.syntax import own_nodes
from emulator.worker.mistakes import TASK_METHODS


def set_order_findings(scope: Scope, who: str) -> Iterator[Finding]:
    """Yield loops over sets in which a function creates tasks. `who`: the orchestrator, for messages."""
    assignments = [
        (target.id, is_set(node.value, scope))
        for node in own_nodes(scope.function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    # A variable that is also something else, such as its sorted list, is not judged.
    others = {name for name, of_set in assignments if not of_set}
    sets = {name for name, of_set in assignments if of_set} - others
    for node in own_nodes(scope.function):
        iterated: ast.expr | None = None
        if isinstance(node, ast.For) and any(map(contains_task, node.body)):
            iterated = node.iter
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp)) and contains_task(node.elt):
            iterated = node.generators[0].iter
        if iterated is not None and is_set(iterated, scope, sets):
            text = f"The order of a set decides about tasks of {who}, and differs between processes. Use sorted(…)."
            yield scope.source.finding("AZ210", iterated, text)


def is_set(node: ast.expr, scope: Scope, names: Set[str] = frozenset()) -> bool:
    """Whether an expression is certainly a set. `names`: variables that are sets."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
        return not scope.is_local(node.func.id)
    return isinstance(node, (ast.Set, ast.SetComp)) or (isinstance(node, ast.Name) and node.id in names)


def contains_task(node: ast.AST) -> bool:
    """Whether code calls a method that creates a task, on any object."""
    return any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in TASK_METHODS
        for inner in ast.walk(node)
    )

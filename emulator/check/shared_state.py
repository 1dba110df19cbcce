"""Rule about global variables that an orchestrator changes: all instances of the process share them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from emulator.check.findings import Finding
from emulator.check.resolving import Scope
from emulator.check.syntax import own_nodes

_MUTATIONS: Final = frozenset(
    ("append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear")
)
_CONTAINERS: Final = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_CONTAINER_CALLS: Final = frozenset(("list", "dict", "set", "defaultdict", "deque"))


def shared_state_findings(scope: Scope, who: str) -> Iterator[Finding]:
    """Yield where a function changes a variable of its module. `who`: the orchestrator, for messages."""
    advice = "Each replay changes it again, for all instances of this process. Keep state in local variables."
    shared = {name for node in own_nodes(scope.function) if isinstance(node, ast.Global) for name in node.names}
    for node in own_nodes(scope.function):
        changed: ast.AST | None = None
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            # Without `global`, an assignment makes a local variable.
            changed = node if node.id in shared else None
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            changed = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATIONS:
            changed = node.func.value
        if isinstance(changed, ast.Name) and (changed.id in shared or is_container_of_module(changed.id, scope)):
            text = f"The global variable '{changed.id}' is changed by {who}. {advice}"
            yield scope.source.finding("AZ209", node, text)


def is_container_of_module(name: str, scope: Scope) -> bool:
    """Whether a name is a variable of the file that holds a list, dict or set."""
    definition = scope.source.definitions.get(name)
    if scope.is_local(name) or not isinstance(definition, (ast.Assign, ast.AnnAssign)):
        return False
    value = definition.value
    if isinstance(value, ast.Call):
        # Other objects may have methods of these names that change nothing.
        return getattr(value.func, "id", getattr(value.func, "attr", "")) in _CONTAINER_CALLS
    return isinstance(value, _CONTAINERS)

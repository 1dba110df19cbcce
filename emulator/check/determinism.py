"""Rules about orchestrator code that gives another result, or does something again, when it is replayed.

Calls of functions of the app are followed, so a helper that reads the clock is found, too. What only a log line needs,
and what runs only `if not context.is_replaying`, is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from emulator.check.findings import Finding
from emulator.check.forbidden_calls import ENVIRONMENT, forbidden_call
from emulator.check.functions import Declared
from emulator.check.resolving import Scope
from emulator.check.set_order import contains_task, set_order_findings
from emulator.check.shared_state import shared_state_findings
from emulator.check.syntax import own_nodes

_LOG_METHODS: Final = frozenset(("debug", "info", "warning", "error", "critical", "exception", "log"))
# Deeper chains of helpers are rare.
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class _Way:
    """How an orchestrator comes to a function. `chain`: the names of the helpers on the way."""

    orchestrator: Declared
    chain: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        name = f"the orchestrator '{self.orchestrator.shown_name}'"
        return f"{name} (through {' → '.join(self.chain)})" if self.chain else name


def determinism_findings(orchestrator: Declared) -> Iterator[Finding]:
    """Yield what an orchestrator, and each function of the app that it calls, must not do."""
    way = _Way(orchestrator)
    # Not in helpers: one that keeps computed values for the next call does no harm.
    yield from shared_state_findings(orchestrator.scope, way.who)
    yield from _of_function(orchestrator.scope, way, seen=set())


def _of_function(scope: Scope, way: _Way, seen: set[int]) -> Iterator[Finding]:
    # A recursion must end, and one report of a helper is enough.
    if id(scope.function) in seen or len(way.chain) > _MAX_DEPTH:
        return
    seen.add(id(scope.function))
    yield from set_order_findings(scope, way.who)
    harmless = harmless_nodes(scope)
    for node in own_nodes(scope.function):
        if id(node) in harmless:
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # Functions inside are nearly always called.
            yield from _of_function(Scope(scope.sources, scope.source, node, scope), way, seen)
        elif isinstance(node, ast.Lambda):
            for inner in ast.walk(node.body):
                if isinstance(inner, ast.Call):
                    yield from _of_call(inner, scope, way, seen)
        elif isinstance(node, ast.Call):
            yield from _of_call(node, scope, way, seen)
        elif isinstance(node, ast.Subscript) and scope.dotted(node.value) == "os.environ":
            yield scope.source.finding("AZ204", node, f"os.environ is read by {way.who}. {ENVIRONMENT}")


def _of_call(node: ast.Call, scope: Scope, way: _Way, seen: set[int]) -> Iterator[Finding]:
    found = scope.app_function(node.func)
    if found is None:
        name = scope.dotted(node.func)
        forbidden = None if name is None else forbidden_call(name, node)
        if forbidden is not None:
            code, advice = forbidden
            yield scope.source.finding(code, node, f"{name}() is called by {way.who}. {advice}")
        return
    source, function = found
    # A decorator of the app makes a durable function of it instead of a helper; see rule AZ308.
    if not any(
        getattr(getattr(each, "func", None), "attr", "").endswith("_trigger") for each in function.decorator_list
    ):
        is_inside = function in set(own_nodes(scope.function))
        helper = Scope(scope.sources, source, function, scope if is_inside else None)
        yield from _of_function(helper, _Way(way.orchestrator, (*way.chain, function.name)), seen)


def harmless_nodes(scope: Scope) -> set[int]:
    """Return the ids of nodes that cannot change the orchestrator: arguments of log calls, code for new events only."""
    harmless: set[int] = set()
    for node in own_nodes(scope.function):
        parts: list[ast.AST] = []
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith(".is_replaying"):
            is_negated = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
            # A task in such a branch is a mistake itself, and its arguments matter.
            parts = [each for each in (node.body if is_negated else node.orelse) if not contains_task(each)]
        elif isinstance(node, ast.Call):
            is_log = isinstance(node.func, ast.Attribute) and node.func.attr in _LOG_METHODS
            is_print = isinstance(node.func, ast.Name) and node.func.id == "print"
            parts = [*node.args, *node.keywords] if is_log or is_print else []
        harmless.update(id(inner) for part in parts for inner in ast.walk(part))
    return harmless

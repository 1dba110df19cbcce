"""Rules about the tasks of orchestrators and of the helpers that they pass their context to."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from emulator.check.findings import Finding
from emulator.check.functions import Declared
from emulator.check.resolving import Scope
from emulator.check.sdk_members import member_findings
from emulator.check.syntax import Function, has_yield, is_generator, method_call, own_nodes, parameters_of, parents_in
from emulator.check.task_uses import created_task_findings, yield_findings
from emulator.worker.mistakes import TASK_METHODS

_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Deeper chains of helpers are rare.
_MAX_DEPTH: Final = 8


def task_findings(orchestrator: Declared) -> Iterator[Finding]:
    """Yield findings about the tasks of an orchestrator and of its helpers."""
    function, source = orchestrator.node, orchestrator.source
    name = f"The orchestrator '{orchestrator.shown_name}'"
    contexts = parameters_of(function)[:1]
    for node in ast.walk(function):
        # Python refuses this only when it compiles the file; its parser takes it.
        if isinstance(node, _COMPREHENSIONS) and has_yield(node):
            yield source.finding(
                "AZ304",
                node,
                "Python does not allow yield in a comprehension. Collect the tasks in a list, and yield "
                "context.task_all(tasks).",
            )
    if isinstance(function, ast.AsyncFunctionDef):
        yield source.finding(
            "AZ305",
            function,
            f"{name} is an async function, which the durable SDK cannot run. Write def instead of async def, and yield "
            "instead of await.",
        )
        return
    if is_generator(function):
        way = _Way(contexts, is_orchestrator=True, yields_tasks=True)
        yield from _of_function(orchestrator.scope, way, seen=set())
        return
    used = {method_call(node, contexts, TASK_METHODS) for node in own_nodes(function)} - {None}
    # The SDK runs a generator all the same if the function returns that of a helper.
    if used and not any(map(is_generator, orchestrator.scope.returned_functions())):
        yield source.finding(
            "AZ303",
            function,
            f"{name} uses {', '.join(sorted(filter(None, used)))}, but has no yield, so nothing is run. Write: "
            "result = yield context.…",
        )


@dataclass(frozen=True, slots=True)
class _Way:
    """How a function is reached. `contexts`: its variables that are the orchestration context.

    `yields_tasks`: what it yields goes to the SDK, because all callers up to the orchestrator use `yield from`.
    """

    contexts: Sequence[str]
    is_orchestrator: bool
    yields_tasks: bool
    depth: int = 0


def _of_function(scope: Scope, way: _Way, seen: set[int]) -> Iterator[Finding]:
    function, source, contexts = scope.function, scope.source, way.contexts
    # Without the context a helper cannot create tasks.
    if id(function) in seen or way.depth > _MAX_DEPTH or not contexts:
        return
    seen.add(id(function))
    yield from member_findings(scope, contexts, "orchestrator")
    parents = parents_in(function)
    for node in own_nodes(function):
        if isinstance(node, ast.Call) and (method := method_call(node, contexts, TASK_METHODS)) is not None:
            yield from created_task_findings(node, method, parents, scope, is_orchestrator=way.is_orchestrator)
        elif isinstance(node, ast.Call) and (found := scope.app_function(node.func)) is not None:
            helper = found[1]
            # A helper inside of this function sees the variables of this function.
            is_inside = helper in set(own_nodes(function))
            inherited = [name for name in contexts if is_inside and name not in parameters_of(helper)]
            inside = [*_passed_contexts(node, helper, contexts), *inherited]
            parent = parents.get(id(node))
            is_lost = isinstance(parent, (ast.Expr, ast.Yield)) and is_generator(helper)
            if is_lost and any(method_call(each, inside, TASK_METHODS) for each in own_nodes(helper)):
                yield source.finding(
                    "AZ307",
                    node,
                    f"'{helper.name}' is a generator, so this call runs nothing of it. Write: yield from "
                    f"{helper.name}(…).",
                )
            yields_tasks = way.yields_tasks and isinstance(parent, ast.YieldFrom)
            longer = _Way(inside, is_orchestrator=False, yields_tasks=yields_tasks, depth=way.depth + 1)
            yield from _of_function(Scope(scope.sources, *found, scope if is_inside else None), longer, seen)
    if way.yields_tasks:
        yield from yield_findings(scope, contexts)


def _passed_contexts(node: ast.Call, function: Function, contexts: Sequence[str]) -> list[str]:
    """Return the parameters of a called function that get the orchestration context."""
    parameters = parameters_of(function)
    if parameters[:1] == ["self"]:
        parameters = parameters[1:]
    arguments = [
        *zip(parameters, node.args, strict=False),
        *((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg in parameters),
    ]
    return [name for name, value in arguments if name and isinstance(value, ast.Name) and value.id in contexts]

"""Warnings at load about functions that can be indexed, but cannot work: they fail or do nothing at every call.

Azure loads them, too, and the errors at the calls name other causes ("Object of type coroutine is not JSON
serializable"). Source: azure-functions-durable 1.7.0, TaskOrchestrationExecutor.py, entity.py.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import azure.functions as func

from emulator.regular_files import read_regular_text
from emulator.worker.port import FunctionMetadata
from emulator.worker.user_functions import user_function

TASK_METHODS = frozenset(
    (
        "call_activity",
        "call_activity_with_retry",
        "call_entity",
        "call_http",
        "call_sub_orchestrator",
        "call_sub_orchestrator_with_retry",
        "create_timer",
        "task_all",
        "task_any",
        "wait_for_external_event",
    )
)
"""Methods of the orchestration context whose tasks do nothing until they are yielded."""

_CREATES_APP = re.compile(r"\b(?:FunctionApp|DFApp|AsgiFunctionApp|WsgiFunctionApp)\(")


def mistake_of(metadata: FunctionMetadata, call: Callable[..., Any]) -> str | None:
    """Return a warning for a loaded function, or None. `call`: the function as it was registered."""
    trigger = next((binding.type.lower() for binding in metadata.bindings if binding.is_trigger), "")
    function = user_function(call)
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    is_generator = inspect.isgeneratorfunction(function)
    place = f"Function '{metadata.name}' ({metadata.source})"
    match trigger:
        case "orchestrationtrigger" if is_async:
            return (
                f"{place} is an orchestrator with 'async def', which will fail, as on Azure. Write 'def', and 'yield' "
                "instead of 'await'."
            )
        case "orchestrationtrigger" if not is_generator and (tasks := TASK_METHODS & _names_in(function)):
            return (
                f"{place} is an orchestrator that uses {', '.join(sorted(tasks))}, but has no 'yield'. A task does "
                "nothing until it is yielded: write 'result = yield context.…'."
            )
        case "orchestrationtrigger" if dropped := _dropped_tasks(function):
            return (
                f"{place} does not use the tasks of {', '.join(dropped)}. A task does nothing until it is yielded: "
                "write 'yield context.…'."
            )
        case "entitytrigger" if is_async or is_generator:
            kind = "'async def'" if is_async else "'yield'"
            return (
                f"{place} is an entity with {kind}. The durable SDK calls entities as plain functions, so its code "
                "does not run, also on Azure. Write 'def' without 'yield'."
            )
        case "activitytrigger" if is_generator or inspect.isasyncgenfunction(function):
            return (
                f"{place} is an activity with 'yield', which will fail, as on Azure: a generator is not JSON "
                "serializable. Return a list instead."
            )
    return None


def _dropped_tasks(function: Callable[..., Any]) -> list[str]:
    """The calls that are statements of their own, as "call_activity in line 12"."""
    # Most helpers have no tasks at all.
    if not TASK_METHODS & _names_in(function):
        return []
    code = function.__code__
    # Empty if there is no such file.
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    lines = [line for *_, line in code.co_lines() if line]
    within = range(code.co_firstlineno, max(lines, default=0) + 1)
    return [f"{name} in line {line}" for line, name in _task_statements(source) if line in within]


# A test run starts the same app hundreds of times, and parsing costs more than all other checks.
@lru_cache(maxsize=64)
def _task_statements(source: str) -> Sequence[tuple[int, str]]:
    """Return line and name of the calls in a file that are statements and create a task."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # The file was changed after it was imported.
        return ()
    return [
        (node.lineno, node.value.func.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in TASK_METHODS
    ]


def _names_in(function: Callable[..., Any]) -> frozenset[str]:
    code = getattr(function, "__code__", None)
    return frozenset() if code is None else frozenset(code.co_names)


def unregistered_blueprints(app: Any, root: Path) -> Iterator[str]:
    """Yield a warning for each blueprint in an imported module of the app whose functions the app does not have."""
    # Attributes of the library that are not public; a release without them has no warnings.
    registered = {id(builder) for builder in getattr(app, "_function_builders", ())}
    # Compared as text: there are more than a thousand modules, and nearly all of them are libraries.
    folder = f"{root}{os.sep}"
    # azure-functions has blueprints since 1.12.
    blueprint = getattr(func, "Blueprint", ())
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is None or not file.startswith(folder):
            continue
        for name, value in list(vars(module).items()):
            if not isinstance(value, blueprint):
                continue
            builders = getattr(value, "_function_builders", ())
            if builders and not any(id(builder) in registered for builder in builders):
                registered.update(map(id, builders))  # One warning is enough if several modules import it.
                yield (
                    f"The blueprint '{name}' in {file} is not registered, so its functions do not run. Add "
                    f"app.register_functions({name})."
                )


def scripts_with_an_app(root: Path) -> list[str]:
    """Return the names of the Python files directly in the app's folder that seem to create an app."""
    names = []
    for file in sorted(root.glob("*.py")):
        with suppress(OSError):
            if _CREATES_APP.search(read_regular_text(file, errors="replace")):
                names.append(file.name)
    return names

"""Warnings at load about functions that can be indexed, but cannot work: they fail or do nothing at every call.

Azure loads them, too, and the errors at the calls name other causes ("Object of type coroutine is not JSON
serializable"). Source: azure-functions-durable 1.7.0, TaskOrchestrationExecutor.py, entity.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from emulator.worker.port import FunctionMetadata

# Methods of the orchestration context whose tasks do nothing until they are yielded.
_TASKS = frozenset(
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
        case "orchestrationtrigger" if not is_generator and (tasks := _TASKS & _names_in(function)):
            return (
                f"{place} is an orchestrator that uses {', '.join(sorted(tasks))}, but has no 'yield'. A task does "
                "nothing until it is yielded: write 'result = yield context.…'."
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


def user_function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the user's function inside the wrappers of the durable SDK and of functools.wraps."""
    for attribute in ("orchestrator_function", "entity_function", "client_function"):
        call = getattr(call, attribute, call)
    unwrapped: Callable[..., Any] = inspect.unwrap(call)
    return unwrapped


def _names_in(function: Callable[..., Any]) -> frozenset[str]:
    code = getattr(function, "__code__", None)
    return frozenset() if code is None else frozenset(code.co_names)

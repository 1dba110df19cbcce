"""The user's function inside the wrappers that libraries put around it, and its place in the source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def orchestrator_function(call: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the generator function of an orchestrator; None for all other functions."""
    return _wrapped(call, "orchestrator")


def user_function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as the user has written it, without wrappers of the SDK and of functools.wraps."""
    wrapped: Any = _wrapped(call, "orchestrator") or _wrapped(call, "entity") or getattr(call, "client_function", call)
    function: Callable[..., Any] = inspect.unwrap(wrapped)
    return function


def source_of(call: Callable[..., Any]) -> str | None:
    """Return `file:line` of a user's function; None if it is not written in Python."""
    # Messages must show the user's line, not that of a wrapper.
    code = getattr(user_function(call), "__code__", None)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _wrapped(call: Callable[..., Any], kind: str) -> Callable[..., Any] | None:
    function: Callable[..., Any] | None = getattr(call, f"{kind}_function", None)
    closure = getattr(call, "__closure__", None)
    # The SDK sets the attribute since 1.3.0. In earlier releases the function is only in the closure of the wrapper
    # that Orchestrator.create and Entity.create return.
    if function is None and closure and call.__module__ == f"azure.durable_functions.{kind}":
        variables = dict(zip(call.__code__.co_freevars, closure, strict=True))
        function = variables["fn"].cell_contents if "fn" in variables else None
    return function

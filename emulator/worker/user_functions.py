"""The user's function inside the wrappers that libraries put around it, and its place in the source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def user_function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the user's function inside the wrappers of the durable SDK and of functools.wraps."""
    for attribute in ("orchestrator_function", "entity_function", "client_function"):
        call = getattr(call, attribute, call)
    unwrapped: Callable[..., Any] = inspect.unwrap(call)
    return unwrapped


def source_of(call: Callable[..., Any]) -> str | None:
    """Return `file:line` of a user's function; None if it is not written in Python."""
    # Messages must show the user's line, not that of a wrapper.
    code = getattr(user_function(call), "__code__", None)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"

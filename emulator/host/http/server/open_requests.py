"""Whether a task answers an HTTP request, as opposed to work that the host does by itself.

A client waits for what such a task does, and sees its errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_answering: ContextVar[bool] = ContextVar("azemu answers a request", default=False)


@contextmanager
def answering() -> Iterator[None]:
    """While entered, the running task and the tasks that it starts answer a request."""
    token = _is_answering.set(True)
    try:
        yield
    finally:
        _is_answering.reset(token)


def is_answering() -> bool:
    """Return whether the running task answers a request."""
    return _is_answering.get()

"""The `context` parameter of a function: `func.Context` with the attributes that the official worker gives it.

Source: docs/protocol/python-worker.md 6.3.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import azure.functions as func
from azure.functions import _abc

from emulator.worker.port import Invocation


class RpcException(_abc.RpcException):
    """The error of the previous attempt. All texts are empty if there was none."""

    def __init__(self, message: str) -> None:
        self._message = message

    @property
    def source(self) -> str:
        return ""

    @property
    def stack_trace(self) -> str:
        return ""

    @property
    def message(self) -> str:
        return self._message


class TraceContext(_abc.TraceContext):
    """W3C trace context of the invocation."""

    def __init__(self, parent: str, state: str, attributes: Mapping[str, str]) -> None:
        self._parent = parent
        self._state = state
        self._attributes = dict(attributes)

    @property
    def trace_parent(self) -> str:
        return self._parent

    @property
    def trace_state(self) -> str:
        return self._state

    @property
    def attributes(self) -> dict[str, str]:
        return self._attributes

    # The official worker's class has these capitalized names too; apps written for its first releases use them.
    @property
    def Traceparent(self) -> str:  # noqa: N802
        return self._parent

    @property
    def Tracestate(self) -> str:  # noqa: N802
        return self._state

    @property
    def Attributes(self) -> dict[str, str]:  # noqa: N802
        return self._attributes


class RetryContext(_abc.RetryContext):
    """State of the function's retry policy. The counts are zero if it has none."""

    def __init__(self, count: int, maximum: int, exception: str | None) -> None:
        self._count = count
        self._maximum = maximum
        self._exception = RpcException(exception or "")

    @property
    def retry_count(self) -> int:
        return self._count

    @property
    def max_retry_count(self) -> int:
        return self._maximum

    @property
    def exception(self) -> RpcException:
        return self._exception

    @property
    def rpc_exception(self) -> RpcException:
        # The library declares `exception`; the official worker's class has this name too.
        return self._exception


class Context(func.Context):
    """Context of one invocation. `local` is shared by all invocations; `directory` is Context.function_directory."""

    def __init__(self, invocation: Invocation, *, name: str, directory: str, local: threading.local) -> None:
        retry = invocation.retry
        self._invocation_id = invocation.id
        self._name = name
        self._directory = directory
        self._local = local
        self._trace = TraceContext(invocation.trace_parent, invocation.trace_state, invocation.trace_attributes)
        self._retry = (
            RetryContext(retry.retry_count, retry.max_retry_count, retry.exception)
            if retry is not None
            else RetryContext(0, 0, None)
        )

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    # The library declares the class itself as the return type; the official worker returns an instance.
    @property
    def thread_local_storage(self) -> threading.local:  # type: ignore[override]
        return self._local

    @property
    def function_name(self) -> str:
        return self._name

    @property
    def function_directory(self) -> str:
        return self._directory

    @property
    def trace_context(self) -> TraceContext:
        return self._trace

    @property
    def retry_context(self) -> RetryContext:
        return self._retry

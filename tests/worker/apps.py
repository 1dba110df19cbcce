"""Workers, invocations and values for the tests of the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator.clock import Clock, SystemClock
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Datum, HttpRequestData, Invocation, LogRecord


def new_worker(
    folder: Path,
    *,
    settings: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    on_log: Callable[[LogRecord], None] = lambda record: None,
) -> InProcessWorker:
    """Return a worker for the app in `folder`, not entered yet. By default it drops logs outside invocations."""
    return InProcessWorker(folder, settings=settings or {}, clock=clock or SystemClock(), on_log=on_log)


def new_invocation(function: str, **options: Any) -> Invocation:
    """Return an invocation with the input `x=None` unless `inputs` is given."""
    return Invocation(**{"id": "i", "function": function, "inputs": {"x": None}, **options})


def text(value: str) -> Datum:
    return Datum("string", value)


def http_request(**changes: object) -> Datum:
    members: dict[str, Any] = {
        "method": "GET",
        "url": "http://h/api/x",
        "headers": {},
        "query": {},
        "route_params": {},
        "body": b"",
    }
    return Datum("http", HttpRequestData(**{**members, **changes}))

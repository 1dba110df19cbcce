"""Workers, invocations and values for the tests of the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.clock import Clock, SystemClock
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Datum, FunctionMetadata, HttpRequestData, Invocation, LogRecord, Returned

WriteApp = Callable[..., Path]
"""write_app(code, **files): write function_app.py, and `name="code"` as name.py beside it; return the folder."""


@dataclass(frozen=True)
class Loaded:
    """An app in a running worker. `logs`: records of its invocations; `outside`: records outside invocations."""

    worker: InProcessWorker
    functions: Mapping[str, FunctionMetadata]
    logs: list[LogRecord] = field(default_factory=list)
    outside: list[LogRecord] = field(default_factory=list)

    async def call(self, function: str, **inputs: Datum | None) -> Returned:
        return await self.worker.invoke(self.invocation(function, **inputs))

    def invocation(self, function: str, **inputs: Datum | None) -> Invocation:
        return Invocation(id=f"id-of-{function}", function=function, inputs=inputs, on_log=self.logs.append)

    @property
    def lines(self) -> list[str]:
        return [record.message for record in self.logs]


Load = Callable[..., Awaitable[Loaded]]
"""await load(code, settings={…}, **files): load an app; its worker is stopped after the test."""


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


def value_of(returned: Returned) -> Any:
    """Return the function's return value. Fails if there is none."""
    assert returned.value is not None
    return returned.value.value


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

"""Real apps in temporary folders, run by the real worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pytest

from emulator.clock import SystemClock
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Datum, FunctionMetadata, Invocation, LogRecord, Returned

WriteApp = Callable[..., Path]
"""write_app(code, **files): a folder with function_app.py, and `name="code"` as name.py beside it."""


@pytest.fixture
def write_app(tmp_path: Path) -> WriteApp:
    numbers = iter(range(100))

    def write(code: str, /, **files: str) -> Path:
        folder = tmp_path / f"app{next(numbers)}"
        folder.mkdir()
        for name, text in {"function_app": code, **files}.items():
            (folder / f"{name}.py").write_text(dedent(text), encoding="utf-8")
        return folder

    return write


@dataclass(frozen=True)
class Loaded:
    """An app in a running worker. `logs`: what it logged in invocations; `elsewhere`: outside of them."""

    worker: InProcessWorker
    functions: Mapping[str, FunctionMetadata]
    logs: list[LogRecord] = field(default_factory=list)
    elsewhere: list[LogRecord] = field(default_factory=list)

    async def call(self, function: str, **inputs: Datum | None) -> Returned:
        return await self.worker.invoke(self.invocation(function, **inputs))

    def invocation(self, function: str, **inputs: Datum | None) -> Invocation:
        return Invocation(id=f"id-of-{function}", function=function, inputs=inputs, on_log=self.logs.append)

    @property
    def lines(self) -> list[str]:
        return [record.message for record in self.logs]


@pytest.fixture
async def load(write_app: WriteApp) -> AsyncIterator[Callable[..., object]]:
    """await load(code, settings={…}, **files): the app, loaded; its worker is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def load(code: str, /, settings: Mapping[str, str] | None = None, **files: str) -> Loaded:
            elsewhere: list[LogRecord] = []

            def on_log(record: LogRecord) -> None:
                # The library's remark about every app without HTTP functions.
                if not record.message.startswith("Auth level is not applied"):
                    elsewhere.append(record)

            worker = InProcessWorker(
                write_app(code, **files), settings=settings or {}, clock=SystemClock(), on_log=on_log
            )
            await stack.enter_async_context(worker)
            functions = {function.name: function for function in await worker.load()}
            return Loaded(worker, functions, elsewhere=elsewhere)

        yield load


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Whatever a worker does to the process, it undoes."""
    import logging
    import sys

    def state() -> tuple[object, ...]:
        root = logging.getLogger()
        return (
            list(sys.path),
            list(sys.meta_path),
            "function_app" in sys.modules,
            root.level,
            [handler for handler in root.handlers if type(handler).__module__.startswith("emulator.")],
        )

    before = state()
    yield
    assert state() == before

"""Apps in temporary folders, loaded by the in-process worker."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from emulator.worker.port import LogRecord
from tests import running_apps
from tests.worker.apps import Load, Loaded, WriteApp, new_worker


@pytest.fixture
def write_app(tmp_path: Path) -> WriteApp:
    numbers = iter(range(100))

    def write(code: str, /, **files: str) -> Path:
        return running_apps.write_app(tmp_path / f"app{next(numbers)}", code, host=None, settings=None, **files)

    return write


@pytest.fixture
async def load(write_app: WriteApp) -> AsyncIterator[Load]:
    """await load(code, settings={…}, **files): load an app; its worker is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def load(code: str, /, settings: Mapping[str, str] | None = None, **files: str) -> Loaded:
            outside: list[LogRecord] = []

            def on_log(record: LogRecord) -> None:
                # The library logs this warning for every app without HTTP functions.
                if not record.message.startswith("Auth level is not applied"):
                    outside.append(record)

            worker = new_worker(write_app(code, **files), settings=settings, on_log=on_log)
            await stack.enter_async_context(worker)
            functions = {function.name: function for function in await worker.load()}
            return Loaded(worker, functions, outside=outside)

        yield load


@pytest.fixture(autouse=True)
def process_state_is_restored() -> Iterator[None]:
    """Check that a stopped worker has undone its changes to the process."""

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

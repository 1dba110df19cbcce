"""Start of an app under test for async tests: the options of a test become those of a host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from emulator import random_numbers
from emulator.chaos.report import RulesBroken
from emulator.clock import Clock, SystemClock
from emulator.config.settings import apps_below, has_app
from emulator.config.start import StartOptions
from emulator.errors import ConfigurationError
from emulator.testing.app import REAL_SECONDS, AppUnderTest
from emulator.testing.chaos import Chaos
from emulator.testing.host_thread import HostThread
from emulator.virtual_time import VirtualClock


@asynccontextmanager
async def start(
    path: str | Path = ".",
    *,
    storage: str | Path | None = "memory",
    clock: Literal["virtual", "real"] = "virtual",
    now: datetime | None = None,
    settings: Mapping[str, str] | None = None,
    check_determinism: bool = True,
    real_seconds: float = REAL_SECONDS,
    chaos: Chaos | None = None,
) -> AsyncIterator[AppUnderTest]:
    """Run the app in the folder `path` while entered.

    `storage`: "memory", a file for the built-in store, or a value of `azemu start --storage`; None: what the settings
    say. Anything but the built-in store needs clock="real".
    `now`: the virtual time at the beginning (aware); None: the real time now.
    `settings`: override local.settings.json and the environment.
    `check_determinism`: run every orchestrator twice and observe what it calls (see observers/determinism.py).
    `real_seconds`: how long a method may take in real time.
    `chaos`: faults of storage and crashes of the host, by a seed that repeats the run; needs virtual time and storage
    in memory. If the result depends on the calendar, pass the same `now`.
    Raises AppBroken, ConfigurationError, StorageUnavailable, TookTooLong; at the end NotDeterministic, RulesBroken.
    """
    thread = new_host_thread(
        path,
        storage=storage,
        clock=clock,
        now=now,
        settings=settings,
        check_determinism=check_determinism,
        chaos=chaos,
    )
    # Opening and closing block, and the test's loop may have other things to do.
    running = await asyncio.to_thread(thread.open)
    try:
        thread.warn_of_functions_in_error(running)
        app = AppUnderTest(thread, running, real_seconds)
        yield app
        if chaos is not None and (report := await app.chaos_report()).violations:
            raise RulesBroken(report)
    finally:
        await asyncio.to_thread(thread.close)
    # Only if the test has passed: its own error is more important.
    thread.check_determinism()


def new_host_thread(
    path: str | Path,
    *,
    storage: str | Path | None,
    clock: str,
    now: datetime | None,
    settings: Mapping[str, str] | None,
    check_determinism: bool,
    chaos: Chaos | None,
) -> HostThread:
    """Return a host for these options of `start`, not opened yet. Raises ConfigurationError."""
    if storage is not None and not isinstance(storage, (str, Path)):
        raise ConfigurationError(f'storage={storage!r} is neither a text nor a path. Use "memory" or a file.')
    if isinstance(storage, Path):
        storage = f"builtin:{storage.resolve()}"
    elif storage == "memory":
        storage = "builtin:memory"
    if chaos is not None:
        if clock != "virtual" or storage != "builtin:memory":
            raise ConfigurationError(
                'chaos=… needs clock="virtual" and storage="memory": only then does the seed repeat the run. '
                "`azemu start --chaos` runs the app with faults in real time."
            )
        random_numbers.repeat(chaos.seed)
    host_clock = _new_clock(clock, now, in_whole_seconds=chaos is not None)
    given = dict(settings or {})
    for name, value in given.items():
        if not isinstance(value, str):
            raise ConfigurationError(f"settings={{{name!r}: {value!r}}}: the value is not text. Write {str(value)!r}.")
    folder = Path(path)
    # A host would take a folder that does not exist for an app without functions, and the test would fail elsewhere.
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigurationError(
            f"The app folder '{folder.absolute()}' {problem}. Pass the folder that contains function_app.py; relative "
            "paths begin at the current folder, in the azemu marker at pytest's rootdir."
        )
    # The setting names the script of an app that has no function_app.py.
    if not has_app(folder) and "PYTHON_SCRIPT_FILE_NAME" not in {*given, *os.environ}:
        raise ConfigurationError(
            f"The folder '{folder.absolute()}' contains no app: it has neither host.json nor function_app.py, and no "
            f"folder with a function.json. Pass the folder that contains function_app.py.{apps_below(folder)}"
        )
    options = StartOptions(
        app=folder,
        # Any free port: several apps may run at the same time.
        port=0,
        storage=storage,
        settings=given,
        # A test must not change the app's folder.
        create_host_json=False,
    )
    return HostThread(options, host_clock, check_determinism=check_determinism, chaos=chaos)


def _new_clock(clock: str, now: datetime | None, *, in_whole_seconds: bool) -> Clock:
    """Return the clock for these options of `start`. Raises ConfigurationError.

    `in_whole_seconds`: begin at a whole second. Messages are hidden for whole seconds, so the rest makes a difference.
    """
    match clock:
        case "virtual":
            if now is not None and not isinstance(now, datetime):
                raise ConfigurationError(f"now={now!r} is not a datetime. Use an aware time: datetime(…, tzinfo=UTC).")
            if now is not None and now.tzinfo is None:
                raise ConfigurationError(f"now={now!r} has no time zone. Use an aware time: datetime(…, tzinfo=UTC).")
            return VirtualClock((now or SystemClock().now()).replace(microsecond=0) if in_whole_seconds else now)
        case "real":
            return SystemClock()
        case _:
            raise ConfigurationError(f'unknown clock "{clock}". Use "virtual" or "real".')

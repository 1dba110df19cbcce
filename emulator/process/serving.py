"""Run one host until it is cancelled: the same in the supervisor's child and in the only process (--no-reload)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from emulator import exit_codes
from emulator.app_storage import open_app_storage
from emulator.clock import Clock
from emulator.config.start import Configuration, StartOptions
from emulator.host.console.banner import print_banner, print_functions, tell_stopping
from emulator.host.console.output import Console, LevelRules, Style, console_logging
from emulator.host.http_options import HttpOptions
from emulator.process.client_errors import quiet_client_errors
from emulator.process.open_files import allow_many_open_files
from emulator.signals import interruptible

SEATS_FOLDER = Path(".azemu") / "hosts"


def open_console(
    stream: TextIO,
    options: StartOptions,
    configuration: Configuration,
    *,
    style: Style,
    clock: Clock,
    environ: Mapping[str, str] = os.environ,
) -> Console:
    """A console with the levels of host.json and the command line. Like Core Tools, it is verbose in a CI run."""
    rules = LevelRules(
        configured=configuration.host.logging.log_level,
        verbose=options.verbose or bool(environ.get("CI")),
        user_level=options.user_log_level,
    )
    return Console(stream, clock=clock, rules=rules, style=style)


async def serve(
    options: StartOptions, console: Console, *, announce: bool, restart: Callable[[], None] | None = None
) -> None:
    """Cancelling it stops the host in good order; `restart`: do that and start anew (for the admin API).

    Raises EmulatorError when the host cannot start, or cannot go on.
    """
    from emulator.app import open_app  # Most of the program; whoever only asks for help should not wait for it.

    allow_many_open_files()
    with console_logging(console), quiet_client_errors():
        async with open_app(options, restart=restart, hosts_folder=options.app / SEATS_FOLDER) as app:
            if announce:
                print_functions(
                    console,
                    app.host.catalog.functions,
                    port=app.port,
                    route_prefix=app.configuration.host.section(HttpOptions).route_prefix,
                    verbose=console.rules.verbose,
                )
            await asyncio.get_running_loop().create_future()


async def serve_alone(options: StartOptions, configuration: Configuration, console: Console, clock: Clock) -> int:
    """Storage and host in this process, until a signal; the exit code. Raises EmulatorError."""
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        tell_stopping(console)
        task.cancel()

    try:
        # Storage that was started here ends with this process, however it ends.
        with interruptible(first=stop, again=lambda: os._exit(exit_codes.INTERRUPTED)):
            async with open_app_storage(configuration, clock=clock, say=console.print) as storage:
                print_banner(console, storage=storage.description)
                os.chdir(configuration.root)
                settings = {**options.settings, **storage.settings}
                await serve(replace(options, settings=settings), console, announce=True)
    except asyncio.CancelledError:
        pass
    return exit_codes.OK

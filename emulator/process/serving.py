"""Running of one host until it is cancelled, for the host process and for --no-reload."""

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
from emulator.config.start import Configuration, StartOptions, configure
from emulator.host.console.banner import (
    print_banner,
    print_functions,
    print_key_folder,
    print_manual_functions,
    print_ready_again,
    print_stopping,
)
from emulator.host.console.output import Console, LevelRules, Style, console_logging
from emulator.host.http_options import HttpOptions
from emulator.host.status import HostState
from emulator.process.client_errors import quiet_client_errors
from emulator.process.open_files import raise_open_files_limit
from emulator.signals import interruptible

HOSTS_FOLDER = Path(".azemu") / "hosts"


def open_console(
    stream: TextIO,
    options: StartOptions,
    configuration: Configuration,
    *,
    style: Style,
    clock: Clock,
    environ: Mapping[str, str] = os.environ,
) -> Console:
    """Create a console with the log levels of host.json and the command line."""
    rules = LevelRules(
        configured=configuration.host.logging.log_level,
        # Core Tools is verbose in a CI run, too.
        verbose=options.verbose or bool(environ.get("CI")),
        user_level=options.user_log_level,
    )
    return Console(_own_copy(stream), clock=clock, rules=rules, style=style)


def _own_copy(stream: TextIO) -> TextIO:
    """Return a stream of the host's own to the same file, so that user code may close or redirect sys.stdout."""
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError):
        # The stream is no file, for example in a test.
        return stream
    # The descriptor stays open until the process ends: lines may be written until then.
    return open(descriptor, "w", encoding=stream.encoding, errors=stream.errors, closefd=False)


async def serve(
    configuration: Configuration, console: Console, *, announce: bool, restart: Callable[[], None] | None = None
) -> None:
    """Run the host until cancelled; then let running functions finish.

    `announce`: print the list of functions; otherwise one line when the host is ready again after a restart.
    `restart`: called when the admin API asks for a restart; the caller cancels this coroutine and starts the host
    again. Raises EmulatorError if the host cannot start or has to give up.
    """
    # Imported here because it loads most of the program, which `azemu --help` does not need.
    from emulator.app import open_app
    from emulator.host.site import secrets_folder

    raise_open_files_limit()
    with console_logging(console), quiet_client_errors():
        configuration = replace(configuration, first_start=announce)
        async with open_app(configuration, restart=restart, hosts_folder=configuration.root / HOSTS_FOLDER) as app:
            if announce:
                print_functions(
                    console,
                    app.host.catalog.functions,
                    port=app.port,
                    route_prefix=configuration.host.section(HttpOptions).route_prefix,
                    verbose=console.rules.verbose,
                )
                print_manual_functions(console, app.host.manual_bindings(), port=app.port)
                if configuration.enable_auth:
                    print_key_folder(console, secrets_folder(configuration))
            elif app.host.status.state is not HostState.ERROR:
                print_ready_again(console, app.host.catalog.functions)
            await asyncio.get_running_loop().create_future()


async def serve_alone(options: StartOptions, configuration: Configuration, console: Console, clock: Clock) -> int:
    """Run storage and host in this process until a stop signal. Return the exit code. Raises EmulatorError."""
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        print_stopping(console)
        task.cancel()

    try:
        # `os._exit` skips all cleanup. Azurite ends nevertheless: its standard input closes together with this process.
        with interruptible(first=stop, repeated=lambda: os._exit(exit_codes.INTERRUPTED)):
            async with open_app_storage(configuration, clock=clock, print_line=console.print) as storage:
                print_banner(console, storage=storage.description)
                os.chdir(configuration.root)
                if storage.settings:
                    settings = {**options.settings, **storage.settings}
                    configuration = configure(replace(options, settings=settings), os.environ)
                await serve(configuration, console, announce=True)
    except asyncio.CancelledError:
        pass
    return exit_codes.OK

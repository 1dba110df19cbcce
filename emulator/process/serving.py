"""Running of one host until it is cancelled, for the host process and for --no-reload."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from emulator import exit_codes
from emulator.app_storage import open_app_storage
from emulator.background import background
from emulator.clock import Clock, SystemClock
from emulator.config.hostjson import LogLevel
from emulator.config.start import Configuration, StartOptions, configure
from emulator.host.console.banner import (
    print_banner,
    print_dashboard,
    print_functions,
    print_key_folder,
    print_manual_functions,
    print_ready_again,
    print_stopping,
    print_without_functions,
)
from emulator.host.console.output import Console, LevelRules, Style, console_logging
from emulator.host.http_options import HttpOptions
from emulator.host.status import HostState
from emulator.loading import loading_modules
from emulator.process.chaos_options import ChaosOptions
from emulator.process.client_errors import shorten_client_errors
from emulator.process.deleted_folder import report_deleted_folder
from emulator.process.freed_memory import return_freed_memory
from emulator.process.host_record import recorded_host
from emulator.process.late_settings import settings_read_too_late, use_time_zone
from emulator.process.main_thread import LONGEST_STOP_SECONDS, HostRunner, exit_after
from emulator.process.open_files import raise_open_files_limit
from emulator.process.pauses import report_pauses
from emulator.process.predecessor import wait_for_predecessor
from emulator.process.thread_stacks import write_stacks_at_quit
from emulator.signals import HANG_UP
from emulator.worker.app_loop import AppLoop
from emulator.worker.port import Worker

if TYPE_CHECKING:
    from emulator.app import App

# Shorter than that of the Functions host: azemu ends within ten seconds after Ctrl-C, whatever user code does, and the
# time that follows is for returning messages, releasing leases and stopping Azurite.
DRAIN_SECONDS: Final = 5.5
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
        # The stream is not a file, for example in a test.
        return stream
    # The descriptor stays open until the process ends: lines may be written until then.
    return open(descriptor, "w", encoding=stream.encoding, errors=stream.errors, closefd=False)


async def serve(
    configuration: Configuration,
    console: Console,
    *,
    announce: bool,
    app_loop: AppLoop,
    restart: Callable[[], None] | None = None,
    served_mark: Path | None = None,
    chaos: ChaosOptions | None = None,
    storage_restarted: bool = False,
) -> None:
    """Run the host until cancelled; then let running functions finish.

    `announce`: print the list of functions; otherwise one line when the host is ready again after a restart.
    `app_loop`: the loop for user code, which another thread runs. `restart`: called when the admin API asks for a
    restart; the caller cancels this coroutine and starts the host again. `served_mark`: a file to create when the first
    invocation has ended. `chaos`, `storage_restarted`: see `Handover`. Raises EmulatorError if the host cannot start or
    has to give up.
    """
    # Imported here because it loads most of the program, which `azemu --help` does not need.
    with loading_modules():
        from emulator.app import ProcessResources, open_app
        from emulator.process.first_invocation import marking_first_invocation

    host_chaos = None
    if chaos is not None:
        from emulator.process.chaos import HostChaos

        host_chaos = HostChaos(chaos)

    def around_worker(worker: AbstractAsyncContextManager[Worker]) -> AbstractAsyncContextManager[Worker]:
        if served_mark is not None:
            worker = marking_first_invocation(served_mark, worker)
        return worker if host_chaos is None else host_chaos.around_worker(worker)

    raise_open_files_limit()
    return_freed_memory()
    shorten_client_errors()
    with console_logging(console):
        async with open_app(
            replace(configuration, first_start=announce),
            process=ProcessResources(
                app_loop=app_loop,
                restart=restart,
                hosts_folder=configuration.root / HOSTS_FOLDER,
                storage_restarted=storage_restarted,
                telemetry=True,
            ),
            drain_seconds=DRAIN_SECONDS,
            around_worker=around_worker,
            around_account=None if host_chaos is None else host_chaos.around_account,
        ) as app:
            warn, clock = partial(console.print, level=LogLevel.WARNING), SystemClock()
            with ExitStack() as stack:
                # The supervisor records the host itself: its port answers also while the host process restarts. Before
                # the URLs are printed, which scripts wait for.
                if not configuration.listeners:
                    stack.enter_context(recorded_host(configuration, port=app.port, started_at=clock.now()))
                _print_started(console, app, configuration, announce=announce)
                if host_chaos is not None:
                    stack.enter_context(host_chaos.happening())
                pauses = report_pauses(clock, warn)
                deletion = report_deleted_folder(configuration.root / HOSTS_FOLDER, clock, warn)
                async with background(pauses, name="pauses"), background(deletion, name="deletion of the folder"):
                    await asyncio.get_running_loop().create_future()


def _print_started(console: Console, app: App, configuration: Configuration, *, announce: bool) -> None:
    if not announce:
        if app.host.status.errors and not app.host.catalog.functions:
            print_without_functions(console)
        elif app.host.status.state is not HostState.ERROR:
            print_ready_again(console, app.host.catalog.functions)
        return
    from emulator.host.site import secrets_folder

    print_functions(
        console,
        app.host.catalog.functions,
        port=app.port,
        route_prefix=configuration.host.section(HttpOptions).route_prefix,
        verbose=console.rules.verbose,
    )
    if app.dashboard_url is not None:
        print_dashboard(console, app.dashboard_url)
    if app.insights_note is not None:
        console.print(app.insights_note)
    print_manual_functions(console, app.host.manual_bindings(), port=app.port)
    if configuration.enable_auth:
        print_key_folder(console, secrets_folder(configuration))


def serve_alone(
    options: StartOptions,
    configuration: Configuration,
    console: Console,
    clock: Clock,
    chaos: ChaosOptions | None = None,
) -> int:
    """Run storage and host in this process until a stop signal. Return the exit code. Raises EmulatorError.

    To be called on the main thread, which runs user code.
    """
    runner = HostRunner(on_stop=lambda: print_stopping(console))
    signals = 0

    def on_signal(number: int) -> None:
        nonlocal signals
        signals += 1
        if signals > 1 and number == HANG_UP:
            return
        if signals > 1:
            # This skips all cleanup. Azurite ends nevertheless, because its runner notices the end of the connection.
            os._exit(exit_codes.INTERRUPTED)
        runner.stop()
        exit_after(LONGEST_STOP_SECONDS, exit_codes.INTERRUPTED)

    async def run_host(app_loop: AppLoop) -> None:
        await wait_for_predecessor(configuration.root, configuration.address, configuration.port, clock)
        async with open_app_storage(configuration, clock=clock, print_line=console.print) as storage:
            print_banner(console, storage=storage.description)
            os.chdir(configuration.root)
            complete = configuration
            if storage.settings:
                settings = {**options.settings, **storage.settings}
                complete = configure(replace(options, settings=settings), os.environ)
            if chaos is None:
                await serve(complete, console, announce=True, app_loop=app_loop)
                return
            from emulator.process.chaos import reporting

            async with reporting(chaos, lambda: complete, console.print):
                await serve(complete, console, announce=True, app_loop=app_loop, chaos=chaos)

    write_stacks_at_quit()
    use_time_zone(configuration.settings.exported)
    if late := settings_read_too_late(configuration.settings.exported):
        console.print(
            f"No effect with --no-reload have these settings of local.settings.json: {', '.join(late)}. "
            "Python reads them when it starts, and it already runs. Set them in the environment of azemu, or "
            "start without --no-reload.",
            level=LogLevel.WARNING,
        )
    return runner.run(run_host, on_signal)

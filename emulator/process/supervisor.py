"""Supervisor of `azemu start`: keeps storage and the listening socket open, and restarts the host process.

Each restart is a new process, so that it begins with a fresh interpreter, as the Functions host restarts its Python
worker. Storage and the listening socket stay, so that requests wait during a restart instead of being refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from emulator import exit_codes
from emulator.app_storage import AppStorage, open_app_storage
from emulator.clock import Clock
from emulator.config.hostjson import LogLevel
from emulator.config.start import Configuration, StartOptions, configure
from emulator.errors import ConfigurationError
from emulator.host.console.banner import print_banner, print_stopping
from emulator.host.console.output import Console, Style
from emulator.process.chaos_options import ChaosOptions
from emulator.process.child import STOP_SECONDS, HostProcess
from emulator.process.handover import Handover
from emulator.process.host_record import recorded_host
from emulator.process.listening_port import ListeningPort
from emulator.process.predecessor import supervising_lock, wait_for_predecessor
from emulator.process.restart_pauses import MAX_USELESS_RUNS, RestartPauses
from emulator.process.unavailable import answering_unavailable
from emulator.process.watch import LOCAL_SETTINGS, FileWatcher, WatchRules
from emulator.signals import interruptible
from emulator.subprocesses import describe_exit_code

T = TypeVar("T")

# Codes of a host process that wants to be started again at once.
_WANTED_ENDS = (exit_codes.RESTART, exit_codes.CHAOS)
# How long functions may still run when a change restarts the host. A developer waits for the new code, and a function
# that hangs is a usual reason for the change.
_CHANGE_SECONDS = 1.0
# During a longer pause, requests are refused instead of waiting.
_LONGEST_WAIT_OF_REQUESTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorOptions:
    """Options of the host process.

    `python_arguments`: first arguments of its interpreter, such as ("-m", "debugpy", "--listen", "5678").
    `chaos`: faults, of the first host process.
    """

    start: StartOptions
    style: Style
    python_arguments: Sequence[str] = ()
    chaos: ChaosOptions | None = None


async def supervise(options: SupervisorOptions, configuration: Configuration, console: Console, clock: Clock) -> int:
    """Run the app until a stop signal. Return the exit code. Raises EmulatorError if the first start fails."""
    task = asyncio.current_task()
    assert task is not None
    supervisor = _Supervisor(options, configuration, console, clock)

    def stop() -> None:
        print_stopping(console)
        task.cancel()

    with interruptible(first=stop, repeated=supervisor.urgent.set):
        try:
            return await supervisor.run()
        except asyncio.CancelledError:
            return exit_codes.INTERRUPTED if supervisor.urgent.is_set() else exit_codes.OK


class _Supervisor:
    """Runs host processes one after the other. `urgent`: set at the second stop signal, kills the host process."""

    def __init__(
        self, options: SupervisorOptions, configuration: Configuration, console: Console, clock: Clock
    ) -> None:
        self.urgent = asyncio.Event()
        self._options = options
        self._configuration = configuration
        self._root = configuration.root
        self._console = console
        self._clock = clock
        self._listening = ListeningPort(configuration.address, configuration.port)
        self._files = FileWatcher(configuration.root, clock)
        self._pauses = RestartPauses()
        self._began_at = clock.now()
        self._chaos = options.chaos
        # Set by `run`, when the port is bound.
        self._process: HostProcess
        self._served_mark: Path
        self._stacks_file: Path

    async def run(self) -> int:
        await wait_for_predecessor(self._root, self._configuration.address, self._configuration.port, self._clock)
        with ExitStack() as stack:
            stack.enter_context(self._listening)
            stack.enter_context(supervising_lock(self._root, self._configuration.port))
            port = self._listening.port
            stack.enter_context(recorded_host(self._configuration, port=port, started_at=self._began_at))
            folder = stack.enter_context(TemporaryDirectory(prefix="azemu-", ignore_cleanup_errors=True))
            self._served_mark, self._stacks_file = Path(folder) / "served", Path(folder) / "stacks"
            opening = open_app_storage(self._configuration, clock=self._clock, print_line=self._console.print)
            # In this order, so that the first host process loads its modules while storage starts.
            self._process = self._new_process()
            await self._process.start()
            try:
                async with opening as storage:
                    print_banner(self._console, storage=storage.description)
                    async with self._reporting(storage):
                        try:
                            return await self._serve(storage)
                        finally:
                            # The host needs storage until running functions have finished.
                            await self._process.stop()
            finally:
                await self._process.stop()

    async def _serve(self, storage: AppStorage) -> int:
        """Run host processes until one cannot be started again. Return the exit code of the command."""
        started_before = False
        while True:
            code = await self._run_host(storage, print_functions=not started_before)
            if code == exit_codes.NOT_STARTED:
                # The host process has printed the reason. At the first start the user is at the terminal, so azemu ends
                # instead of waiting for a change of the app.
                if not started_before or not self._watches_files:
                    return exit_codes.FAILED
                self._console.print("The host will start again when a file of the app changes.", level=LogLevel.WARNING)
                # Without a host process, requests would wait without end.
                reason = "The host cannot start. See the console of azemu."
                async with answering_unavailable(self._listening.sockets, self._clock, reason):
                    await self._wait_for_change(with_settings=True)
            elif code not in (None, *_WANTED_ENDS) and not await self._recover(code):
                return exit_codes.FAILED
            started_before = True
            if self._chaos is not None:
                self._chaos = replace(self._chaos, run=self._chaos.run + 1)
            # Settings and the rules for watching files may have changed. The host process reports errors in them.
            with suppress(ConfigurationError):
                self._configuration = configure(self._options.start, os.environ)
            # The next process loads its modules while the last one ends.
            seconds = STOP_SECONDS if storage.restarted.is_set() else _CHANGE_SECONDS
            ending = asyncio.create_task(self._process.stop(seconds))
            self._process = self._new_process()
            try:
                await self._process.start()
            finally:
                await ending
            # Not before: until it has ended, the last process may answer with the old code.
            self._console.print("Restarting the host.")

    def _reporting(self, storage: AppStorage) -> AbstractAsyncContextManager[None]:
        """Print the report of --chaos when the host has stopped."""
        if self._chaos is None:
            return nullcontext()
        from emulator.process.chaos import reporting

        start = self._options.start
        options = replace(start, settings={**start.settings, **storage.settings})
        return reporting(self._chaos, lambda: configure(options, os.environ), self._console.print)

    async def _recover(self, code: int) -> bool:
        """After an unexpected end of the host process, wait until the next one may start. False: it ended too often."""
        # It has ended, but processes that user code has started may still run, and use ports and files of the app.
        await self._process.stop()
        served = self._served_mark.exists()
        pause = self._pauses.next_seconds(self._clock.now() - self._began_at, served=served)
        reason = f"The host ended unexpectedly ({describe_exit_code(code)})."
        if describe_exit_code(code).endswith("SIGKILL"):
            reason += " The system kills a process like this if the memory is exhausted."
        if pause is None:
            self._console.print(
                f"{reason} It has ended {MAX_USELESS_RUNS} times in a row without completing an invocation, so it is "
                "not started again. Repair the app, and start azemu again.",
                level=LogLevel.ERROR,
            )
            return False
        unit = "second" if pause == 1 else "seconds"
        or_change = ", or when a file of the app changes" if self._watches_files else ""
        self._console.print(f"{reason} It will start again in {pause} {unit}{or_change}.", level=LogLevel.ERROR)
        # During a short pause requests wait. What would wait longer is refused.
        refused = self._listening.sockets if pause > _LONGEST_WAIT_OF_REQUESTS else ()
        answer = "The host process has ended unexpectedly and will be started again. See the console of azemu."
        async with answering_unavailable(refused, self._clock, answer, retry_after=pause):
            waiting = self._clock.sleep(pause, upkeep=True)
            if self._watches_files:
                await _result_unless(waiting, self._wait_for_change(with_settings=True))
            else:
                await waiting
        return True

    @property
    def _watches_files(self) -> bool:
        return self._configuration.host.file_watching_enabled

    def _new_process(self) -> HostProcess:
        return HostProcess(
            self._options.python_arguments,
            self._root,
            self._configuration.environment(self._listening.port),
            self._listening,
            self._clock,
            self.urgent,
            self._stacks_file,
            partial(self._console.print, level=LogLevel.WARNING),
        )

    async def _run_host(self, storage: AppStorage, *, print_functions: bool) -> int | None:
        """Let the host process serve until it ends or has to be restarted. Return its exit code, or None."""
        await self._files.begin(WatchRules.of(self._configuration.host))
        self._served_mark.unlink(missing_ok=True)
        self._began_at = self._clock.now()
        start = self._options.start
        start = replace(
            start,
            port=self._listening.port,
            listeners=self._listening.sockets,
            settings={**start.settings, **storage.settings},
        )
        handover = Handover(
            options=start,
            style=self._options.style,
            print_functions=print_functions,
            chosen_port=self._configuration.port,
            replaced_environment=self._process.replaced_environment,
            served_mark=self._served_mark,
            stacks_file=self._stacks_file,
            chaos=self._chaos,
            storage_restarted=storage.restarted.is_set(),
        )
        await self._process.begin(handover)
        # A restarted Azurite may have lost its last writes, but the host caches what it wrote. A new host process has
        # an empty cache. A restart of Azurite before this host process does not concern it.
        storage.restarted.clear()
        lost = storage.restarted.wait()
        reason = _result_unless(lost, self._wait_for_valid_change()) if self._watches_files else lost
        return await _result_unless(reason, self._process.wait())

    async def _wait_for_valid_change(self) -> None:
        """Wait until a file of the app changes and its configuration can be read.

        Until then the host process continues, so that instances are processed and can be managed.
        """
        invalid = False
        while True:
            await self._wait_for_change(with_settings=invalid)
            if not self._root.is_dir():
                return  # The next host process reports it.
            try:
                configure(self._options.start, os.environ)
            except ConfigurationError as error:
                invalid = True
                self._console.print(
                    f"{error}\nThe host continues with the configuration and the code that it has loaded. It will "
                    "restart when this is repaired.",
                    level=LogLevel.ERROR,
                )
            else:
                return

    async def _wait_for_change(self, *, with_settings: bool = False) -> None:
        """Wait until a file of the app changes, and print which one.

        `with_settings`: a change of local.settings.json counts, because no host runs that would use other settings.
        """
        while True:
            found = await self._files.next_changes()
            changes = [change for change in found if with_settings or self._files.restarts(change)]
            if changes:
                break
            self._console.print(
                f"{LOCAL_SETTINGS} has changed. As with func, the running host keeps its settings. It reads them when "
                f'another file of the app changes; storage settings need a new start. With "watchFiles": '
                f'["{LOCAL_SETTINGS}"] in host.json it restarts at once.',
                level=LogLevel.WARNING,
            )
        change, *others = changes
        more = f" (and {len(others)} more)" if others else ""
        path = change.path.relative_to(self._root)
        self._console.print(f"File change of type '{change.kind}' detected for '{path}'{more}.")
        written = self._files.written_by_app(changes)
        if written is not None:
            self._console.print(
                f"'{written.relative_to(self._root)}' has changed soon after each of the last starts. The app itself "
                "seems to write it with a different content every time, which restarts the host. Let the app write it "
                'to another folder or with the same content, or set "fileWatchingEnabled": false in host.json.',
                level=LogLevel.WARNING,
            )
        # The changed code may run longer.
        self._pauses = RestartPauses()


async def _result_unless(stopper: Coroutine[Any, Any, object], work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`, or None if `stopper` ends first. The one that still runs is cancelled."""
    tasks = (asyncio.create_task(work), asyncio.create_task(stopper))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        tasks[1].result()  # Raises the error of `stopper`, if it failed.
        return None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

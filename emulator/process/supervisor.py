"""Supervisor of `azemu start`: keeps storage and the listening socket open, and restarts the host process.

Each restart is a new process, so that it begins with a fresh interpreter, as the Functions host restarts its Python
worker. Storage and the listening socket stay, so that requests wait during a restart instead of being refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from emulator import exit_codes
from emulator.app_storage import AppStorage, open_app_storage
from emulator.clock import Clock
from emulator.config.hostjson import LogLevel
from emulator.config.start import Configuration, StartOptions, configure
from emulator.errors import ConfigurationError
from emulator.host.console.banner import print_banner, print_stopping
from emulator.host.console.output import Console, Style
from emulator.process.child import HostProcess
from emulator.process.handover import Handover
from emulator.process.listening_port import ListeningSocket
from emulator.process.watch import Change, FileState, WatchRules, next_changes, scan
from emulator.signals import interruptible
from emulator.subprocesses import describe_exit_code

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorOptions:
    """Options of the host process.

    `python_arguments`: first arguments of its interpreter, such as ("-m", "debugpy", "--listen", "5678").
    """

    start: StartOptions
    style: Style
    python_arguments: Sequence[str] = ()


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
        self._host_json = configuration.host
        self._console = console
        self._clock = clock
        self._listening = ListeningSocket(configuration.address, configuration.port)
        self._files: Mapping[Path, FileState] = {}

    async def run(self) -> int:
        with self._listening:
            opening = open_app_storage(self._configuration, clock=self._clock, print_line=self._console.print)
            # In this order, so that the first host process loads its modules while storage starts.
            async with self._new_process() as process, opening as storage:
                print_banner(self._console, storage=storage.description)
                code = await self._run_host(process, storage, print_functions=True)
                if code == exit_codes.NOT_STARTED:
                    # The host process has printed the reason. At the first start the user is at the terminal, so azemu
                    # ends instead of waiting for a change of the app.
                    return exit_codes.FAILED
                while code != exit_codes.OK:
                    if code not in (exit_codes.RESTART, None) and not await self._repaired(code):
                        return exit_codes.FAILED
                    self._console.print("Restarting the host.")
                    # The rules for watching files may have changed. The host process reports errors in host.json.
                    with suppress(ConfigurationError):
                        self._host_json = configure(self._options.start, os.environ).host
                    self._listening.open()
                    async with self._new_process() as next_process:
                        code = await self._run_host(next_process, storage, print_functions=False)
        return exit_codes.OK

    async def _repaired(self, code: int) -> bool:
        """After a failure of the host process, wait for a change of the app. False if its files are not watched."""
        if code != exit_codes.NOT_STARTED:  # Otherwise the host process has printed the reason itself.
            reason = describe_exit_code(code)
            self._console.print(f"The host ended unexpectedly ({reason}).", level=LogLevel.ERROR)
        if not self._host_json.file_watching_enabled:
            return False
        # Without a host process, connections would wait without end. Refuse them until the app is repaired.
        self._listening.close()
        self._console.print("The host will start again when a file of the app changes.", level=LogLevel.WARNING)
        rules = WatchRules.of(self._host_json)
        self._print_changes(await next_changes(self._root, rules, self._files, self._clock))
        return True

    def _new_process(self) -> HostProcess:
        return HostProcess(self._options.python_arguments, self._listening, self._clock, self.urgent)

    async def _run_host(self, process: HostProcess, storage: AppStorage, *, print_functions: bool) -> int | None:
        """Run a host process until it ends or has to be restarted. Return its exit code, or None for a restart."""
        rules = WatchRules.of(self._host_json)
        # Scanned before the app is loaded. A change while it loads is then seen as a change.
        self._files = await asyncio.to_thread(scan, self._root, rules)
        start = self._options.start
        start = replace(
            start,
            port=self._listening.port,
            listener=self._listening.socket,
            settings={**start.settings, **storage.settings},
        )
        await process.begin(Handover(options=start, style=self._options.style, print_functions=print_functions))
        # A restarted Azurite may have lost its last writes, but the host caches what it wrote. A new host process has
        # an empty cache. A restart of Azurite before this host process does not concern it.
        storage.restarted.clear()

        async def reason_to_restart() -> None:
            if not self._host_json.file_watching_enabled:
                await storage.restarted.wait()
                return
            changes = next_changes(self._root, rules, self._files, self._clock)
            changed = await _result_unless(storage.restarted.wait(), changes)
            if changed is not None:
                self._print_changes(changed)

        try:
            return await _result_unless(reason_to_restart(), process.wait())
        finally:
            # The host needs storage until running functions have finished, so it is stopped before storage ends.
            await process.stop()

    def _print_changes(self, changes: Sequence[Change]) -> None:
        change, *others = changes
        more = f" (and {len(others)} more)" if others else ""
        path = change.path.relative_to(self._root)
        self._console.print(f"File change of type '{change.kind}' detected for '{path}'{more}.")


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

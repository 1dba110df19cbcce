"""The parent of `azemu start`: keeps storage and the listening socket, runs the host, restarts it when the app changes.

The host is a process of its own, so that a restart begins with a fresh interpreter, as the Functions host restarts its
Python worker. Storage and socket outlive it: while the host restarts, requests wait instead of being refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
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
from emulator.process.child import Child
from emulator.process.handover import Handover
from emulator.process.listening_port import Port
from emulator.process.watch import Change, Stamp, WatchRules, next_changes, picture
from emulator.signals import interruptible
from emulator.subprocesses import describe_exit_code

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorOptions:
    """`python_arguments`: come first on the host's command line, e.g. ("-m", "debugpy", "--listen", "5678")."""

    start: StartOptions
    style: Style
    python_arguments: Sequence[str] = ()


async def supervise(options: SupervisorOptions, configuration: Configuration, console: Console, clock: Clock) -> int:
    """Run until a signal ends it, and give the exit code. Raises EmulatorError when the first start fails."""
    task = asyncio.current_task()
    assert task is not None
    supervisor = _Supervisor(options, configuration, console, clock)

    def stop() -> None:
        print_stopping(console)
        task.cancel()

    with interruptible(first=stop, again=supervisor.urgent.set):
        try:
            return await supervisor.run()
        except asyncio.CancelledError:
            return exit_codes.INTERRUPTED if supervisor.urgent.is_set() else exit_codes.OK


class _Supervisor:
    """One host process after the other. `urgent`: set when nobody wants to wait for an orderly end."""

    def __init__(
        self, options: SupervisorOptions, configuration: Configuration, console: Console, clock: Clock
    ) -> None:
        self.urgent = asyncio.Event()
        self._options = options
        self._root = configuration.root
        self._configuration = configuration
        self._host = configuration.host
        self._console = console
        self._clock = clock
        self._port = Port(configuration.address, configuration.port)
        self._seen: Mapping[Path, Stamp] = {}

    async def run(self) -> int:
        with self._port:
            # The first host loads its modules while storage is looked for.
            async with self._new_child() as first, self._storage() as storage:
                print_banner(self._console, storage=storage.description)
                return await self._run_hosts(first, storage)

    def _storage(self) -> AbstractAsyncContextManager[AppStorage]:
        return open_app_storage(self._configuration, clock=self._clock, say=self._console.print)

    def _new_child(self) -> Child:
        return Child(self._options.python_arguments, self._port, self._clock, self.urgent)

    async def _run_hosts(self, first: Child, storage: AppStorage) -> int:
        code = await self._run_host(first, storage, announce=True)
        if code == exit_codes.NOT_STARTED:
            return exit_codes.FAILED
        while code != exit_codes.OK:
            if code not in (exit_codes.RESTART, None):
                self._tell_end(code)
                if not self._host.file_watching_enabled:
                    return exit_codes.FAILED
                await self._wait_for_a_repair()
            self._console.print("Restarting the host.")
            self._reread_host_json()
            self._port.open()
            async with self._new_child() as child:
                code = await self._run_host(child, storage, announce=False)
        return exit_codes.OK

    async def _run_host(self, child: Child, storage: AppStorage, *, announce: bool) -> int | None:
        """Its exit code, or None when there was a reason to restart it and it was stopped for that."""
        rules = WatchRules.of(self._host)
        self._seen = await asyncio.to_thread(picture, self._root, rules)
        start = self._options.start
        start = replace(
            start,
            port=self._port.number,
            listener=self._port.listener,
            settings={**start.settings, **storage.settings},
        )
        await child.begin(Handover(options=start, style=self._options.style, announce=announce))
        try:
            return await _unless(self._reason_to_restart(rules, storage), child.wait())
        finally:
            # Before its storage ends, which it needs to come to an orderly end.
            await child.stop()

    async def _reason_to_restart(self, rules: WatchRules, storage: AppStorage) -> None:
        """Wait for one, and tell the user."""
        # What the host remembers of its storage need not be true of one that was started again.
        storage.again.clear()
        if not self._host.file_watching_enabled:
            await storage.again.wait()
            return
        changes = next_changes(self._root, rules, self._seen, self._clock)
        changed = await _unless(storage.again.wait(), changes)
        if changed is not None:
            self._tell_changes(changed)

    async def _wait_for_a_repair(self) -> None:
        self._port.close()
        self._console.print("The host starts again when a file of the app changes.", level=LogLevel.WARNING)
        self._tell_changes(await next_changes(self._root, WatchRules.of(self._host), self._seen, self._clock))

    def _reread_host_json(self) -> None:
        """For the watching rules; what is wrong with the file, the host itself will say."""
        with suppress(ConfigurationError):
            self._host = configure(self._options.start, os.environ).host

    def _tell_end(self, code: int) -> None:
        # A host that could not start has said why.
        if code != exit_codes.NOT_STARTED:
            self._console.print(f"The host ended unexpectedly ({describe_exit_code(code)}).", level=LogLevel.ERROR)

    def _tell_changes(self, changes: Sequence[Change]) -> None:
        change, *others = changes
        more = f" (and {len(others)} more)" if others else ""
        path = change.path.relative_to(self._root)
        self._console.print(f"File change of type '{change.kind}' detected for '{path}'{more}.")


async def _unless(sooner: Coroutine[Any, Any, object], awaited: Coroutine[Any, Any, T]) -> T | None:
    """What is awaited; None if the other thing comes sooner."""
    tasks = (asyncio.create_task(awaited), asyncio.create_task(sooner))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        tasks[1].result()
        return None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

"""`azemu storage export|import|copy`: from the command line to the accounts, with a line of progress."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TextIO

from emulator import exit_codes
from emulator.accounts import open_connection
from emulator.cli.arguments import Transfer
from emulator.clock import Clock, SystemClock
from emulator.config.connections import Connection, parse_connection, resolve_connection
from emulator.config.settings import find_project_root, load_settings
from emulator.config.start import DEVELOPMENT_STORAGE, storage_value
from emulator.durable.azurestorage.names import HubNames
from emulator.errors import ConfigurationError
from emulator.storage.azurite import open_azurite
from emulator.storage.port import StorageAccount
from emulator.storage.transfer.exporting import chosen_items, export_account
from emulator.storage.transfer.file import Item, Kind
from emulator.storage.transfer.importing import import_account
from emulator.storage.transfer.room import make_room
from emulator.storage.transfer.terms import Progress, Transferred, TransferRefused

DEFAULT_SETTING = "AzureWebJobsStorage"

# A copy goes by way of a file, so that it can be taken up where it stopped. The file lies beside the built-in store.
_SPOOL_FOLDER = ".azemu"
_MOST_PARTITIONS = 16
_BAR_WIDTH = 24


def run_transfer(command: Transfer) -> int:
    """The exit code: 0 when everything was carried, 1 when hidden messages had to stay behind.

    Raises EmulatorError: nothing is where it should be, or something would be overwritten.
    """
    with _ProgressLine(sys.stderr) as line:
        done = asyncio.run(_transfer(command, SystemClock(), line))
    return _conclude(command, done)


async def _transfer(command: Transfer, clock: Clock, line: _ProgressLine) -> Transferred:
    places = _Places(command.app, os.environ, clock, line.say)
    chosen = everything if command.hub is None else hub_items(command.hub)
    if command.action == "export":
        async with places.open(command.source) as account:
            await _require_hub(account, command.hub)
            return await export_account(
                account, _file(command), clock=clock, chosen=chosen, force=command.force, report=line.show
            )
    if command.action == "import":
        async with places.open(command.target) as account:
            return await import_account(_file(command), account, clock=clock, force=command.force, report=line.show)
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(places.open(command.source))
        target = await stack.enter_async_context(places.open(command.target))
        spool = places.spool(source, target, command.hub)
        if spool.exists():
            line.say(f"Taking up the copy that was interrupted, from {spool}.")
        else:
            await _require_hub(source, command.hub)
            if not command.force:
                # Before an hour of reading, not after it.
                await make_room(target, await chosen_items(source, chosen), force=False)
            await export_account(source, spool, clock=clock, chosen=chosen, report=line.show)
        try:
            done = await import_account(spool, target, clock=clock, force=command.force, report=line.show)
        except TransferRefused:
            # Nothing was begun. The next attempt is to see the account as it is then.
            spool.unlink()
            raise
        spool.unlink()
        return done


def everything(item: Item) -> bool:
    return True


def hub_items(hub: str) -> Callable[[Item], bool]:
    """Chooses what belongs to a task hub, whatever its number of partitions."""
    names = HubNames(hub=hub, partition_count=_MOST_PARTITIONS)
    tables = {name.lower() for name in (names.history_table, names.instances_table, names.partitions_table)}
    chosen: Mapping[Kind, frozenset[str]] = {
        Kind.QUEUE: frozenset((*names.control_queues, names.work_item_queue)),
        Kind.TABLE: frozenset(tables),
        Kind.CONTAINER: frozenset((names.lease_container, names.app_lease_container, names.large_message_container)),
    }
    return lambda item: item.name.lower() in chosen[item.kind]


async def _require_hub(account: StorageAccount, hub: str | None) -> None:
    if hub is None:
        return
    chosen = hub_items(hub)
    async for name in account.tables():
        if chosen(Item(Kind.TABLE, name)):
            return
    raise ConfigurationError(f'There is no task hub "{hub}" in {account.description}.')


def _file(command: Transfer) -> Path:
    assert command.file is not None  # the command line demands it for an export and an import
    return command.file


class _Places:
    """The accounts that a command line names."""

    def __init__(self, app: Path, environ: Mapping[str, str], clock: Clock, say: Callable[[str], None]) -> None:
        self._app = app
        self._environ = environ
        self._clock = clock
        self._say = say

    @asynccontextmanager
    async def open(self, name: str | None) -> AsyncIterator[StorageAccount]:
        """`name`: a connection value, or the name of a connection setting of the app.

        An Azurite that is not running is started on the data of the app folder, as `azemu start` does.
        """
        connection = self._connection(name or DEFAULT_SETTING)
        async with AsyncExitStack() as stack:
            if connection == parse_connection(DEVELOPMENT_STORAGE, setting=connection.setting):
                azurite = await stack.enter_async_context(open_azurite(self._root(), clock=self._clock, say=self._say))
                connection = parse_connection(azurite.connection_string, setting=connection.setting)
            yield await stack.enter_async_context(open_connection(connection, self._clock))

    def spool(self, source: StorageAccount, target: StorageAccount, hub: str | None) -> Path:
        """The same file for the same copy."""
        what = "\n".join((source.description, target.description, hub or ""))
        folder = self._root() / _SPOOL_FOLDER
        folder.mkdir(exist_ok=True)
        return folder / f"copy-{hashlib.sha256(what.encode()).hexdigest()[:12]}.jsonl"

    def _connection(self, name: str) -> Connection:
        if name.lower() in ("builtin", "azurite") or name.lower().startswith("builtin:"):
            return parse_connection(storage_value(name, self._root()), setting="the command line")
        if "=" in name or "://" in name:
            return parse_connection(name, setting="the command line")
        settings = load_settings(find_project_root(self._app), self._environ, overrides={}).settings
        return resolve_connection(settings, name)

    def _root(self) -> Path:
        """The app folder; where there is no app, the folder that was named."""
        try:
            return find_project_root(self._app)
        except ConfigurationError:
            return self._app.absolute()


# What the user sees -------------------------------------------------------------------------------------------


class _ProgressLine:
    """One line that is written over, on a terminal; elsewhere a line for every queue, table and container."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._shown = ""

    def __enter__(self) -> _ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._wipe()

    def say(self, text: str) -> None:
        self._wipe()
        self._out.write(f"{text}\n")
        self._out.flush()

    def show(self, progress: Progress) -> None:
        if not self._live:
            if str(progress.item) != self._shown:
                self._shown = str(progress.item)
                self._out.write(f"{self._shown}\n")
            return
        share = progress.done / max(progress.total, 1)
        bar = "#" * int(share * _BAR_WIDTH)
        text = f"[{bar:<{_BAR_WIDTH}}] {share:4.0%}  {progress.item}: {progress.records}"[:100]
        if text != self._shown:
            self._out.write(f"\r{text:<{len(self._shown)}}")
            self._out.flush()
            self._shown = text

    def _wipe(self) -> None:
        if self._live and self._shown:
            self._out.write(f"\r{'':<{len(self._shown)}}\r")
            self._shown = ""


def _conclude(command: Transfer, done: Transferred) -> int:
    verb = {"export": "Saved", "import": "Put back", "copy": "Copied"}[command.action]
    into = f" to {command.file}" if command.action == "export" else ""
    sys.stdout.write(
        f"{verb} {done.items} queues, tables and containers{into}: {done.messages} messages, {done.rows} rows, "
        f"{done.blobs} blobs.{' The rest was done before the interruption.' if done.went_on else ''}\n"
    )
    if not done.unreadable:
        return exit_codes.OK
    queues = ", ".join(f"{name} ({count})" for name, count in sorted(done.unreadable.items()))
    sys.stderr.write(
        f"Hidden messages were left behind: {queues}. A storage service shows a message only when its time has come: "
        "timers that are not due yet, and work that a host has taken. Stop the hosts, wait until taken messages are "
        "visible again (5 minutes), and do it once more; timers that are still not due cannot be carried over.\n"
    )
    return exit_codes.FAILED

"""Commands `azemu storage export`, `import` and `copy`: the accounts they name, and the progress they print."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from emulator import exit_codes
from emulator.accounts import open_connection
from emulator.cli.hub_items import hub_items, refuse_running_hosts
from emulator.cli.printing import ProgressLine, print_json
from emulator.cli.transfer_arguments import Transfer
from emulator.clock import Clock, SystemClock
from emulator.config.connections import BuiltinConnection, Connection, parse_connection, resolve_connection
from emulator.config.settings import find_project_root, load_settings
from emulator.config.start import DEVELOPMENT_STORAGE, storage_value
from emulator.errors import ConfigurationError
from emulator.private_files import make_private_folder
from emulator.storage.azurite import open_azurite
from emulator.storage.port import StorageAccount
from emulator.storage.transfer.export_file import Item, Kind, opened, read_header
from emulator.storage.transfer.exporting import export_account, list_items
from emulator.storage.transfer.importing import import_account
from emulator.storage.transfer.target import check_target
from emulator.storage.transfer.types import Progress, TransferResult

DEFAULT_SETTING = "AzureWebJobsStorage"

# The file between export and import of a copy lies beside the built-in store: the system's temporary folder may be
# small, or in memory.
_COPY_FOLDER = ".azemu"
_BAR_WIDTH = 24


def run_transfer(command: Transfer) -> int:
    """Run the command and return its exit code: 0 if everything was transferred, 1 if hidden messages are missing.

    Raises EmulatorError if an account or file cannot be used or something would be overwritten.
    """
    with ProgressLine() as line:
        result = asyncio.run(_transfer(command, SystemClock(), line))
    return _conclude(command, result)


async def _transfer(command: Transfer, clock: Clock, line: ProgressLine) -> TransferResult:
    report = _TransferProgress(line).show
    accounts = _Accounts(command.app, os.environ, clock, line.print)
    chosen = all_items if command.hub is None else hub_items(command.hub)
    if command.action == "export":
        assert command.file is not None  # argparse requires it for an export and an import
        async with accounts.open(command.source, must_exist=True) as account:
            # Without this check, a misspelled name would give an empty file and no error.
            await _require_hub(account, command.hub)
            return await export_account(
                account, command.file, clock=clock, chosen=chosen, force=command.force, report=report
            )
    if command.action == "import":
        assert command.file is not None
        async with accounts.open(command.target) as account:
            # Without --force, the import itself refuses a task hub that exists.
            if command.force:
                with opened(command.file, "rb") as source_file:
                    items = read_header(source_file, command.file).items
                await refuse_running_hosts(account, items, clock)
            return await import_account(command.file, account, clock=clock, force=command.force, report=report)
    async with (
        accounts.open(command.source, must_exist=True) as source,
        accounts.open(command.target) as target,
    ):
        await _require_hub(source, command.hub)
        # The same for every copy of the same items: a repeated copy recognises in the target what it wrote before.
        accounts_and_hub = "\n".join((source.description, target.description, command.hub or ""))
        copy_id = f"copy-{hashlib.sha256(accounts_and_hub.encode()).hexdigest()[:12]}"
        items = await list_items(source, chosen)
        # Users should see a refusal before the source is read, which may take an hour.
        if command.force:
            await refuse_running_hosts(target, items, clock)
        else:
            await check_target(target, items, copy_id)  # The import checks this again.
        file = accounts.copy_folder() / f"{copy_id}.jsonl"
        try:
            await export_account(source, file, clock=clock, chosen=chosen, force=True, export_id=copy_id, report=report)
            return await import_account(file, target, clock=clock, force=command.force, report=report)
        finally:
            # Also after an error: a repeated copy reads the source again.
            file.unlink(missing_ok=True)


def all_items(item: Item) -> bool:
    """Choose every queue, table and container."""
    return True


async def _require_hub(account: StorageAccount, hub: str | None) -> None:
    """Raise ConfigurationError if the account has none of the hub's tables: probably the name is misspelled."""
    if hub is None:
        return
    chosen = hub_items(hub)
    async for name in account.tables():
        if chosen(Item(Kind.TABLE, name)):
            return
    raise ConfigurationError(f'There is no task hub "{hub}" in {account.description}. Check --hub and the connection.')


class _Accounts:
    """The accounts that a command line names."""

    def __init__(self, app: Path, environ: Mapping[str, str], clock: Clock, print_line: Callable[[str], None]) -> None:
        self._app = app
        self._environ = environ
        self._clock = clock
        self._print_line = print_line

    @asynccontextmanager
    async def open(self, name: str | None, *, must_exist: bool = False) -> AsyncIterator[StorageAccount]:
        """Open an account. `name`: a connection string, or the name of a connection setting of the app.

        `must_exist`: raise ConfigurationError for a built-in store without a file, instead of creating it.

        If it is Azurite on this machine and not running, start it with the data of the app folder, as `azemu start`.
        """
        connection = self._connection(name or DEFAULT_SETTING, option="--from" if must_exist else "--to")
        # A misspelled path would otherwise give an empty export, and --force would replace a good one with it.
        if must_exist and isinstance(connection, BuiltinConnection) and connection.path is not None:
            path = connection.path.absolute()
            if not path.exists():
                raise ConfigurationError(
                    f"There is no built-in store at {path}. Check --from; relative paths begin at the app folder."
                )
        async with AsyncExitStack() as stack:
            if connection == parse_connection(DEVELOPMENT_STORAGE, setting=connection.setting):
                azurite = await stack.enter_async_context(
                    open_azurite(self._root(), clock=self._clock, print_line=self._print_line)
                )
                connection = parse_connection(azurite.connection_string, setting=connection.setting)
            yield await stack.enter_async_context(open_connection(connection, self._clock))

    def copy_folder(self) -> Path:
        """Return the folder for the file of a copy. Creates it."""
        folder = self._root() / _COPY_FOLDER
        make_private_folder(folder)
        return folder

    def _connection(self, name: str, *, option: str) -> Connection:
        """Return the connection that an option names. `option`: for error messages."""
        # First, the values of --storage. A setting of such a name is unlikely.
        if name.lower() in ("builtin", "azurite"):
            return parse_connection(storage_value(name, self._root()), setting=option)
        # Names of settings contain neither.
        if name.lower().startswith("builtin:") or "=" in name or "://" in name:
            return parse_connection(name, setting=option, root=self._root())
        settings = load_settings(find_project_root(self._app), self._environ, overrides={}).settings
        return resolve_connection(settings, name)

    def _root(self) -> Path:
        """Return the app folder, or the folder from the command line if it has no app."""
        try:
            return find_project_root(self._app)
        except ConfigurationError:
            return self._app.absolute()


# Output ------------------------------------------------------------------------------------------------------


class _TransferProgress:
    """Progress of a transfer: at a terminal one line that is overwritten, elsewhere one line per item."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._item = ""

    def show(self, progress: Progress) -> None:
        share = progress.done / max(progress.total, 1)
        bar = "#" * int(share * _BAR_WIDTH)
        self._line.show(f"[{bar:<{_BAR_WIDTH}}] {share:4.0%}  {progress.item}: {progress.records}")
        # A line per record would make log files unreadable.
        if not self._line.is_terminal and str(progress.item) != self._item:
            self._item = str(progress.item)
            self._line.print(self._item)


def _conclude(command: Transfer, result: TransferResult) -> int:
    verb = {"export": "Exported", "import": "Imported", "copy": "Copied"}[command.action]
    into = f" to {command.file}" if command.action == "export" else ""
    if command.json:
        print_json(
            {
                "items": result.items,
                "messages": result.messages,
                "rows": result.rows,
                "blobs": result.blobs,
                "hiddenMessages": dict(result.unreadable),
            }
        )
    else:
        sys.stdout.write(
            f"{verb} {result.items} queues, tables and containers{into}: {result.messages} messages, "
            f"{result.rows} rows, {result.blobs} blobs.\n"
        )
    if not result.unreadable:
        return exit_codes.OK
    queues = ", ".join(f"{name} ({count})" for name, count in sorted(result.unreadable.items()))
    sys.stderr.write(
        f"Hidden messages were not transferred: {queues}. The storage service shows a message only when it is visible. "
        "Messages that a host is processing are hidden, and so are timers that are not due yet. Stop the hosts, wait 5 "
        "minutes until their messages are visible again, and repeat the command. Timers that are still not due cannot "
        "be transferred.\n"
    )
    return exit_codes.FAILED

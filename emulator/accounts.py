"""The storage accounts that the app's settings name, one object per account.

Every setting that is a storage connection is opened when the app is: opening makes no request, and whoever needs an
account later (a binding, a request to the management API that names a connection) gets it without waiting. Which
names are missing or unusable is therefore found by those who use them, not by the start of the host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from emulator.clock import Clock
from emulator.config.connections import BuiltinConnection, Connection, resolve_connection
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError
from emulator.storage.endpoints import is_emulated
from emulator.storage.port import StorageAccount

DEFAULT_CONNECTION = "AzureWebJobsStorage"

# A connection by identity has no value of its own, only members below its name.
_IDENTITY_MEMBERS = ("accountname", "blobserviceuri", "queueserviceuri", "tableserviceuri", "serviceuri", "endpoint")


# One of them is in every connection string.
_WORDS = ("accountname", "endpoint", "usedevelopmentstorage")


class Accounts:
    """Call it with a connection name, as bindings spell it."""

    def __init__(self, settings: Settings, opened: dict[str, StorageAccount]) -> None:
        self._settings = settings
        self._opened = opened
        self._by_name: dict[str, StorageAccount] = {}

    def __call__(self, name: str) -> StorageAccount:
        """Always the same object for the same account. Raises ConnectionNotConfigured, ConfigurationError."""
        if (known := self._by_name.get(name)) is None:
            known = self._by_name[name] = self._opened[_identity(resolve_connection(self._settings, name))]
        return known

    def is_emulated(self, name: str) -> bool:
        """Whether it is no account in Azure. False as well for a name that cannot be resolved."""
        try:
            connection = resolve_connection(self._settings, name)
        except ConfigurationError:
            return False
        return isinstance(connection, BuiltinConnection) or is_emulated(connection)


@asynccontextmanager
async def open_accounts(settings: Settings, clock: Clock) -> AsyncIterator[Accounts]:
    """Raises StorageUnavailable for a built-in store whose file cannot be used."""
    async with AsyncExitStack() as stack:
        opened: dict[str, StorageAccount] = {}
        for connection in _connections(settings):
            identity = _identity(connection)
            if identity not in opened:
                opened[identity] = await stack.enter_async_context(open_connection(connection, clock))
        yield Accounts(settings, opened)


def _connections(settings: Settings) -> Iterator[Connection]:
    for name in _names(settings):
        try:
            yield resolve_connection(settings, name)
        except ConfigurationError:
            # Most settings are no storage connections. One that should be is reported by who uses it.
            continue


def _names(settings: Settings) -> Iterator[str]:
    for name, value in settings.items():
        # The whole environment comes by here, and what is no connection string costs the most to read.
        lower = value.strip().lower()
        if lower.startswith(("builtin", "http")) or ("=" in value and any(word in lower for word in _WORDS)):
            yield name.removeprefix("ConnectionStrings:")
        section, separator, member = name.replace("__", ":").rpartition(":")
        if separator and member.lower() in _IDENTITY_MEMBERS:
            yield section


def open_connection(connection: Connection, clock: Clock) -> AbstractAsyncContextManager[StorageAccount]:
    """The account of one connection, over the network or built in.

    A storage emulator is spoken to by our own lean client, a real account by the official SDKs: there the network is
    what costs, and their retries, proxies and credentials have proven themselves.
    """
    # Only what is used is imported.
    if isinstance(connection, BuiltinConnection):
        from emulator.storage.builtin import open_builtin

        return open_builtin(connection.path, clock)
    if is_emulated(connection):
        from emulator.storage import rest

        return rest.open_account(connection, clock)
    from emulator.storage import azure

    return azure.open_account(connection, clock)


def _identity(connection: Connection) -> str:
    """Equal for connections to the same account with the same credential, whatever setting they stand in."""
    if isinstance(connection, BuiltinConnection):
        return f"builtin {connection.path}"
    return repr((connection.account, connection.blob, connection.queue, connection.table, connection.credential))

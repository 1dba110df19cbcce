"""Opening of the storage accounts that the app's settings name: on a storage server or in the built-in store.

Every setting that holds a storage connection is opened at once. Opening makes no request, so this is cheap, and code
that needs an account later (a binding, a management request that names a connection) gets it without awaiting.
Missing or unusable connections are reported by the code that asks for them, not by the start of the host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from emulator.clock import Clock
from emulator.config.connections import BuiltinConnection, Connection, resolve_connection
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError
from emulator.packages import UnusablePackage
from emulator.storage.accounts import StorageAccounts, connection_key
from emulator.storage.endpoints import is_emulated
from emulator.storage.port import StorageAccount

# A connection by identity has no value of its own, only members below its name.
_IDENTITY_MEMBERS = ("accountname", "blobserviceuri", "queueserviceuri", "tableserviceuri", "serviceuri", "endpoint")

# Every storage connection string contains at least one of these words.
_CONNECTION_STRING_WORDS = ("accountname", "endpoint", "usedevelopmentstorage")


@asynccontextmanager
async def open_accounts(
    settings: Settings, clock: Clock, *, log_outages: bool = False
) -> AsyncIterator[StorageAccounts]:
    """Open all storage accounts of the app while entered.

    `log_outages`: see `open_connection`.

    Raises StorageUnavailable for a built-in store whose file cannot be used.
    """
    async with AsyncExitStack() as stack:
        # Settings often name the same account several times. It is opened once, because the built-in store in memory
        # exists once per opening, and because accounts are compared by identity.
        accounts: dict[str, StorageAccount] = {}
        unusable: dict[str, UnusablePackage] = {}
        for _, connection in connections_of(settings):
            key = connection_key(connection)
            if key in accounts or key in unusable:
                continue
            try:
                accounts[key] = await stack.enter_async_context(
                    open_connection(connection, clock, log_outages=log_outages)
                )
            except UnusablePackage as error:
                # Many apps name accounts that only their own code uses, so this must not end the start.
                unusable[key] = error
        yield StorageAccounts(settings, accounts, unusable)


def connections_of(settings: Settings) -> Iterator[tuple[str, Connection]]:
    """Yield the storage connections that settings name, with the connection's name."""
    for name in _possible_connections(settings):
        # Most settings are not storage connections. One that should be is reported when it is looked up.
        with suppress(ConfigurationError):
            yield name, resolve_connection(settings, name)


def _possible_connections(settings: Settings) -> Iterator[str]:
    """Names of settings that may be storage connections; some of them will turn out not to be."""
    for name, value in settings.items():
        # The settings contain the whole process environment, and parsing a value that is not a connection string is
        # the expensive case. So values are filtered by a cheap look at their text first.
        lower = value.strip().lower()
        is_connection_string = "=" in value and any(word in lower for word in _CONNECTION_STRING_WORDS)
        if is_connection_string or lower.startswith(("builtin", "http")):
            yield name.removeprefix("ConnectionStrings:")
        # A connection by identity consists of settings such as `Orders__queueServiceUri`; the name is `Orders`.
        section, separator, member = name.replace("__", ":").rpartition(":")
        if separator and member.lower() in _IDENTITY_MEMBERS:
            yield section


def open_connection(
    connection: Connection, clock: Clock, *, log_outages: bool = False
) -> AbstractAsyncContextManager[StorageAccount]:
    """Return the account of one connection, not yet entered.

    `log_outages`: the account logs when it stops responding, and when it responds again, as a host needs it.

    Emulators are reached by azemu's own REST client, real accounts by the official SDKs. An emulator runs on the same
    machine and competes for its processors, so the SDK's processing time per call matters there. For a real account
    the network dominates, and the SDK's retries, proxies and credentials are worth more. Raises UnusablePackage if
    azure-core is missing or too old.
    """
    # Each client is imported only when it is needed, because the SDKs take long to import.
    if isinstance(connection, BuiltinConnection):
        from emulator.storage.builtin import open_builtin

        return open_builtin(connection.path, clock, log_outages=log_outages)
    if is_emulated(connection):
        from emulator.storage import rest

        return rest.open_account(connection, clock, log_outages=log_outages)
    from emulator.storage import azure

    return azure.open_account(connection, clock, log_outages=log_outages)

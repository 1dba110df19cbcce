"""Lookup of storage accounts by connection name, as bindings and host.json spell it.

The accounts themselves are opened by `emulator.accounts`, the only module that imports the storage clients. This module
is below the functions host and the extensions, so that they can look accounts up without importing those clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from emulator.config.connections import BuiltinConnection, Connection, resolve_connection
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError, EmulatorError
from emulator.logs import get_logger
from emulator.storage.endpoints import is_emulated
from emulator.storage.port import StorageAccount

_log = get_logger(__name__)


class StorageAccounts:
    """The storage accounts that the app's settings name, one object per account.

    `accounts`: the opened accounts by `connection_key`. Two settings with the same account and credential share one.
    `unusable`: the reasons why other accounts could not be opened, by the same keys.
    """

    def __init__(
        self,
        settings: Settings,
        accounts: Mapping[str, StorageAccount],
        unusable: Mapping[str, EmulatorError] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._unusable = unusable
        self._by_name: dict[str, StorageAccount] = {}

    def __call__(self, name: str) -> StorageAccount:
        """Return the account of a connection name; always the same object for the same account.

        Raises ConnectionNotConfigured, ConfigurationError for a setting that is not a storage connection, and
        UnusablePackage if an SDK that the account needs is missing or too old.
        """
        # Parsing a connection string is slow compared with the lookup, and bindings look accounts up for every run.
        account = self._by_name.get(name)
        if account is None:
            key = connection_key(resolve_connection(self._settings, name))
            if key in self._unusable:
                raise self._unusable[key]
            account = self._accounts[key]
            self._by_name[name] = account
        return account

    def around(self, wrap: Callable[[StorageAccount], StorageAccount]) -> StorageAccounts:
        """Return the same accounts, each wrapped."""
        return StorageAccounts(
            self._settings, {key: wrap(account) for key, account in self._accounts.items()}, self._unusable
        )

    def is_emulated(self, name: str) -> bool:
        """Whether the connection leads to Azurite, another emulator or the built-in store instead of to Azure.

        False also for a name that cannot be resolved.
        """
        # Callers ask before they use the connection, and report a wrong one when they do.
        try:
            connection = resolve_connection(self._settings, name)
        except ConfigurationError:
            return False
        # The built-in store has no endpoint that could be compared with those of emulators.
        return isinstance(connection, BuiltinConnection) or is_emulated(connection)

    def may_lose_writes(self, name: str) -> bool:
        """Whether the connection leads to an emulator that loses its last writes when it is killed, such as Azurite."""
        return self.is_emulated(name) and not isinstance(resolve_connection(self._settings, name), BuiltinConnection)

    def warn_if_real(self, name: str, resource: str, function: str) -> None:
        """Warn that a listener takes events of an account in Azure, which the deployed app may want, too.

        `name`: a connection. `resource`: what the listener reads, such as "queue 'orders'". `function`: the function
        that it runs.
        """
        if not self.is_emulated(name):
            _log.warning(
                "Function '%s' reads %s of the %s. If the app is also deployed, both compete: what one of them takes, "
                "the other does not get. Use local storage in the setting of the connection '%s' while you develop.",
                function,
                resource,
                self(name).description,
                name,
            )


def connection_key(connection: Connection) -> str:
    """Return a key that is equal for connections to the same account with the same credential."""
    # The credential is part of the key: two settings may give different rights to the same account.
    if isinstance(connection, BuiltinConnection):
        return f"builtin {connection.path}"
    return repr((connection.account, connection.blob, connection.queue, connection.table, connection.credential))

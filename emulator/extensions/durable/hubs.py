"""Which task hub a request means: the app's own, or another one named by `taskHub` and `connection`.

Source: durable-extension, HttpApiHandler.GetClient; spec/durable-client-http.md 2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulator.config.connections import ConnectionNotConfigured
from emulator.durable.client import DurableClient
from emulator.errors import EmulatorError
from emulator.storage.api import StorageAccount

Accounts = Callable[[str], StorageAccount]
"""The account of a connection name; always the same object for the same account. Raises ConnectionNotConfigured."""

OpenClient = Callable[[StorageAccount, str], DurableClient]
"""A client for the hub of that name, which nobody has to work on."""


class UnknownConnection(EmulatorError):
    """A request names a connection that no setting defines."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unable to resolve the Azure Storage connection named '{name}'.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedHub:
    """`hub` and `connection`: as URLs in answers spell them. `is_own`: this app works on it."""

    client: DurableClient
    hub: str
    connection: str
    is_own: bool


class HubDirectory:
    """The app's own hub, and the others as requests name them. Clients of other hubs are kept for the next request."""

    def __init__(
        self, own: SelectedHub, own_account: StorageAccount, *, accounts: Accounts, open_client: OpenClient
    ) -> None:
        self.own = own
        self._own_account = own_account
        self._accounts = accounts
        self._open_client = open_client
        self._others: dict[tuple[int, str], DurableClient] = {}

    def select(self, hub: str | None = None, connection: str | None = None) -> SelectedHub:
        """None means the app's own. Raises UnknownConnection."""
        if hub is None and connection is None:
            return self.own
        account = self._own_account if connection is None else self._account(connection)
        name = hub or self.own.hub
        # Queue and table names do not distinguish case, so neither do hubs.
        is_own = account is self._own_account and name.lower() == self.own.hub.lower()
        return SelectedHub(
            client=self.own.client if is_own else self._other(account, name),
            hub=name,
            connection=connection or self.own.connection,
            is_own=is_own,
        )

    def _account(self, connection: str) -> StorageAccount:
        try:
            return self._accounts(connection)
        except ConnectionNotConfigured:
            raise UnknownConnection(connection) from None

    def _other(self, account: StorageAccount, hub: str) -> DurableClient:
        key = (id(account), hub.lower())
        if key not in self._others:
            self._others[key] = self._open_client(account, hub)
        return self._others[key]

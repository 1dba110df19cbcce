"""Which task hub a request means: the app's own, or another one named by `taskHub` and `connection`.

Source: durable-extension, HttpApiHandler.GetClient; docs/protocol/durable-client-http.md 2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from emulator.clock import Clock
from emulator.config.connections import ConnectionNotConfigured
from emulator.config.durable import AzureStorageProvider, DurableTaskOptions
from emulator.durable.azurestorage.crash_recovery.host_identity import ClaimIdentity, no_identity
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.client import DurableClient
from emulator.durable.tracing.lifecycle import Lifecycle
from emulator.errors import EmulatorError
from emulator.ids import NewId
from emulator.storage.port import StorageAccount

Accounts = Callable[[str], StorageAccount]
"""The account of a connection name; always the same object for the same account. Raises ConnectionNotConfigured."""

_DEFAULT_CONNECTION = AzureStorageProvider().connection_name
_SHORT_NAME = "Storage"
"""How URLs name the default connection."""


class UnknownConnection(EmulatorError):
    """A request names a connection that no setting defines."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unable to resolve the Azure Storage connection named '{name}'.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedHub:
    """`hub` and `connection`: as URLs in answers spell them. `is_own`: this app works on it."""

    client: DurableClient
    lifecycle: Lifecycle
    hub: str
    connection: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class OpenedHub:
    """`lifecycle` writes the lines of this hub, whoever causes them: clients or the engine."""

    hub: AzureStorageTaskHub
    lifecycle: Lifecycle


class HubDirectory:
    """The app's own hub, and the others as requests name them. Each is made when it is first asked for, and kept."""

    def __init__(
        self,
        options: DurableTaskOptions,
        accounts: Accounts,
        *,
        clock: Clock,
        new_id: NewId,
        app_name: str = "",
        slot_name: str = "",
        take_seat: ClaimIdentity = no_identity,
    ) -> None:
        self._options = options
        self._accounts = accounts
        self._clock = clock
        self._new_id = new_id
        self._app_name = app_name
        self._slot_name = slot_name
        self._take_seat = take_seat
        self._hubs: dict[tuple[int, str], OpenedHub] = {}

    @property
    def own_name(self) -> str:
        return self._options.hub_name

    @property
    def own_connection(self) -> str:
        """As URLs spell it."""
        name = self._options.storage_provider.connection_name
        return _SHORT_NAME if name == _DEFAULT_CONNECTION else name

    def own(self) -> OpenedHub:
        """The hub that this app works on. Raises ConnectionNotConfigured."""
        return self._hub(self._own_account(), self.own_name)

    def select(self, hub: str | None = None, connection: str | None = None) -> SelectedHub:
        """None means the app's own. Raises UnknownConnection."""
        try:
            own_account = self._own_account()
            account = own_account if connection is None else self._accounts(connection)
        except ConnectionNotConfigured as error:
            raise UnknownConnection(connection or error.name) from None
        name = hub or self.own_name
        is_own = self._is_own(account, name)
        opened = self._hub(account, self.own_name if is_own else name)
        return SelectedHub(
            client=DurableClient(opened.hub, self._options, clock=self._clock, new_id=self._new_id),
            lifecycle=opened.lifecycle,
            hub=name,
            connection=connection or self.own_connection,
            is_own=is_own,
        )

    def _is_own(self, account: StorageAccount, name: str) -> bool:
        # Queue and table names do not distinguish case, so neither do hubs.
        return account is self._own_account() and name.lower() == self.own_name.lower()

    def _own_account(self) -> StorageAccount:
        return self._accounts(self._options.storage_provider.connection_name)

    def _hub(self, account: StorageAccount, name: str) -> OpenedHub:
        key = (id(account), name.lower())
        if key not in self._hubs:
            self._hubs[key] = self._open(account, replace(self._options, hub_name=name))
        return self._hubs[key]

    def _open(self, account: StorageAccount, options: DurableTaskOptions) -> OpenedHub:
        tracking = options.storage_provider.tracking_store_connection_name
        hub = AzureStorageTaskHub(
            options,
            account,
            clock=self._clock,
            new_id=self._new_id,
            tracking=self._accounts(tracking) if tracking else None,
            app_name=self._app_name,
            identity=self._take_seat() if self._is_own(account, options.hub_name) else None,
        )
        return OpenedHub(hub, Lifecycle.of_hub(options, app_name=self._app_name, slot_name=self._slot_name))

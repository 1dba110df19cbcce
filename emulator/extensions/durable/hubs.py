"""Task hubs by name: the app's own, and others that requests name with `taskHub` and `connection`.

Source: durable-extension, HttpApiHandler.GetClient; docs/protocol/durable-client-http.md 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from emulator.clock import Clock
from emulator.config.connections import DEFAULT_CONNECTION, ConnectionNotConfigured
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.client import DurableClient
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.lifecycle import LifecycleLog
from emulator.durable.tracing.spans import DurableSpans
from emulator.errors import EmulatorError
from emulator.ids import NewId
from emulator.polling.crash_recovery.host_identity import ClaimIdentity, no_identity
from emulator.storage.accounts import StorageAccounts
from emulator.storage.port import StorageAccount

_SHORT_NAME = "Storage"
"""The name of the default connection in URLs."""


class UnknownConnection(EmulatorError):
    """A request names a connection that no setting defines."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unable to resolve the Azure Storage connection named '{name}'.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedHub:
    """The task hub of one request. `hub`, `connection`: as URLs in responses spell them. `is_own`: the app's own."""

    client: DurableClient
    lifecycle: LifecycleLog
    hub: str
    connection: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class OpenedHub:
    """A task hub with its client, and the log and the spans to which clients and the engine both write."""

    hub: AzureStorageTaskHub
    client: DurableClient
    lifecycle: LifecycleLog
    spans: DurableSpans | None = None


class HubDirectory:
    """Opens task hubs at their first use and reuses them."""

    def __init__(
        self,
        options: DurableTaskOptions,
        accounts: StorageAccounts,
        *,
        clock: Clock,
        new_id: NewId,
        app_name: str = "",
        slot_name: str = "",
        claim_identity: ClaimIdentity = no_identity,
        spans: DurableSpans | None = None,
    ) -> None:
        self._options = options
        self._accounts = accounts
        self._clock = clock
        self._new_id = new_id
        self._app_name = app_name
        self._slot_name = slot_name
        self._claim_identity = claim_identity
        self._spans = spans
        self._hubs: dict[tuple[int, str], OpenedHub] = {}

    @property
    def records_spans(self) -> bool:
        """Whether the clients record spans, and continue the traces of their callers."""
        return self._spans is not None

    @property
    def own_name(self) -> str:
        return self._options.hub_name

    @property
    def own_connection(self) -> str:
        """The connection of the app's own hub, as URLs spell it."""
        name = self._options.storage_provider.connection_name
        return _SHORT_NAME if name == DEFAULT_CONNECTION else name

    def own(self) -> OpenedHub:
        """Return the app's own hub. Raises ConnectionNotConfigured."""
        return self._hub(self._own_account(), self.own_name, is_own=True)

    def select(self, hub: str | None = None, connection: str | None = None) -> SelectedHub:
        """Return the hub of a request; None means the app's own. Raises UnknownConnection."""
        try:
            own_account = self._own_account()
            account = own_account if connection is None else self._accounts(connection)
        except ConnectionNotConfigured as error:
            raise UnknownConnection(connection or error.name) from None
        # The spelling of the request is kept in URLs of the response, as the extension does.
        name = hub or self.own_name
        # Names of queues and tables ignore letter case, so two spellings are the same hub.
        is_own = account is own_account and name.lower() == self.own_name.lower()
        opened = self._hub(account, self.own_name if is_own else name, is_own=is_own)
        return SelectedHub(
            client=opened.client,
            lifecycle=opened.lifecycle,
            hub=name,
            connection=connection or self.own_connection,
            is_own=is_own,
        )

    def _own_account(self) -> StorageAccount:
        return self._accounts(self._options.storage_provider.connection_name)

    def _hub(self, account: StorageAccount, name: str, *, is_own: bool) -> OpenedHub:
        # Accounts are compared by identity: StorageAccounts returns one object per account.
        key = (id(account), name.lower())
        opened = self._hubs.get(key)
        if opened is None:
            options = replace(self._options, hub_name=name)
            tracking = options.storage_provider.tracking_store_connection_name
            hub = AzureStorageTaskHub(
                options,
                account,
                clock=self._clock,
                new_id=self._new_id,
                tracking=self._accounts(tracking) if tracking else None,
                app_name=self._app_name,
                # Only the own hub has leases and messages of this host. An identity that is claimed for another hub
                # could not be claimed by the next host.
                identity=self._claim_identity() if is_own else None,
            )
            lifecycle = LifecycleLog.of_hub(options, app_name=self._app_name, slot_name=self._slot_name)
            client = DurableClient(hub, self._options, clock=self._clock, new_id=self._new_id, spans=self._spans)
            opened = self._hubs[key] = OpenedHub(hub, client, lifecycle, self._spans)
        return opened

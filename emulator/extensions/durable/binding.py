"""The durable client binding (durableClient, formerly orchestrationClient): the text from which the SDK makes a client.

Source: durable-extension, Bindings/BindingHelper.cs; docs/protocol/durable-client-http.md chapter 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emulator.dotnet.json_writer import newtonsoft_text
from emulator.errors import EmulatorError
from emulator.extensions.durable.hubs import HubDirectory
from emulator.extensions.durable.management.http_api import SystemKey
from emulator.extensions.durable.management.management_urls import WEBHOOK_PATH, ManagementUrls
from emulator.host.port import BindingContext
from emulator.worker.port import Datum, member_of

# The SDK replaces this word in the URLs by the instance id.
INSTANCE_PLACEHOLDER = "INSTANCEID"


class ExtensionNotRunning(EmulatorError):
    """A function has a durable client binding, but the extension could not be started."""

    def __init__(self) -> None:
        super().__init__(
            "The Durable Task extension is not running, so there is no durable client. For the reason, see the log "
            "message \"The extension 'durableTask' was unable to start.\""
        )


class ClientBinding:
    """Reads inputs of the types durableClient and orchestrationClient.

    `origin`: where this host serves HTTP, such as `http://localhost:7071`. `rpc_base_url`: with a trailing slash; None
    if the RPC listener is switched off; raises ExtensionNotRunning if it is not open. Both are called for every
    invocation, because ports are known only when they are open, and change when the extension is restarted.
    """

    def __init__(
        self,
        hubs: HubDirectory,
        *,
        origin: Callable[[], str],
        system_key: SystemKey,
        rpc_base_url: Callable[[], str | None],
    ) -> None:
        self._hubs = hubs
        self._origin = origin
        self._system_key = system_key
        self._rpc_base_url = rpc_base_url

    async def read(self, context: BindingContext) -> Datum:
        """Return the JSON for one invocation. Raises ExtensionNotRunning."""
        # A property may be there and empty; the .NET extension treats that like an absent one.
        hub = member_of(context.properties, "taskHub") or None
        connection = member_of(context.properties, "connectionName") or None
        urls = ManagementUrls(
            base=self._origin() + WEBHOOK_PATH,
            hub=str(hub or self._hubs.own_name),
            connection=str(connection or self._hubs.own_connection),
            code=await self._system_key(),
        )
        return Datum("string", newtonsoft_text(client_payload(urls, connection, self._rpc_base_url())))


def client_payload(urls: ManagementUrls, connection: object, rpc_base_url: str | None) -> dict[str, Any]:
    """Return the members of the JSON. `connection`: as the binding names it, None if it names none."""
    # The keys have the order of the .NET extension, so that recordings of it can be compared as text.
    return {
        "taskHubName": urls.hub,
        "connectionName": connection,
        "creationUrls": urls.creation(),
        "managementUrls": {"id": INSTANCE_PLACEHOLDER} | urls.all(INSTANCE_PLACEHOLDER),
        "baseUrl": urls.base,
        "requiredQueryStringParameters": f"code={urls.code}" if urls.code else "",
        "rpcBaseUrl": rpc_base_url,
        # Version 1 of the Python SDK uses HTTP only, so it gets no gRPC endpoint.
        "httpBaseUrl": None,
        "maxGrpcMessageSizeInBytes": None,
        "grpcHttpClientTimeout": None,
    }

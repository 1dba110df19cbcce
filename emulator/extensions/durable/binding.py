"""The `durableClient` input: one string of JSON, from which the Python SDK builds its DurableOrchestrationClient.

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
from emulator.worker.port import Datum

INSTANCE_PLACEHOLDER = "INSTANCEID"


class ExtensionNotRunning(EmulatorError):
    """A function wants a durable client, but the extension could not be started."""

    def __init__(self) -> None:
        super().__init__(
            "The Durable Task extension is not running, so there is no durable client. The log says why, behind "
            "\"The extension 'durableTask' was unable to start.\""
        )


class ClientBinding:
    """Reads inputs of the type durableClient.

    `origin`: where this host serves HTTP, e.g. "http://localhost:7071"; `rpc_base_url`: with a trailing slash, None
    when there is to be no RPC listener, ExtensionNotRunning when there is none yet. Both are asked at every call, for
    ports are known only once they are open.
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
        """Raises ExtensionNotRunning."""
        hub = context.properties.get("taskHub") or None
        connection = context.properties.get("connectionName") or None
        urls = ManagementUrls(
            base=self._origin() + WEBHOOK_PATH,
            hub=str(hub or self._hubs.own_name),
            connection=str(connection or self._hubs.own_connection),
            code=await self._system_key(),
        )
        return Datum("string", newtonsoft_text(client_payload(urls, connection, self._rpc_base_url())))


def client_payload(urls: ManagementUrls, connection: object, rpc_base_url: str | None) -> dict[str, Any]:
    """`connection`: as the binding names it, None if it does not. The order of keys is that of the extension."""
    return {
        "taskHubName": urls.hub,
        "connectionName": connection,
        "creationUrls": urls.creation(),
        "managementUrls": {"id": INSTANCE_PLACEHOLDER} | urls.all(INSTANCE_PLACEHOLDER),
        "baseUrl": urls.base,
        "requiredQueryStringParameters": f"code={urls.code}" if urls.code else "",
        "rpcBaseUrl": rpc_base_url,
        # Python gets no gRPC endpoint.
        "httpBaseUrl": None,
        "maxGrpcMessageSizeInBytes": None,
        "grpcHttpClientTimeout": None,
    }

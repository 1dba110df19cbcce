"""The SDK's own durable client for a test: the object that functions get through the durableClient binding."""

from __future__ import annotations

from typing import Any

from emulator import bound_json as json
from emulator.app import App
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.extensions.durable.binding import client_payload
from emulator.extensions.durable.management.management_urls import WEBHOOK_PATH, ManagementUrls
from emulator.worker.sdk_patches.client_requests import SendRequest, redirect_requests


def durable_client(app: App, send: SendRequest) -> Any:
    """Return a DurableOrchestrationClient of the SDK that is installed. Its requests are sent with `send`."""
    # A dependency of the app, not of azemu.
    from azure.durable_functions import DurableOrchestrationClient

    durable = resolve_options(app.configuration.host.section(DurableTaskOptions), app.configuration.settings)
    base = f"http://127.0.0.1:{app.port}{WEBHOOK_PATH}"
    urls = ManagementUrls(base=base, hub=durable.hub_name, connection=durable.storage_provider.connection_name, code="")
    # The SDK sends its requests to the RPC endpoint. Here this is the webhook, whose paths and API are the same.
    client = DurableOrchestrationClient(json.dumps(client_payload(urls, None, f"{base}/")))
    # The requests run on the host's loop, so no connection is left on the test's loop when the app has ended.
    redirect_requests(client, send)
    return client

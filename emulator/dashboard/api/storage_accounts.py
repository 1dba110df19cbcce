"""The account of a request for the page Storage: that of a connection of the app, and of no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from emulator.config.connections import DEFAULT_CONNECTION, ConnectionNotConfigured
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError
from emulator.host.http.routing.routes import HttpCall
from emulator.storage.port import StorageAccount
from emulator.worker.port import member_of

MAX_NAMES = 1000
"""Most queues, tables or containers in a list."""
PAGE = 100
MAX_PAGE = 1000


async def first_names(names: AsyncIterator[str]) -> tuple[list[str], bool]:
    """Return the first MAX_NAMES names, and whether these are all."""
    found: list[str] = []
    async for name in names:
        if len(found) == MAX_NAMES:
            return found, False
        found.append(name)
    return found, True


def connection_names(parts: DashboardParts) -> Sequence[str]:
    """Return the connections that the app's bindings and its task hub use, the default one first."""
    used = {
        str(connection)
        for function in parts.host.catalog.functions
        for binding in function.metadata.bindings
        if binding.type.lower().startswith(("queue", "blob", "table"))
        and (connection := member_of(binding.properties, "connection"))
    }
    if parts.is_durable:
        provider = parts.durable_options.storage_provider
        used |= {provider.connection_name, provider.tracking_store_connection_name or provider.connection_name}
    # Settings are found in any letter case, so the same one may be spelled in several ways.
    spelled = {name.lower(): name for name in sorted(used)}
    spelled.pop(DEFAULT_CONNECTION.lower(), None)
    # The short form of the default connection.
    spelled.pop("storage", None)
    return [DEFAULT_CONNECTION, *spelled.values()]


def account_of(parts: DashboardParts, call: HttpCall) -> tuple[StorageAccount, str]:
    """Return the account of a request and the name of its connection. Raises ApiError 404."""
    connection = call.request.query.get("connection") or DEFAULT_CONNECTION
    # No others: `%NAME%` in the name of a connection is expanded, so messages about it would show values of settings.
    if connection.lower() not in map(str.lower, connection_names(parts)):
        raise ApiError(404, f"The app uses no connection '{connection[:100]}'.")
    try:
        return parts.accounts(connection), connection
    except ConnectionNotConfigured as error:
        raise ApiError(404, str(error)) from None

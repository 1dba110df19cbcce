"""Endpoints of a storage connection: the URL of each service, and whether they lead to an emulator or to Azure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from emulator.config.connections import Service, StorageConnection
from emulator.errors import ConfigurationError


def endpoint_of(connection: StorageConnection, service: Service) -> str:
    """Return the URL of a service. Raises ConfigurationError if the connection has none for it."""
    endpoint = connection.endpoint(service)
    if endpoint is None:
        raise ConfigurationError(
            f"The storage connection in setting '{connection.setting}' has no endpoint of the {service} service: "
            f"add {service.capitalize()}Endpoint=…; to it."
        )
    return endpoint


def account_description(connection: StorageConnection) -> str:
    """Describe the account in messages for users, without its key."""
    endpoint = connection.blob or connection.queue or connection.table
    kind = "Azurite" if connection.is_development else f'storage account "{connection.account}"'
    return f"{kind} at {endpoint}"


def is_local(connection: StorageConnection) -> bool:
    """Return whether the account is on this machine. Proxy settings do not apply to it then."""
    # One endpoint decides for all three: no emulator is split over machines.
    host = urlsplit(connection.blob or connection.queue or connection.table or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name, not an address. Other names are not resolved, since that could take seconds.
        return host == "localhost"


def is_emulated(connection: StorageConnection) -> bool:
    """Return whether the account is a storage emulator, on this machine or in a container."""
    # Azure refuses plain http unless a setting of the account allows it, and Azurite has no TLS unless configured.
    endpoints = (connection.blob, connection.queue, connection.table)
    return any(urlsplit(endpoint).scheme == "http" for endpoint in endpoints if endpoint)

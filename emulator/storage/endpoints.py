"""Where the services of a connection are."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from emulator.config.connections import Service, StorageConnection
from emulator.errors import ConfigurationError


def endpoint_of(connection: StorageConnection, service: Service) -> str:
    """The URL of a service. Raises ConfigurationError when the connection does not say it."""
    endpoint = connection.endpoint(service)
    if endpoint is None:
        raise ConfigurationError(
            f"The storage connection in setting '{connection.setting}' does not say where its {service} service is: "
            f"add {service.capitalize()}Endpoint=…; to it."
        )
    return endpoint


def account_description(connection: StorageConnection) -> str:
    """For people, without any key."""
    place = connection.blob or connection.queue or connection.table
    kind = "Azurite" if connection.is_development else f'storage account "{connection.account}"'
    return f"{kind} at {place}"


def is_local(connection: StorageConnection) -> bool:
    """It is on this machine, where no proxy leads to."""
    host = urlsplit(connection.blob or connection.queue or connection.table or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_emulated(connection: StorageConnection) -> bool:
    """A storage emulator, here or in a container: Azure itself is reached by TLS only."""
    places = (connection.blob, connection.queue, connection.table)
    return any(urlsplit(place).scheme == "http" for place in places if place)

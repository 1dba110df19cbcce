"""Probe of the storage ports: is the program that listens there a storage service?

The probe sends an HTTP request, because an open port alone does not show which program has opened it.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping

from emulator.clock import Clock, within
from emulator.config.connections import DEVELOPMENT_ACCOUNT, SERVICES, Service

HOST = "127.0.0.1"
_TIMEOUT_SECONDS = 3.0
_MAX_HEAD_BYTES = 64 * 1024


class PortUser(enum.Enum):
    """What listens on a port."""

    NOTHING = "nothing"
    STORAGE = "the storage service that is expected on the port"
    ANOTHER_PROGRAM = "another program"


async def probe(ports: Mapping[Service, int], clock: Clock) -> dict[Service, PortUser]:
    """Find out what listens on the three ports, all at the same time."""
    users = await asyncio.gather(*(_probe_port(service, ports[service], clock) for service in SERVICES))
    return dict(zip(SERVICES, users, strict=True))


async def _probe_port(service: Service, port: int, clock: Clock) -> PortUser:
    async def response_head() -> str:
        reader, writer = await asyncio.open_connection(HOST, port, limit=_MAX_HEAD_BYTES)
        try:
            # Without credentials: the ports may belong to another emulator with another account. Every response has the
            # headers that are looked at, also that of a refused request.
            path = f"/{DEVELOPMENT_ACCOUNT}?comp=list"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return ""
        finally:
            writer.close()

    try:
        head = await within(clock, _TIMEOUT_SECONDS, response_head())
    except ConnectionRefusedError:
        return PortUser.NOTHING
    except (TimeoutError, OSError):
        # The port is in use: something accepted the connection, or holds the port without accepting.
        return PortUser.ANOTHER_PROGRAM
    status, *lines = head.split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    server = headers.get("server", "").lower()
    if server.startswith("azurite"):
        # Azurite names its service. The ports may be mixed up, for example by --blobPort 10001.
        is_storage = server.startswith(f"azurite-{service}")
    else:
        # Other emulators at least send the request id that every response of Azure Storage has.
        is_storage = status.startswith("HTTP/1.") and "x-ms-request-id" in headers
    return PortUser.STORAGE if is_storage else PortUser.ANOTHER_PROGRAM

"""Who listens on a storage port: asked over HTTP, because an open port says nothing about who opened it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping

from emulator.clock import Clock, within
from emulator.config.connections import DEVELOPMENT_ACCOUNT, SERVICES, Service

HOST = "127.0.0.1"
_PATIENCE_SECONDS = 3.0
_LONGEST_HEAD = 64 * 1024


class Answer(enum.Enum):
    NOBODY = "nobody"
    STORAGE = "storage"
    SOMEBODY_ELSE = "somebody else"


async def probe(ports: Mapping[Service, int], clock: Clock) -> dict[Service, Answer]:
    """Ask the three ports side by side."""
    answers = await asyncio.gather(*(_probe_port(service, ports[service], clock) for service in SERVICES))
    return dict(zip(SERVICES, answers, strict=True))


async def _probe_port(service: Service, port: int, clock: Clock) -> Answer:
    try:
        head = await within(clock, _PATIENCE_SECONDS, _ask(port))
    except ConnectionRefusedError:
        return Answer.NOBODY
    except (TimeoutError, OSError):
        return Answer.SOMEBODY_ELSE
    return Answer.STORAGE if _is_storage(head, service) else Answer.SOMEBODY_ELSE


async def _ask(port: int) -> str:
    """The head of the response to a request without credentials."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=_LONGEST_HEAD)
    try:
        request = f"GET /{DEVELOPMENT_ACCOUNT}?comp=list HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return ""
    finally:
        writer.close()


def _is_storage(head: str, service: Service) -> bool:
    """Azurite names itself and the service; other emulators at least number their requests as Azure Storage does."""
    status, *lines = head.split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    server = headers.get("server", "").lower()
    if server.startswith("azurite"):
        return server.startswith(f"azurite-{service}")
    return status.startswith("HTTP/1.") and "x-ms-request-id" in headers

"""Answers to HTTP requests while no host process runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from emulator.clock import Clock, within
from emulator.listening import BACKLOG

_CLIENT_SECONDS = 5.0


@asynccontextmanager
async def answering_unavailable(
    sockets: Sequence[socket.socket], clock: Clock, reason: str, *, retry_after: int | None = None
) -> AsyncIterator[None]:
    """Answer all requests with 503 and the text `reason` while entered.

    `retry_after`: seconds, for the header Retry-After; None: it is not known when a host process will run.
    """
    body = f"{reason}\n".encode()
    retry = "" if retry_after is None else f"Retry-After: {retry_after}\r\n"
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n{retry}\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        writer.write_eof()
        # The rest of the request is read: closing a connection with unread data would discard the response.
        while await reader.read(65536):
            pass

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Clients may send anything, or nothing, or go away.
        with suppress(OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            await within(clock, _CLIENT_SECONDS, answer(reader, writer))
        writer.close()

    async with AsyncExitStack() as stack:
        for listening in sockets:
            # A duplicate, because the server closes its socket.
            server = await asyncio.start_server(handle, sock=listening.dup(), backlog=BACKLOG)
            stack.callback(server.close)
        yield

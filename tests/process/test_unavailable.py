"""Answers while no host process runs."""

from __future__ import annotations

import asyncio
import socket

import aiohttp

from emulator.clock import SystemClock
from emulator.listening import LOCALHOST, listening_sockets
from emulator.process.unavailable import answering_unavailable


async def test_every_request_gets_503_and_the_socket_stays_open() -> None:
    sockets = listening_sockets(LOCALHOST, 0)
    port = sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        async with answering_unavailable(sockets, SystemClock(), "The host cannot start: é.", retry_after=8):
            for sock in sockets:
                host = "[::1]" if sock.family == socket.AF_INET6 else "127.0.0.1"
                async with session.post(f"http://{host}:{port}/api/x", data=b"x" * 1_000_000) as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "8")
                    assert await answer.text() == "The host cannot start: é.\n"
            # A client that sends no request does not disturb the next one.
            _, idle = await asyncio.open_connection("127.0.0.1", port)
            idle.close()
        # Afterwards connections wait for the host process.
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    for sock in sockets:
        sock.close()

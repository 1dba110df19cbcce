"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final

from aiohttp import web

from emulator import bound_json as json
from emulator.dashboard.parts import DashboardParts
from emulator.host.http.routing.routes import HttpCall
from emulator.host.http.server.connections import wait_until_disconnected

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Proxies such as nginx would hold the events back otherwise.
    "X-Accel-Buffering": "no",
}

# Between two batches. A host that logs thousands of lines in a second must not send as many events.
_PAUSE_SECONDS: Final = 0.1


async def pause(seconds: float = _PAUSE_SECONDS) -> None:
    """Wait for some real time; by default a moment, so that what happens in it becomes one batch."""
    over = asyncio.Event()
    # Not through the clock: an open page must neither move the virtual time of a test nor wait for it. The loop's own
    # timers do neither, see `virtual_time.clock`.
    timer = asyncio.get_running_loop().call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        timer.cancel()


async def send_events(
    call: HttpCall, parts: DashboardParts, batches: AsyncIterator[Sequence[Mapping[str, Any]]]
) -> web.StreamResponse:
    """Send each element of each batch as one event (`data: {…}`), until the end of the iterator.

    Ends early when the client has disconnected, or when the host begins to stop.
    """
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(call.request)
    # The headers alone would stay in the buffer until the first event.
    await response.write(b": open\n\n")

    async def send() -> None:
        async with aclosing(batches) as source:  # type: ignore[type-var]
            async for batch in source:
                text = "".join(f"data: {json.dumps(event, separators=(',', ':'))}\n\n" for event in batch)
                if text:
                    await response.write(text.encode())

    ends = [
        asyncio.ensure_future(work)
        for work in (send(), wait_until_disconnected(call.request), parts.wait_until_stopping())
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ends:
            task.cancel()
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
    if isinstance(outcomes[0], Exception) and not isinstance(outcomes[0], ConnectionError):
        raise outcomes[0]
    with suppress(ConnectionError):
        await response.write_eof()
    return response

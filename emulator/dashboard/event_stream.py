"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

from aiohttp import web

from emulator import bound_json as json
from emulator.dashboard.parts import MAX_STREAMS, DashboardParts
from emulator.dashboard.routing import ApiError, error_members
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
# Written at once. A client that reads slowly costs no more memory than that, however large a batch is.
_MAX_CHARACTERS: Final = 100_000


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
    call: HttpCall, parts: DashboardParts, batches: AsyncIterator[Iterable[Mapping[str, Any]]]
) -> web.StreamResponse:
    """Send each element of each batch as one event (`data: {…}`), until the end of the iterator.

    Ends early when the client has disconnected, or when the host begins to stop. An error ends it with an event of the
    type `error`, because the status has been sent by then: `data: {"error": {"status": …, "message": …}}`.
    Raises ApiError 503 if too many streams are open.
    """
    if parts.streams.locked():
        raise ApiError(
            503,
            f"{MAX_STREAMS} event streams are open. Close pages of the dashboard, or end commands that follow a log.",
        )
    async with parts.streams:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(call.request)
        # The headers alone would stay in the buffer until the first event.
        await response.write(b": open\n\n")

        async def send() -> None:
            async with aclosing(batches) as source:  # type: ignore[type-var]
                async for batch in source:
                    texts, length = [], 0
                    for event in batch:
                        texts.append(f"data: {json.dumps(event, separators=(',', ':'))}\n\n")
                        length += len(texts[-1])
                        if length > _MAX_CHARACTERS:
                            await response.write("".join(texts).encode())
                            texts, length = [], 0
                    if texts:
                        await response.write("".join(texts).encode())

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
        error = outcomes[0]
        with suppress(ConnectionError):
            if isinstance(error, Exception) and not isinstance(error, ConnectionError):
                status, message = error_members(error, call.path)
                text = json.dumps({"error": {"status": status, "message": message}})
                await response.write(f"event: error\ndata: {text}\n\n".encode())
            await response.write_eof()
        return response

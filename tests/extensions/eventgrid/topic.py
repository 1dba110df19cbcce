"""A topic of Event Grid for tests: takes requests over HTTP and notes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Published:
    """A request that the topic got. `path`: with the query."""

    path: str
    headers: Mapping[str, str]
    events: list[dict[str, Any]]


@dataclass
class Topic:
    """`endpoint`: for app settings. `status`: of the answer to the next request."""

    endpoint: str
    status: Callable[[], int] = lambda: 200
    requests: list[Published] = field(default_factory=list)


@asynccontextmanager
async def open_topic() -> AsyncIterator[Topic]:
    """Serve a topic while entered."""

    async def handle(request: web.Request) -> web.Response:
        topic.requests.append(Published(request.path_qs, request.headers, json.loads(await request.text())))
        return web.Response(status=topic.status(), text="the reason")

    server = web.Application()
    server.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(server)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        topic = Topic(f"http://127.0.0.1:{port}/api/events")
        yield topic
    finally:
        await runner.cleanup()

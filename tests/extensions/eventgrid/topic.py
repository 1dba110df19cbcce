"""A topic of Event Grid for tests: takes requests over HTTP and notes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
async def identity_endpoint() -> AsyncIterator[str]:
    """Serve the endpoint of a managed identity (IDENTITY_ENDPOINT) while entered. Its token names the resource."""

    async def handle(request: web.Request) -> web.Response:
        resource = request.query["resource"]
        token = {"access_token": f"token for {resource}", "resource": resource, "token_type": "Bearer"}
        return web.json_response({**token, "expires_on": "4102444800"})

    async with _serving("GET", handle) as origin:
        yield f"{origin}/msi/token"


@asynccontextmanager
async def open_topic() -> AsyncIterator[Topic]:
    """Serve a topic while entered."""

    async def handle(request: web.Request) -> web.Response:
        topic.requests.append(Published(request.path_qs, request.headers, json.loads(await request.text())))
        return web.Response(status=topic.status(), text="the reason")

    async with _serving("POST", handle) as origin:
        topic = Topic(f"{origin}/api/events")
        yield topic


@asynccontextmanager
async def _serving(method: str, handle: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    server = web.Application()
    server.router.add_route(method, "/{path:.*}", handle)
    runner = web.AppRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()

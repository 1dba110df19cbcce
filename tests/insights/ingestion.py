"""An ingestion endpoint of Application Insights for tests: a web server that takes what Microsoft's exporter sends."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Item:
    """An item of telemetry. `kind`: such as RequestData."""

    kind: str
    data: Mapping[str, Any]
    tags: Mapping[str, str]
    key: str
    sample_rate: float

    @property
    def operation(self) -> str:
        return self.tags["ai.operation.id"]

    @property
    def parent(self) -> str | None:
        return self.tags.get("ai.operation.parentId")

    @property
    def properties(self) -> Mapping[str, Any]:
        members: Mapping[str, Any] = self.data["properties"]
        return members


@dataclass
class Endpoint:
    """`status`: of the responses. `posts`: their number."""

    url: str = ""
    status: int = 200
    posts: int = 0
    items: list[Item] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def settings(self) -> dict[str, str]:
        return {"APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={KEY};IngestionEndpoint={self.url}"}

    def of(self, kind: str, **members: str) -> list[Item]:
        """Return the items of a kind whose data have these members."""
        return [
            item
            for item in self.items
            if item.kind == kind and all(item.data.get(name) == value for name, value in members.items())
        ]

    def only(self, kind: str, **members: str) -> Item:
        first, *others = self.of(kind, **members)
        # The exporter sends a batch again whose response was late, as on a busy machine.
        assert [other for other in others if other != first] == []
        return first

    async def receive(self, request: web.Request) -> web.Response:
        self.posts += 1
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        text = body.decode().strip()
        envelopes = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
        if self.status == 200:
            self.items += [
                Item(
                    envelope["data"]["baseType"],
                    envelope["data"]["baseData"],
                    envelope["tags"],
                    envelope["iKey"],
                    envelope.get("sampleRate", 100.0),
                )
                for envelope in envelopes
            ]
        self.changed.set()
        number = len(envelopes)
        accepted = number if self.status == 200 else 0
        errors = [{"index": 0, "statusCode": 400, "message": "no good data"}] if self.status == 206 else []
        return web.json_response(
            {"itemsReceived": number, "itemsAccepted": accepted, "errors": errors}, status=self.status
        )


@asynccontextmanager
async def ingesting() -> AsyncIterator[Endpoint]:
    """Run an endpoint while entered."""
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/v2.1/track", endpoint.receive)
    app.router.add_post("/v2/track", endpoint.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield endpoint
    finally:
        await runner.cleanup()

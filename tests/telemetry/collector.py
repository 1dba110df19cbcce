"""A collector of OpenTelemetry for tests: a web server that takes OTLP/HTTP with JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as the collector has received it."""

    name: str
    scope: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str | None
    start: int
    end: int
    attributes: Mapping[str, Any]
    status: Mapping[str, Any]
    resource: Mapping[str, Any]


@dataclass
class Collector:
    """`requests`: their headers. `status`, `location`: of the responses."""

    url: str = ""
    status: int = 200
    location: str | None = None
    spans: list[ReceivedSpan] = field(default_factory=list)
    requests: list[Mapping[str, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the spans of a name, in the order of their starts."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start)

    def only(self, name: str) -> ReceivedSpan:
        """Return the one span of a name."""
        (span,) = self.named(name)
        return span

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append(dict(request.headers))
        if self.status == 200:
            for group in (await request.json())["resourceSpans"]:
                resource = _attributes(group["resource"]["attributes"])
                for scope in group["scopeSpans"]:
                    self.spans += [_span(span, scope["scope"]["name"], resource) for span in scope["spans"]]
        self.changed.set()
        headers = {} if self.location is None else {"Location": self.location}
        return web.json_response({"partialSuccess": {}}, status=self.status, headers=headers)


def _span(span: Mapping[str, Any], scope: str, resource: Mapping[str, Any]) -> ReceivedSpan:
    assert len(bytes.fromhex(span["traceId"])) == 16
    assert len(bytes.fromhex(span["spanId"])) == 8
    return ReceivedSpan(
        name=span["name"],
        scope=scope,
        kind=span["kind"],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId"),
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        attributes=_attributes(span["attributes"]),
        status=span["status"],
        resource=resource,
    )


def _attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        ((kind, value),) = pair["value"].items()
        values[pair["key"]] = int(value) if kind == "intValue" else value
    return values


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector while entered."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()

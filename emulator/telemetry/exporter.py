"""Export of spans to a collector, as OTLP in JSON over HTTP.

async with exporting(target, clock) as record:
    tracer = Tracer(clock, new_id, record)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from emulator import bound_json as json
from emulator.bound_aiohttp import BoundSession
from emulator.clock import Clock
from emulator.telemetry.batches import Batches, Outcome, sending
from emulator.telemetry.otlp_format import trace_request
from emulator.telemetry.otlp_options import OtlpTarget, shown_url
from emulator.telemetry.spans import Span

# Statuses after which OTLP/HTTP demands another attempt. All others mean that the collector refuses the request.
_RETRYABLE: Final = frozenset((429, 502, 503, 504))
_REDIRECTIONS: Final = frozenset((301, 302, 303, 307, 308))


@asynccontextmanager
async def exporting(target: OtlpTarget, clock: Clock) -> AsyncIterator[Callable[[Span], None]]:
    """Export spans while entered. Yields a function that takes a span and never blocks."""
    headers = {**target.headers, "Content-Type": "application/json"}
    # Proxies of the environment are meant for other machines.
    is_local = urlsplit(target.url).hostname in ("localhost", "127.0.0.1", "::1")
    async with BoundSession(headers=headers, trust_env=not is_local) as session:

        async def post(batch: Sequence[Span], seconds: float) -> Outcome[Span]:
            body = json.dumps(trace_request(target.resource, batch)).encode()
            try:
                timeout = aiohttp.ClientTimeout(total=seconds)
                # Another server must not get the headers, which may contain the key of this one.
                post = session.post(target.url, data=body, timeout=timeout, allow_redirects=False)
                async with post as response:
                    status, location = response.status, response.headers.get("Location", "")
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                # The client's own text has lines, and the URL with its password.
                reason = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
                return Outcome(f"does not respond ({' '.join(reason.split())[:200] or type(error).__name__})", batch)
            if status in _RETRYABLE:
                return Outcome(f"answers with status {status}", batch)
            if status in _REDIRECTIONS:
                shown = f" to {shown_url(location)}" if location.isprintable() and location else ""
                return Outcome(f"redirects{shown} (status {status}), which is not followed", refused=len(batch))
            if status >= 300:
                return Outcome(f"refuses spans with status {status}", refused=len(batch))
            return Outcome()

        batches = Batches(
            post,
            clock,
            receiver=f"OpenTelemetry: the collector at {target.shown_url}",
            items="spans",
            advice=" azemu speaks OTLP over HTTP with JSON, usually at port 4318; port 4317 is for gRPC.",
        )
        async with sending(batches):
            yield batches.add

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
from emulator.telemetry.otlp_options import OtlpTarget
from emulator.telemetry.spans import Span

# Statuses after which OTLP/HTTP demands another attempt. All others mean that the collector refuses the request.
_RETRYABLE: Final = frozenset((429, 502, 503, 504))


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
                async with session.post(target.url, data=body, timeout=timeout) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                return Outcome(f"does not respond ({str(error) or type(error).__name__})", batch)
            if status in _RETRYABLE:
                return Outcome(f"answers with status {status}", batch)
            if status >= 300:
                return Outcome(f"refuses spans with status {status}", refused=len(batch))
            return Outcome()

        batches = Batches(
            post,
            clock,
            receiver=f"OpenTelemetry: the collector at {target.url}",
            items="spans",
            advice=" azemu speaks OTLP over HTTP with JSON, usually at port 4318; port 4317 is for gRPC.",
        )
        async with sending(batches):
            yield batches.add

"""Export of spans: a bounded queue, and one task that sends its content to a collector as OTLP in JSON over HTTP.

    async with exporting(target, clock) as record:
        tracer = Tracer(clock, new_id, record)

Nothing waits for the collector. If it does not respond, one line is logged, spans are kept up to a limit, and the
newest beyond it are dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from emulator import bound_json as json
from emulator.background import background
from emulator.bound_aiohttp import BoundSession
from emulator.clock import Clock
from emulator.logs import get_logger
from emulator.telemetry.otlp_format import trace_request
from emulator.telemetry.otlp_options import OtlpTarget
from emulator.telemetry.spans import Span

_log = get_logger(__name__)

_MAX_WAITING: Final = 8192
# The default of OpenTelemetry's batch processor (OTEL_BSP_MAX_EXPORT_BATCH_SIZE).
_MAX_BATCH: Final = 512
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
# The default of OTEL_EXPORTER_OTLP_TIMEOUT.
_REQUEST_SECONDS: Final = 10.0
# A stop of the host should not take longer because of a collector.
_LAST_SECONDS: Final = 2.0
# Statuses after which OTLP/HTTP demands another attempt. All others mean that the collector refuses the request.
_RETRYABLE: Final = frozenset((429, 502, 503, 504))


@asynccontextmanager
async def exporting(target: OtlpTarget, clock: Clock) -> AsyncIterator[Callable[[Span], None]]:
    """Export spans while entered. Yields a function that takes a span and never blocks.

    Leaving sends what is left, for at most two seconds.
    """
    headers = {**target.headers, "Content-Type": "application/json"}
    # Proxies of the environment are meant for other machines.
    is_local = urlsplit(target.url).hostname in ("localhost", "127.0.0.1", "::1")
    async with BoundSession(headers=headers, trust_env=not is_local) as session:
        exporter = _Exporter(target, clock, session)
        async with background(exporter.run(), name="export of spans"):
            yield exporter.record
        # After the task has ended, so that two requests cannot have the same spans.
        await exporter.send_rest()


class _Exporter:
    def __init__(self, target: OtlpTarget, clock: Clock, session: BoundSession) -> None:
        self._target = target
        self._clock = clock
        self._session = session
        self._waiting: deque[Span] = deque()
        self._dropped = 0
        self._problem: str | None = None
        self._ready = asyncio.Event()

    def record(self, span: Span) -> None:
        # Without a collector, spans must not fill the memory. The oldest ones are kept: they show how it began.
        if len(self._waiting) >= _MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append(span)
        self._ready.set()

    async def run(self) -> None:
        pause = _PAUSE_SECONDS
        while True:
            await self._ready.wait()
            # Spans come in groups, and a request for each would cost more than they do.
            await self._clock.sleep(pause, upkeep=True)
            sent = True
            while sent and self._waiting:
                sent = await self._send(_REQUEST_SECONDS)
            # A collector that is away is asked less and less often.
            pause = _PAUSE_SECONDS if sent else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            # Spans that are left after a failure keep the event set, so the next attempt needs no new span.
            if not self._waiting:
                self._ready.clear()

    async def send_rest(self) -> None:
        # A collector that did not respond before is tried once more, and not for each batch.
        while self._waiting and await self._send(_LAST_SECONDS):
            pass
        if self._waiting or self._dropped:
            _log.warning("OpenTelemetry: %d spans were not exported.", len(self._waiting) + self._dropped)

    async def _send(self, seconds: float) -> bool:
        """Send the oldest spans. Return False if they have to be sent again."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCH))]
        body = json.dumps(trace_request(self._target.resource, batch)).encode()
        try:
            # The collector works in real time.
            with self._clock.busy():
                timeout = aiohttp.ClientTimeout(total=seconds)
                async with self._session.post(self._target.url, data=body, timeout=timeout) as response:
                    status = response.status
        # The host stops, and `send_rest` sends them. A collector that had taken them already gets them twice, with the
        # same ids.
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._put_back(batch)
            self._note_problem(f"does not respond ({str(error) or type(error).__name__})", "kept for later")
            return False
        if status in _RETRYABLE:
            self._put_back(batch)
            self._note_problem(f"answers with status {status}", "kept for later")
            return False
        # It would refuse the same spans each time.
        if status >= 300:
            self._dropped += len(batch)
            self._note_problem(f"refuses spans with status {status}", "dropped")
            return True
        # As a warning, like the beginning of the outage: a log that shows one of them shows the other.
        if self._problem is not None:
            self._problem = None
            _log.warning(
                "OpenTelemetry: the collector at %s takes spans again (%d were dropped).",
                self._target.url,
                self._dropped,
            )
            self._dropped = 0
        return True

    def _put_back(self, batch: list[Span]) -> None:
        # At the front, in their order.
        self._waiting.extendleft(reversed(batch))

    def _note_problem(self, problem: str, fate: str) -> None:
        # Once for each outage, whatever the reasons of later attempts are.
        if self._problem is None:
            _log.warning(
                "OpenTelemetry: the collector at %s %s. Spans are %s. azemu speaks OTLP over HTTP with JSON, usually "
                "at port 4318; port 4317 is for gRPC.",
                self._target.url,
                problem,
                fate,
            )
        self._problem = problem

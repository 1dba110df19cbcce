"""Export to Application Insights: sampling, a bounded queue, and the process that sends (sender.py).

async with exporting(target, clock) as export:
    tracer = Tracer(clock, new_id, export.record)
    with export.recording_lines(tracer):
        ...
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from emulator import bound_json as json
from emulator.clock import Clock, within
from emulator.insights.items import Line, line_members, span_members, span_type
from emulator.insights.lines import LineHandler
from emulator.insights.options import InsightsTarget
from emulator.insights.sampling import AdaptiveSampling
from emulator.logs import get_logger
from emulator.subprocesses import (
    describe_exit_code,
    kill_process_tree,
    python_command,
    start_detached,
    without_debugger,
)
from emulator.telemetry.batches import Batches, Outcome, sending
from emulator.telemetry.spans import Span, Tracer

_log = get_logger(__name__)

# An item with the percentage of its kind that is sent.
_Item = tuple[Span | Line, float]

# The exporter reports its own use to Microsoft, and asks there for its configuration. Neither is what the user has
# asked for. The third one is a record of the attributes of the process for each batch.
_QUIET: Final = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}


class InsightsExport:
    """Takes spans and lines, and sends those that sampling keeps."""

    def __init__(self, target: InsightsTarget, clock: Clock, batches: Batches[_Item]) -> None:
        self._target = target
        self._clock = clock
        self._batches = batches
        self._sampling = AdaptiveSampling(target.sampling, clock.now)

    def record(self, span: Span) -> None:
        """Take a span that has ended. Never blocks."""
        self._add(span, span_type(span), span.context.trace_id)

    @contextmanager
    def recording_lines(self, tracer: Tracer) -> Iterator[None]:
        """Take the log lines of the host and its functions while entered."""

        def take(line: Line) -> None:
            self._add(line, line.kind, None if line.context is None else line.context.trace_id)

        handler = LineHandler(self._target, self._clock, tracer, take)
        logger = get_logger("emulator")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def _add(self, item: Span | Line, kind: str, operation_id: str | None) -> None:
        percentage = self._sampling.percentage(kind, operation_id)
        if percentage is not None:
            self._batches.add((item, percentage))


@asynccontextmanager
async def exporting(target: InsightsTarget, clock: Clock) -> AsyncIterator[InsightsExport]:
    """Export telemetry while entered. Leaving sends what is left, for some seconds at most."""
    sender = _SenderProcess(target, clock)
    batches = Batches(
        sender.post,
        clock,
        receiver=f"Application Insights: the resource in the setting {target.setting}",
        items="items",
    )
    try:
        async with sending(batches):
            yield InsightsExport(target, clock, batches)
    finally:
        await sender.close()


class _SenderProcess:
    """The process of sender.py. It is started with the first batch, and again after it has ended."""

    def __init__(self, target: InsightsTarget, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        # What `_start` has returned.
        self._refusal: str | None = None

    async def post(self, batch: Sequence[_Item], seconds: float) -> Outcome[_Item]:
        """Send a batch. See `batches.Post`."""
        if self._refusal is not None:
            return Outcome(self._refusal, refused=len(batch))
        spans = [(item, rate) for item, rate in batch if isinstance(item, Span)]
        lines = [(item, rate) for item, rate in batch if isinstance(item, Line)]
        request = {
            "spans": [span_members(span, rate) for span, rate in spans],
            "lines": [line_members(line) for line, _ in lines],
        }
        try:
            if self._process is None:
                # Longer than a request: the import of the exporter takes seconds on a busy machine.
                self._refusal = await within(self._clock, 3 * seconds, self._start())
                if self._refusal is not None:
                    return Outcome(self._refusal, refused=len(batch))
            answer = await within(self._clock, seconds, self._ask(request))
        except (OSError, TimeoutError, ValueError) as error:
            await self.close()
            return Outcome(f"cannot be reached: its exporter {str(error) or 'does not respond'}", batch)
        # The answer of a request that was cancelled would be taken for that of the next one.
        except asyncio.CancelledError:
            await self.close()
            raise
        problem: str | None = None
        unsent: list[_Item] = []
        refused = 0
        for name, items in (("spans", spans), ("lines", lines)):
            outcome = answer[name]
            if "problem" in outcome:
                problem = outcome["problem"]
                if outcome["again"]:
                    unsent += items
                else:
                    refused += len(items)
        return Outcome(problem, unsent, refused)

    async def _start(self) -> str | None:
        """Start the process. Return why the exporter cannot be used at all; None: it can."""
        with without_debugger():
            self._process = await start_detached(
                *python_command("emulator.insights.sender"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**os.environ, **_QUIET},
            )
        # Not as an argument, which other users of the machine can see.
        answer = await self._ask(
            {"connectionString": self._target.connection_string, "resource": dict(self._target.resource)}
        )
        if "problem" not in answer:
            return None
        await self.close()
        return f"cannot be used: {answer['problem'].rstrip('.')}"

    async def _ask(self, request: Any) -> Any:
        """Send a line to the process and return its answer. Raises OSError if it has ended."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request, default=str).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise OSError(f"has ended ({describe_exit_code(await process.wait())})")
        return json.loads(line)

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                await kill_process_tree(process)

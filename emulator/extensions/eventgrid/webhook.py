"""The webhook /runtime/webhooks/eventgrid?functionName=NAME, to which Event Grid delivers events.

Source: Extensions.EventGrid, EventGridExtensionConfigProvider.ProcessAsync; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

from aiohttp import web

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.extensions.eventgrid.functions import EventGridFunctions, NotListening
from emulator.extensions.eventgrid.requests import allowed_origin, trigger_event
from emulator.host.event_grid_requests import InvalidEvents, events_in
from emulator.host.event_grid_webhook import answer_delivery
from emulator.host.http.server.requests import query_parameters
from emulator.logs import get_logger

NAME: Final = "eventgrid"
"""Name of the webhook: its path and, followed by `_extension`, its system key."""

_log = get_logger(__name__)


class EventGridWebhook:
    """Answers the requests of Event Grid.

    `is_stopping`: whether a function has an Event Grid trigger that no longer listens, because the host drains or
    stops.
    """

    def __init__(
        self,
        functions: EventGridFunctions,
        clock: Clock,
        *,
        wait_until_running: Callable[[], Awaitable[None]],
        is_stopping: Callable[[str], bool],
    ) -> None:
        self._functions = functions
        self._clock = clock
        self._wait_until_running = wait_until_running
        self._is_stopping = is_stopping

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle a request of any method. Event Grid repeats what is not answered with 200 or 202."""
        # Before that no function listens, and Event Grid repeats a delivery minutes after a 404.
        await self._wait_until_running()
        query = query_parameters(request.rel_url.raw_query_string)
        name = next((value for key, value in query.items() if key.lower() == "functionname"), "")
        # Before anything else, also in handshakes.
        if name not in self._functions.names:
            return self._unknown(name)
        origin = allowed_origin(request.headers.get("WebHook-Request-Origin"))
        notify = partial(self._notify, name, request)
        try:
            return await answer_delivery(request, self._clock, allowed_origin=origin, notify=notify)
        except InvalidEvents as error:
            # In the extension this is an exception that the server answers (docs/protocol/functions-host.md 8.6).
            _log.warning("A request to the Event Grid function '%s' was refused: %s", name, error)
            return web.Response(status=500, text=str(error))

    async def _notify(self, name: str, request: web.Request, body: bytes) -> web.Response:
        """Run the function for each event, all at once, and answer when all have ended."""
        # All events are read before the first one runs.
        now = self._clock.now()
        events = [
            replace(
                trigger_event(event, now),
                trace_parent=request.headers.get("traceparent", ""),
                trace_state=request.headers.get("tracestate", ""),
            )
            for event in events_in(body)
        ]
        outcomes = await asyncio.gather(*(self._functions.run(name, event) for event in events), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if isinstance(failure, NotListening):
                return _stopping(failure)
            # Anything else is a defect, which the server logs.
            if not isinstance(failure, EmulatorError):
                raise failure
        if failures:
            # The invoker has logged the error. Event Grid gets no details, as from the extension.
            return web.Response(status=500, text=f"Exception while executing function: Functions.{name}")
        return web.Response(status=202)

    def _unknown(self, name: str) -> web.Response:
        if self._is_stopping(name):
            return _stopping(NotListening(name))
        _log.warning(
            "A request to the Event Grid webhook names the function '%s', which does not listen to Event Grid. "
            "Functions that do: %s. The query parameter functionName has the bare name; letter case counts.",
            name,
            ", ".join(self._functions.names) or "none",
        )
        return web.Response(status=404, text=f"cannot find function: '{name}'")


def _stopping(error: NotListening) -> web.Response:
    # Event Grid delivers the event again later.
    return web.Response(status=503, text=str(error))

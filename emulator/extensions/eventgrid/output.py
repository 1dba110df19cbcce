"""The Event Grid output: events of a run are published together, to a topic or to functions of the same app.

Source: Extensions.EventGrid, EventGridAsyncCollector; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from emulator.errors import EmulatorError
from emulator.extensions.eventgrid.events import Batch, Schema, batch_of
from emulator.extensions.eventgrid.functions import EventGridFunctions
from emulator.extensions.eventgrid.publishing import Publisher
from emulator.extensions.eventgrid.requests import trigger_event
from emulator.extensions.eventgrid.topics import (
    Topic,
    TopicNotConfigured,
    credential_problem,
    local_subscribers,
    topic_of,
)
from emulator.host.console.categories import function_category
from emulator.host.context import ExtensionContext
from emulator.host.http.routing.paths import split_path
from emulator.host.http.routing.routes import first_match
from emulator.host.output_items import output_items
from emulator.host.port import BindingContext
from emulator.worker.port import Datum, member_of


class EventGridOutput:
    """Writes outputs of the type eventGrid. `publisher`: None until the functions are loaded."""

    def __init__(self, context: ExtensionContext, functions: EventGridFunctions) -> None:
        self._context = context
        self._functions = functions
        self.publisher: Publisher | None = None
        # asyncio keeps only weak references to tasks.
        self._deliveries: set[asyncio.Task[None]] = set()

    async def write(self, binding: BindingContext, datum: Datum) -> None:
        """Publish the events of an output value.

        Raises UnreadableOutput, InvalidEvent, TopicNotConfigured, PublishingFailed.
        """
        items = output_items(datum)
        # None as the value: the extension makes no request then.
        if not items:
            return
        batch = batch_of(items)
        topic = topic_of(binding.properties, self._context.settings)
        if topic.is_local(self._context.origin()):
            # An HTTP function of the app may take the place of the topic.
            path = split_path(urlsplit(topic.endpoint).path)
            if path is None or first_match(self._context.routes.all, "POST", path) is None:
                self._deliver(binding, topic, batch)
                return
        problem = credential_problem(topic, member_of(binding.properties, "topicKeySetting"))
        if problem is not None:
            raise TopicNotConfigured(problem)
        assert self.publisher is not None, "outputs are written while the extension runs"
        await self.publisher.publish(topic, batch)

    async def stop(self) -> None:
        """Cancel the deliveries that have not ended."""
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    def _deliver(self, binding: BindingContext, topic: Topic, batch: Batch) -> None:
        """Run the app's own Event Grid functions in the background."""
        publisher = binding.function.name
        subscribers = local_subscribers(topic, self._functions.names, publisher)
        function_category(publisher).info(
            "Output '%s' (%s): the topic of the setting '%s' is local. Events: %d, delivered to: %s",
            binding.binding.name,
            binding.binding.type,
            topic.setting,
            len(batch.events),
            ", ".join(subscribers) or "no function",
            extra={"function": publisher, "invocation_id": binding.invocation_id},
        )
        for event in batch.events:
            for name in subscribers:
                # In the background: on Azure the publisher's run neither waits for a subscriber nor fails with it.
                task = asyncio.create_task(self._run(name, _delivered(event, topic, batch.schema)))
                self._deliveries.add(task)
                task.add_done_callback(self._deliveries.discard)

    async def _run(self, name: str, event: Mapping[str, Any]) -> None:
        # The invoker logs errors. Event Grid would deliver the event again, for up to a day.
        with suppress(EmulatorError):
            await self._functions.run(name, trigger_event(event, self._context.clock.now()))


def _delivered(event: Mapping[str, Any], topic: Topic, schema: Schema) -> Mapping[str, Any]:
    """Return an event as Event Grid delivers it to subscribers: with its topic and the version of its metadata."""
    if schema is Schema.CLOUD_EVENTS:
        return event
    return {"topic": f"/topics/{topic.setting}", **event, "metadataVersion": "1"}

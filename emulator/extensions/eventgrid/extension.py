"""The Event Grid extension: the trigger with its webhook, and the output.

Source: net-sdk, Microsoft.Azure.WebJobs.Extensions.EventGrid; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from emulator.extensions.eventgrid.functions import EventGridFunctions
from emulator.extensions.eventgrid.manual import manual_event
from emulator.extensions.eventgrid.output import EventGridOutput
from emulator.extensions.eventgrid.publishing import Publisher
from emulator.extensions.eventgrid.webhook import NAME, EventGridWebhook
from emulator.host.context import ExtensionContext
from emulator.host.port import Extension, Output, Trigger, Webhook
from emulator.logs import get_logger

_TRIGGER: Final = "eventgridtrigger"
_OUTPUT: Final = "eventgrid"

_log = get_logger(__name__)


def eventgrid_extension(context: ExtensionContext) -> Extension:
    """Return the extension of Event Grid triggers and outputs."""
    functions = EventGridFunctions()
    output = EventGridOutput(context, functions)

    def has_trigger(name: str | None = None) -> bool:
        return any(
            function.trigger.type.lower() == _TRIGGER and not function.disabled and name in (None, function.name)
            for function in context.functions()
        )

    webhook = EventGridWebhook(
        functions, context.clock, wait_until_running=context.wait_until_running, is_stopping=has_trigger
    )

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        """Publish events while entered."""
        if has_trigger():
            # The extension's text.
            _log.info("registered EventGrid Endpoint = %s/runtime/webhooks/%s", context.origin(), NAME)
        async with Publisher(context.clock) as publisher:
            output.publisher = publisher
            try:
                yield
            finally:
                await output.stop()

    return Extension(
        name="eventGrid",
        triggers={
            _TRIGGER: Trigger(
                listen=functions.listen,
                manual_event=manual_event,
                log_category="Host.Triggers.EventGrid",
            )
        },
        outputs={_OUTPUT: Output(write=output.write)},
        webhooks=[Webhook(NAME, webhook.handle, public=True)],
        run=run,
    )

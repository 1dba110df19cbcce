"""The extension of blobs: its records by binding type."""

from __future__ import annotations

from typing import Final

from emulator.extensions.blobs.blob_functions import BLOB, BLOB_TRIGGER
from emulator.extensions.blobs.blob_input import blob_input
from emulator.extensions.blobs.blob_output import blob_output
from emulator.extensions.blobs.blob_triggers import BlobTriggers
from emulator.extensions.blobs.event_webhook import EventWebhook
from emulator.extensions.blobs.manual_runs import manual_event
from emulator.extensions.blobs.options import BlobsOptions
from emulator.host.context import ExtensionContext
from emulator.host.port import Extension, Function, ManualInput, Trigger, TriggerEvent, Webhook
from emulator.worker.port import Binding

_LOG_CATEGORY: Final = "Host.Triggers.Blobs"


def blob_extension(context: ExtensionContext) -> Extension:
    """Blob triggers, inputs and outputs. Raises ConfigurationError for wrong options in host.json."""
    triggers = BlobTriggers(context, context.section(BlobsOptions))
    webhook = EventWebhook(context.functions, triggers.put, context.clock)

    async def manual(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
        return await manual_event(function, binding, given, context)

    trigger = Trigger(
        listen=triggers.listen,
        validate=triggers.validate,
        # No `binding_names`: the Functions host finds a name without a value when the function runs.
        manual_event=manual,
        log_category=_LOG_CATEGORY,
        gives_sdk_types=True,
        required_members=["path"],
    )
    return Extension(
        name=BlobsOptions.section_name,
        triggers={BLOB_TRIGGER: trigger},
        inputs={BLOB: blob_input(context)},
        outputs={BLOB: blob_output(context)},
        webhooks=[Webhook(BlobsOptions.section_name, webhook.handle, public=True)],
        run=triggers.run,
    )

"""The durable extension: orchestration, activity and entity triggers, the client binding, the management API.

The listeners of the triggers only register their functions. What runs and manages them is in `services`.
Source: durable-extension, DurableTaskExtension.cs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from aiohttp import web

from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.extensions.durable.functions import CLIENTS, TRIGGERS, DurableFunctions, is_durable
from emulator.extensions.durable.management.profiles import PROFILE_SETTING, profile_named
from emulator.extensions.durable.manual_start import manual_event
from emulator.host.context import ExtensionContext
from emulator.host.port import BindingContext, Extension, Input, Trigger, Webhook
from emulator.logs import get_logger
from emulator.worker.port import Datum

if TYPE_CHECKING:
    from emulator.extensions.durable.services import DurableServices

_LOG_CATEGORY: Final = "Host.Triggers.DurableTask"

_log = get_logger(__name__)


def durable_extension(context: ExtensionContext) -> Extension:
    """Create the extension. Raises ConfigurationError for wrong options in host.json or an unknown profile."""
    options = resolve_options(context.section(DurableTaskOptions), context.settings)
    profile = profile_named(context.settings.get(PROFILE_SETTING))
    _warn_about_options(options, first_start=context.first_start)
    functions = DurableFunctions()

    def has_durable_functions() -> bool:
        return is_durable(context.functions())

    @cache
    def services() -> DurableServices:
        # A third of azemu's modules. An app without durable functions starts without them.
        from emulator.extensions.durable.services import DurableServices

        return DurableServices(context, options, functions, profile)

    async def read_client(binding: BindingContext) -> Datum:
        return await services().read_client(binding)

    async def handle_webhook(request: web.Request) -> web.StreamResponse:
        # On Azure the extension is loaded only for apps whose functions use it. An app that cannot be loaded has none
        # there. Here its developer can still look at the instances, which wait for the repaired code, and end them.
        if has_durable_functions() or context.load_errors():
            return await services().handle_webhook(request)
        return web.Response(status=404)

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        """Run the services. Raises ConnectionNotConfigured, NoFreePort."""
        # An app without durable functions must run without storage, and must not create a task hub in it.
        if not has_durable_functions():
            yield
            return
        async with services().running():
            yield

    return Extension(
        name=DurableTaskOptions.section_name,
        triggers={
            trigger: Trigger(
                listen=functions.listen_for(kind),
                log_category=_LOG_CATEGORY,
                manual_event=manual_event(kind, context.origin),
            )
            for trigger, kind in TRIGGERS.items()
        },
        inputs={client: Input(read=read_client) for client in CLIENTS},
        webhooks=[Webhook("durabletask", handle_webhook)],
        run=run,
        services=lambda: services() if has_durable_functions() or context.load_errors() else None,
    )


def _warn_about_options(options: DurableTaskOptions, *, first_start: bool) -> None:
    """Warn about options that contradict each other, and, at the first start, about another storage provider."""
    provider = options.storage_provider
    if provider.control_queue_batch_size > provider.control_queue_buffer_threshold:
        _log.warning(
            "controlQueueBatchSize (%d) is larger than controlQueueBufferThreshold (%d) in host.json.",
            provider.control_queue_batch_size,
            provider.control_queue_buffer_threshold,
        )
    if provider.other is not None and first_start:
        stored = "" if options.stored_hub_name == options.hub_name else f' (stored as "{options.stored_hub_name}")'
        _log.warning(
            'extensions.durableTask.storageProvider.type in host.json is "%s". Instead of %s, azemu uses its own '
            'engine and the storage of AzureWebJobsStorage. Task hub: "%s"%s.',
            provider.type,
            provider.other,
            options.hub_name,
            stored,
        )

"""Blob triggers of a host.

Their listeners only register their functions. All functions of a host share a scanner, which puts a
message for each new version of a blob into a queue, and a listener of that queue, which runs the functions.
Source: docs/protocol/functions-host.md 8.4 (webjobs extension for blobs: BlobTriggerBinding, SharedBlobListener).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from emulator.background import background
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.extensions.blobs.blob_functions import (
    EVENT_GRID,
    BlobFunction,
    check_source,
    path_of,
    source_of,
)
from emulator.extensions.blobs.message_processing import MessageProcessing
from emulator.extensions.blobs.options import BlobsOptions
from emulator.extensions.blobs.own_outputs import looping_output
from emulator.extensions.blobs.passing_on import PassingOn
from emulator.extensions.blobs.receipts import BlobReceipts
from emulator.extensions.blobs.scanner import scan_containers
from emulator.extensions.blobs.sdk_references import check_sdk_client
from emulator.extensions.blobs.trigger_messages import TriggerMessage, function_id, queue_name, stored_text
from emulator.host.bindings import connection_of
from emulator.host.console.categories import STARTUP, category, function_category
from emulator.host.context import ExtensionContext
from emulator.host.port import Function, Invoke
from emulator.logs import get_logger
from emulator.polling.crash_recovery.host_identity import queue_identity
from emulator.polling.message_listener import ListenerOptions, MessageProcessor, listening, put_creating
from emulator.worker.port import Binding

# The scanner wakes the listener for each message, so this is only the pause for messages of other hosts. It is not
# that of the section `queues`, which does not concern this queue.
_MAX_POLLING_INTERVAL: Final = timedelta(seconds=60)

_startup = category(STARTUP)
_log = get_logger(__name__)


class BlobTriggers:
    """The blob triggers of a host: the functions that listen, and the work that they share."""

    def __init__(self, context: ExtensionContext, options: BlobsOptions) -> None:
        self._context = context
        self._options = options
        self._listening: dict[str, BlobFunction] = {}
        self._stop = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._has_ended.set()

    def validate(self, function: Function, others: Sequence[Function]) -> None:
        """Check the path, and warn of an output that starts the function again."""
        path, context = path_of(function.trigger), self._context
        check_source(function.trigger)
        if function.trigger.name in function.metadata.sdk_types:
            check_sdk_client(function.trigger, context.settings)
        output = looping_output(
            function, path, expand=context.settings.expand, clock=context.clock, new_id=context.new_id
        )
        if output is not None:
            _startup.warning(
                "The output '%s' of function '%s' writes blobs that its own trigger matches ('%s'), so each run starts "
                "the next one, without end. Write to another container or folder, or let the trigger match only other "
                "names, such as '{name}.png'.",
                output.name,
                function.name,
                path.text,
            )

    @asynccontextmanager
    async def listen(self, function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
        """Run the function for new blobs while entered. Raises ConnectionNotConfigured."""
        context, connection, path = self._context, connection_of(binding), path_of(binding)
        # The queue and the receipts are there, whatever the trigger's own connection is.
        context.accounts(DEFAULT_CONNECTION)
        is_event_grid = source_of(binding) == EVENT_GRID
        is_emulated = context.accounts.is_emulated(connection)
        # Event Grid does not know of local storage. So that an app needs no tunnel, local storage is scanned for it.
        is_watched = not is_event_grid or is_emulated
        self._listening[function.name] = BlobFunction(
            function=function,
            path=path,
            connection=connection,
            account=context.accounts(connection),
            is_watched=is_watched,
            invoke=invoke,
        )
        if is_watched and context.first_start and not is_emulated:
            _log.warning(
                "Function '%s' is called for the blobs of container '%s' in the %s. A deployed app that has processed "
                "them has receipts of its own, so all of them are new for this host. Use local storage in the setting "
                "of the connection '%s' while you develop.",
                function.name,
                path.container,
                context.accounts(connection).description,
                connection,
            )
        if is_event_grid and context.first_start:
            function_category(function.name).info(
                "Function '%s' takes blob events at %s/runtime/webhooks/blobs?functionName=%s%s",
                function.name,
                context.origin(),
                function_id(function.name),
                ", and is called for new blobs of the local storage without them." if is_watched else ".",
            )
        try:
            yield
        finally:
            # All listeners stop together, when the host stops or drains. So the first one ends what they share.
            self._stop.set()
        await self._has_ended.wait()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Scan containers and process messages while listeners are entered."""
        async with background(self._work(), name="blob triggers"):
            yield

    async def put(self, message: TriggerMessage) -> None:
        """Put a message into the queue of found blobs. Raises ConnectionNotConfigured, StorageError."""
        queue = self._context.accounts(DEFAULT_CONNECTION).queue(queue_name(self._context.host_id))
        await put_creating(queue, stored_text(message))

    async def _work(self) -> None:
        context, options = self._context, self._options
        # A message for a function whose listener is not entered yet would be dropped.
        await context.wait_until_running()
        if not self._listening or self._stop.is_set():
            return
        self._has_ended.clear()
        try:
            account = context.accounts(DEFAULT_CONNECTION)
            name = queue_name(context.host_id)
            passing_on = PassingOn(BlobReceipts(account, context.host_id, context.new_id), account.queue(name))
            processing = MessageProcessing(self._listening, passing_on, account, context)
            limits = ListenerOptions(
                batch_size=options.batch_size,
                new_batch_threshold=options.new_batch_threshold,
                max_polling_interval=_MAX_POLLING_INTERVAL,
                max_dequeue_count=options.poison_blob_threshold,
            )
            processor = MessageProcessor(run=processing.run, poison_queue=processing.poison_queue)
            # In Azure, a host with that identity may run on another machine.
            is_emulated = context.accounts.is_emulated(DEFAULT_CONNECTION)
            hosts_folder = context.hosts_folder if is_emulated else None
            with queue_identity(hosts_folder, DEFAULT_CONNECTION, name, context.new_id) as identity:
                scanning = scan_containers(list(self._listening.values()), passing_on, account, context)
                async with (
                    listening(account, name, processor, limits, clock=context.clock, identity=identity),
                    background(scanning, name="scan containers"),
                ):
                    await self._stop.wait()
        finally:
            self._has_ended.set()

"""Processing of the queue of found blobs: check that the version is still there, and run the function.

Source: docs/protocol/functions-host.md 8.4 (webjobs extension for blobs: BlobQueueTriggerExecutor).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from emulator.errors import EmulatorError
from emulator.extensions.blobs.blob_functions import EVENT_GRID, BlobFunction
from emulator.extensions.blobs.passing_on import BlobVersion, PassingOn
from emulator.extensions.blobs.trigger_events import blob_event, details_of, trigger_value
from emulator.extensions.blobs.trigger_messages import (
    POISON_QUEUE,
    NoTriggerMessage,
    TriggerMessage,
    read_message,
)
from emulator.host.console.categories import function_category
from emulator.host.context import ExtensionContext
from emulator.host.invoker import BindingFailed, FunctionTimedOut
from emulator.host.port import TriggerEvent
from emulator.logs import get_logger
from emulator.polling.message_listener import Outcome
from emulator.storage.port import (
    NotFound,
    PreconditionFailed,
    Queue,
    QueueMessage,
    StorageAccount,
    StorageUnreachable,
)
from emulator.worker.port import WorkerError

T = TypeVar("T")

_log = get_logger(__name__)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0


class MessageProcessing:
    """What a host does with the messages of the queue. `functions`: those that listen, by name."""

    def __init__(
        self,
        functions: Mapping[str, BlobFunction],
        passing_on: PassingOn,
        host_account: StorageAccount,
        context: ExtensionContext,
    ) -> None:
        self._functions = functions
        self._passing_on = passing_on
        self._host_account = host_account
        self._context = context

    def poison_queue(self, message: QueueMessage) -> Queue:
        """Return the poison queue of a message, which is in the account of the blob."""
        try:
            function = self._functions.get(read_message(message.body).function)
        except NoTriggerMessage:
            function = None
        account = self._host_account if function is None else function.account
        return account.queue(POISON_QUEUE)

    async def run(self, message: QueueMessage) -> Outcome:
        """Run the function for the blob that a message names."""
        try:
            trigger = read_message(message.body)
        except NoTriggerMessage as error:
            _log.warning(
                "Message %s of the queue of found blobs cannot be read (%s). Moving message to queue '%s'.",
                message.id,
                error,
                POISON_QUEUE,
            )
            return Outcome.REJECTED
        function = self._functions.get(trigger.function)
        if function is None:
            _log.warning(
                "Blob '%s/%s' was found for function '%s', which the app does not have, or which is disabled. It is "
                "not processed.",
                trigger.container,
                trigger.blob,
                trigger.function,
            )
            return Outcome.DONE
        try:
            event = await self._event(function, trigger, message)
        except EmulatorError as error:
            function_category(function.name).error(
                "Function '%s' cannot be called for blob '%s/%s'. %s",
                function.name,
                trigger.container,
                trigger.blob,
                error,
            )
            return Outcome.FAILED
        if event is None:
            return Outcome.DONE
        try:
            await function.invoke(event)
        except (WorkerError, FunctionTimedOut, BindingFailed):
            return Outcome.FAILED  # The invoker has logged it.
        return Outcome.DONE

    async def _event(
        self, function: BlobFunction, trigger: TriggerMessage, message: QueueMessage
    ) -> TriggerEvent | None:
        """Return the event for a blob; None if it is gone, or if its new version has a message of its own."""
        container = function.account.container(trigger.container)
        while True:
            try:
                properties = await self._when_reachable(partial(container.properties, trigger.blob))
                # Events of Event Grid are not compared, as in the extension: their ETags may be of any age.
                if function.source != EVENT_GRID and properties.etag != trigger.etag:
                    version = BlobVersion.of(properties)
                    # The scanner finds the new version, too. But another host may scan, and soon stop.
                    await self._when_reachable(partial(self._passing_on.pass_on, function, version))
                    return None
                value = await self._when_reachable(
                    partial(trigger_value, function.function, container, properties, self._context)
                )
            except PreconditionFailed:
                continue  # It was written between the two requests.
            except NotFound:
                return None
            own = trigger.container == function.path.container
            return blob_event(
                value,
                properties,
                container=trigger.container,
                uri=container.url(trigger.blob),
                # Event Grid may name any blob. One that the path does not match has no captures.
                captures=(function.path.match(trigger.blob) if own else None) or {},
                reason=f"New blob detected({function.source}): {trigger.container}/{trigger.blob}",
                details=details_of(message, properties),
            )

    async def _when_reachable(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request until storage answers: an outage must not use up the attempts of a message."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await request()
            except StorageUnreachable as error:
                _log.debug("A blob cannot be read and is tried again: %s", error)
                await self._context.clock.sleep(pause, upkeep=True)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

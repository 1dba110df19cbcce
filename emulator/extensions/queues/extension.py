"""The queues extension: the queue trigger and the queue output.

Source: net-sdk, Microsoft.Azure.WebJobs.Extensions.Storage.Queues 5.3.10; docs/protocol/functions-host.md 8.3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from emulator.config.queue_options import QueuesOptions, UndecodableMessage
from emulator.errors import EmulatorError
from emulator.extensions.queues.events import manual_message_event, message_event
from emulator.extensions.queues.names import QUEUE_NAME, check_queue_name, poison_queue_name, queue_name_of
from emulator.host.bindings import connection_of
from emulator.host.context import ExtensionContext
from emulator.host.output_items import output_items
from emulator.host.port import BindingContext, Extension, Function, Invoke, ManualInput, Output, Trigger, TriggerEvent
from emulator.ids import hyphenated
from emulator.logs import get_logger
from emulator.polling.crash_recovery.host_identity import queue_identity
from emulator.polling.message_listener import ListenerOptions, MessageProcessor, Outcome, listening, put_creating
from emulator.storage.port import QueueMessage
from emulator.worker.port import Binding, Datum

_LOG_CATEGORY: Final = "Host.Triggers.Queue"

_log = get_logger(__name__)


def queues_extension(context: ExtensionContext) -> Extension:
    """Create the extension. Raises ConfigurationError for wrong options in host.json."""
    options = context.section(QueuesOptions)
    limits = ListenerOptions(
        batch_size=options.batch_size,
        new_batch_threshold=options.threshold,
        max_polling_interval=options.max_polling_interval,
        max_dequeue_count=options.max_dequeue_count,
        retry_delay=options.visibility_timeout,
    )

    @asynccontextmanager
    async def listen(function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
        connection, name = connection_of(binding), queue_name_of(binding.properties)
        account = context.accounts(connection)
        poison_name = poison_queue_name(name)
        poison_queue = None if poison_name is None else account.queue(poison_name)
        if context.first_start:
            context.accounts.warn_if_real(connection, f"queue '{name}'", function.name)

        async def run(message: QueueMessage) -> Outcome:
            try:
                content = options.message_encoding.decode(message.body)
            except UndecodableMessage as error:
                # The first sentences are the extension's.
                _log.warning(
                    "Message decoding has failed! Check MessageEncoding settings. MessageId=%s. %s The function '%s' "
                    "does not get it; it %s. Send base64 to the queue '%s', or let all queues of the app have plain "
                    "text: extensions.queues.messageEncoding in host.json: none.",
                    message.id,
                    error,
                    function.name,
                    "stays in the queue" if poison_name is None else f"is moved to the queue '{poison_name}'",
                    name,
                )
                return Outcome.REJECTED
            try:
                await invoke(message_event(binding, name, message, content))
            except EmulatorError:
                # The invoker has logged it.
                return Outcome.FAILED
            return Outcome.DONE

        processor = MessageProcessor(run=run, poison_queue=lambda message: poison_queue)
        # In Azure, a host with that identity may run on another machine.
        hosts_folder = context.hosts_folder if context.accounts.is_emulated(connection) else None
        with queue_identity(hosts_folder, connection, name, context.new_id) as identity:
            async with listening(account, name, processor, limits, clock=context.clock, identity=identity):
                yield

    async def manual_event(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
        return manual_message_event(binding, given, message_id=hyphenated(context.new_id()), now=context.clock.now())

    async def write(binding: BindingContext, datum: Datum) -> None:
        name = queue_name_of(binding.properties)
        check_queue_name(name)
        queue = context.accounts(connection_of(binding.binding)).queue(name)
        # One after the other, in order. When one cannot be put, those before it stay, as with the extension.
        for item in output_items(datum):
            await put_creating(queue, options.message_encoding.encode(item))

    def validate_trigger(function: Function, others: Sequence[Function]) -> None:
        check_queue_name(queue_name_of(function.trigger.properties))

    def validate_output(function: Function, binding: Binding) -> None:
        name = queue_name_of(binding.properties)
        # The name is known only in each run if it has expressions.
        if "{" not in name:
            check_queue_name(name)

    return Extension(
        name=QueuesOptions.section_name,
        triggers={
            "queuetrigger": Trigger(
                listen=listen,
                validate=validate_trigger,
                manual_event=manual_event,
                log_category=_LOG_CATEGORY,
                required_members=[QUEUE_NAME],
            )
        },
        outputs={"queue": Output(write=write, validate=validate_output, required_members=[QUEUE_NAME])},
    )

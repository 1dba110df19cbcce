"""The task hub on Azure Storage: both ports of `durable.hub`, put together from the parts of this package."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from emulator.clock import Clock
from emulator.durable.azurestorage.crash_recovery.host_identity import FIRST_LOCK, Seat, new_name
from emulator.durable.azurestorage.crash_recovery.receipt_journal import NoLedger
from emulator.durable.azurestorage.crash_recovery.takeover import inheriting
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.messaging.backoff import Backoff
from emulator.durable.azurestorage.messaging.sender import MessageSender, open_sender
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.partitioning.app_lease import AppLease
from emulator.durable.azurestorage.partitioning.blob_partitions import LegacyPartitions, SafePartitions
from emulator.durable.azurestorage.partitioning.ownership import Ownership
from emulator.durable.azurestorage.partitioning.table_partitions import TablePartitions
from emulator.durable.azurestorage.tracking import instances as status_rows
from emulator.durable.azurestorage.tracking.history import HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.tracking.purging import Purger
from emulator.durable.azurestorage.tracking.rewind import rewind
from emulator.durable.azurestorage.work.checkpointing import Checkpointer
from emulator.durable.azurestorage.work.control_queue_poller import ControlQueuePoller
from emulator.durable.azurestorage.work.sessions import Episode, Sessions
from emulator.durable.azurestorage.work.work_items import WorkItems
from emulator.durable.core.episode import EpisodeOutcome
from emulator.durable.core.events import ExecutionStarted, GenericEvent, HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.hub import (
    ActivityWorkItem,
    InstanceAlreadyExists,
    InstancePage,
    InstanceQuery,
    InstanceStatus,
    OrchestrationWorkItem,
    PurgeFilter,
    PurgeResult,
)
from emulator.durable.options import DurableTaskOptions
from emulator.ids import NewId
from emulator.instant import Instant
from emulator.storage.port import MAX_HIDE, StorageAccount

_log = logging.getLogger(__name__)


class AzureStorageTaskHub:
    """See `durable.hub`: TaskHub at any time, WorkSource while `working()`.

    `account` has the queues. `tracking`: the account of tables and blobs, if it is another one
    (trackingStoreConnectionName). `app_name` identifies the app towards others on the same hub (WEBSITE_SITE_NAME, or
    empty). `worker_id` must differ between processes; None makes one from the machine's name. With a `seat` it is
    the seat's, and what the host that sat there before left behind is taken up at once.
    """

    def __init__(
        self,
        options: DurableTaskOptions,
        account: StorageAccount,
        *,
        clock: Clock,
        new_id: NewId,
        tracking: StorageAccount | None = None,
        app_name: str = "",
        worker_id: str | None = None,
        seat: Seat | None = None,
    ) -> None:
        provider = options.storage_provider
        self._options = options
        self._clock = clock
        self._new_id = new_id
        self._account = account
        self._tracking = tracking or account
        self._worker_id = worker_id or (seat.name if seat else new_name(new_id))
        self._seat = seat
        self._names = HubNames(
            hub=options.hub_name,
            partition_count=provider.partition_count,
            tracking_prefix=provider.tracking_store_name_prefix if tracking else None,
        )
        self._large = LargePayloads(self._tracking.container(self._names.large_message_container), clock, new_id)
        self._history_rows = self._tracking.table(self._names.history_table)
        self._instance_rows = self._tracking.table(self._names.instances_table)
        self._history = HistoryTable(self._history_rows, self._large, clock)
        self._instances = InstanceTable(
            self._instance_rows,
            self._large,
            hub=options.hub_name,
            clock=clock,
            fetch_large=provider.fetch_large_messages_automatically,
        )
        self._memory = HubCache()
        self._purger = Purger(self._history, self._instances, self._large, self._memory)
        self._post = self._open_sender()
        self._sessions = self._new_sessions()
        self._ownership = self._new_ownership()
        self._app_lease = AppLease(
            self._tracking.container(self._names.app_lease_container),
            self._names.app_lease_blob,
            app_name,
            clock,
            options.app_lease_options,
        )
        self._saver = Checkpointer(
            self._post,
            self._history,
            self._instances,
            self._sessions,
            self._memory,
            self._ownership,
            guard_row=provider.use_instance_table_etag,
        )
        self._work_items = WorkItems(
            self._post,
            self._memory,
            clock,
            limit=options.max_concurrent_activity_functions,
            backoff=Backoff(provider.max_queue_polling_interval),
        )
        self._is_created = False
        self._creating = asyncio.Lock()

    def _open_sender(self) -> MessageSender:
        return open_sender(
            self._account,
            self._names,
            self._large,
            self._clock,
            self._new_id,
            self._seat.ledger if self._seat else NoLedger(),
            self._options.storage_provider,
            first_lock=FIRST_LOCK if self._seat else MAX_HIDE,
        )

    def _new_sessions(self) -> Sessions:
        provider = self._options.storage_provider
        return Sessions(
            self._history,
            self._instances,
            self._memory,
            self._post,
            clock=self._clock,
            new_id=self._new_id,
            buffer_limit=provider.control_queue_buffer_threshold,
        )

    def _new_ownership(self) -> Ownership:
        provider = self._options.storage_provider
        leases = self._tracking.container(self._names.lease_container)
        if provider.use_legacy_partition_management:
            return LegacyPartitions(leases, self._names, self._worker_id, self._clock, self._new_id)
        if not provider.use_table_partition_management:
            return SafePartitions(leases, self._names, self._worker_id, self._clock, self._new_id)
        return TablePartitions(
            self._tracking.table(self._names.partitions_table),
            self._names.control_queues,
            self._worker_id,
            self._clock,
            timeout=provider.partition_table_operation_timeout,
        )

    # TaskHub -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._options.hub_name

    async def create(self) -> None:
        """Like .NET, a client that comes first makes everything, lease records included."""
        if self._is_created:
            return
        async with self._creating:
            if not self._is_created:
                await self._create()
                self._is_created = True

    async def _create(self) -> None:
        queues = [self._post.work_items, *self._post.control_queues]
        await asyncio.gather(
            self._app_lease.create(),
            self._ownership.create(),
            self._history_rows.create(),
            self._instance_rows.create(),
            *(queue.create() for queue in queues),
        )

    async def _make_again(self) -> None:
        """Somebody removed what the hub lives on: an Azurite that lost its data, a user who cleans up."""
        _log.warning("The storage of task hub %s has disappeared. It is made again; what was in it is lost.", self.name)
        self._memory.clear()
        await self._create()

    async def delete(self) -> None:
        self._is_created = False
        queues = [self._post.work_items, *self._post.control_queues]
        await asyncio.gather(
            self._app_lease.delete(),
            self._ownership.delete(),
            self._history_rows.drop(),
            self._instance_rows.drop(),
            self._large.drop(),
            *(queue.drop() for queue in queues),
        )
        self._memory.clear()

    async def start(self, message: TaskMessage, *, reuse: frozenset[RuntimeStatus]) -> None:
        await self.create()
        started = message.event
        assert isinstance(started, ExecutionStarted)
        instance_id = message.target.instance_id
        existing = await self._instances.row(instance_id)
        if existing is not None:
            status = status_rows.status_of(existing)
            if status is not None and status not in reuse:
                raise InstanceAlreadyExists(instance_id, status)
        if started.generation is None:
            generation = 0 if existing is None else (status_rows.generation_of(existing) or 0) + 1
            started = replace(started, generation=generation)
        with self._memory.starting(instance_id):
            # The input goes first, the message second, the row last: a worker that sees the message needs the row at
            # once, and holds the message until the row says that this start counts.
            status_input = await self._instances.input_reference(started)
            sent = await self._post.send(TaskMessage(started, message.target, message.context_tags))
            if await self._instances.create(started, existing=existing, status_input=sent.blob_url or status_input):
                self._memory.started[instance_id] = started.instance.execution_id or ""

    async def send(self, message: TaskMessage) -> None:
        await self.create()
        await self._post.send(message)

    async def status(self, instance_id: str) -> InstanceStatus | None:
        await self.create()
        return await self._instances.status(instance_id)

    async def query(self, query: InstanceQuery) -> InstancePage:
        await self.create()
        return await self._instances.query(query)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        await self.create()
        return (await self._history.load(instance_id)).events

    async def rewind(self, instance_id: str, reason: str | None) -> None:
        await self.create()
        leaves = await rewind(instance_id, history=self._history_rows, instances=self._instances)
        for leaf in leaves:
            self._memory.forget(leaf)
            event = GenericEvent(timestamp=Instant.of(self._clock.now()), data=reason)
            await self._post.send(TaskMessage(event, OrchestrationInstance(leaf, None)))

    async def purge(self, instance_id: str) -> PurgeResult:
        await self.create()
        return await self._purger.purge(instance_id)

    async def purge_many(self, where: PurgeFilter) -> PurgeResult:
        await self.create()
        return await self._purger.purge_many(where)

    # WorkSource ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Take part in the work of the hub. Leaving hands the control queues over; the engine has drained by then."""
        await self.create()
        intake = ControlQueuePoller(
            self._post,
            self._sessions,
            self._ownership,
            self._clock,
            batch=self._options.storage_provider.control_queue_batch_size,
            longest_pause=self._options.storage_provider.max_queue_polling_interval,
        )
        async with AsyncExitStack() as stack:
            if self._seat is not None:
                await stack.enter_async_context(inheriting(self._seat, self._account, self._clock))
                self._expect_what_was_on_its_way()
            await stack.enter_async_context(self._sessions.running())
            await stack.enter_async_context(self._work_items.running())
            await stack.enter_async_context(intake.running())
            own = partial(self._ownership.owning, intake, self._make_again)
            await stack.enter_async_context(self._app_lease.holding(own) if self._options.use_app_lease else own())
            yield

    def _expect_what_was_on_its_way(self) -> None:
        """To the host before us. A busy service may even serve the dead, so that their lock begins later."""
        for queue in (self._post.work_items, *self._post.control_queues):
            for times in (1, 2, 3):
                queue.expect(times * FIRST_LOCK)

    async def next_orchestration(self) -> OrchestrationWorkItem:
        return await self._sessions.next(entity=False)

    async def next_entity(self) -> OrchestrationWorkItem:
        return await self._sessions.next(entity=True)

    async def complete_orchestration(self, item: OrchestrationWorkItem, outcome: EpisodeOutcome) -> None:
        await self._saver.save(_episode(item), outcome)

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        await self._sessions.abandon(_episode(item))

    async def next_activity(self) -> ActivityWorkItem:
        return await self._work_items.next()

    async def complete_activity(self, item: ActivityWorkItem, response: TaskMessage) -> None:
        await self._work_items.complete(item, response)

    async def abandon_activity(self, item: ActivityWorkItem) -> None:
        await self._work_items.abandon(item)


def _episode(item: OrchestrationWorkItem) -> Episode:
    assert isinstance(item.handle, Episode)
    return item.handle

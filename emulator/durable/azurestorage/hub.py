"""Task hub on Azure Storage: implements both interfaces of `durable.hub`, `TaskHub` and `WorkSource`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from emulator.background import background
from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.messaging.sender import open_sender
from emulator.durable.azurestorage.names import HubNames, hub_names
from emulator.durable.azurestorage.partitioning.app_lease import AppLease
from emulator.durable.azurestorage.partitioning.blob_partitions import LegacyPartitions, SafePartitions
from emulator.durable.azurestorage.partitioning.partition_manager import PartitionManager
from emulator.durable.azurestorage.partitioning.table_partitions import TablePartitions
from emulator.durable.azurestorage.tracking import instances as status_rows
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.tracking.purging import Purger
from emulator.durable.azurestorage.tracking.recent_checkpoints import RecentCheckpoints
from emulator.durable.azurestorage.tracking.rewind import rewind
from emulator.durable.azurestorage.work.checkpointing import Checkpointer
from emulator.durable.azurestorage.work.control_queue_poller import ControlQueuePoller
from emulator.durable.azurestorage.work.repairing import Repairer, repair_lost_writes
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
    LockLost,
    OrchestrationWorkItem,
    PurgeFilter,
    PurgeResult,
)
from emulator.durable.options import AzureStorageProvider, DurableTaskOptions
from emulator.ids import NewId
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.polling.backoff import Backoff
from emulator.polling.crash_recovery.host_identity import FIRST_LOCK, HostIdentity, new_host_name
from emulator.polling.crash_recovery.receipt_journal import NoReceiptJournal
from emulator.polling.crash_recovery.takeover import takeover
from emulator.storage.port import MAX_HIDE, StorageAccount

_log = get_logger(__name__)


class AzureStorageTaskHub:
    """A task hub: `durable.hub.TaskHub` at any time, `durable.hub.WorkSource` inside `working()`.

    `account` has the queues. `tracking` has tables and blobs, if they are in another account
    (trackingStoreConnectionName). `app_name` identifies the app to other apps on the same hub (WEBSITE_SITE_NAME, or
    empty). `worker_id` is the owner name in partition leases and must differ between processes. By default it is that
    of `identity`, or else a new name. With an `identity`, `working()` takes over what its previous host left locked.
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
        identity: HostIdentity | None = None,
    ) -> None:
        provider = options.storage_provider
        self._options = options
        self._clock = clock
        self.account = account
        self._identity = identity
        names = hub_names(options)
        tracking = tracking or account
        self.names = names
        self.tracking = tracking
        self._large = LargePayloads(
            tracking.container(names.large_message_container), clock, new_id, max_bytes=options.max_payload_bytes
        )
        self._history_rows = tracking.table(names.history_table)
        self._instance_rows = tracking.table(names.instances_table)
        self._history = HistoryTable(self._history_rows, self._large, clock)
        self._instances = InstanceTable(
            self._instance_rows,
            self._large,
            hub=options.hub_name,
            clock=clock,
            fetch_large=provider.fetch_large_messages_automatically,
        )
        self._cache = HubCache()
        self._recent = RecentCheckpoints(self._history, clock)
        self._purger = Purger(self._history, self._instances, self._large, partial(self._forget, is_purged=True))
        self._sender = open_sender(
            account,
            names,
            self._large,
            clock,
            new_id,
            identity.journal if identity else NoReceiptJournal(),
            provider,
            # Without an identity, no host will return locked messages, so the short first lock would only cost
            # renewals.
            first_lock=FIRST_LOCK if identity else MAX_HIDE,
        )
        self._sessions = Sessions(
            self._history,
            self._instances,
            self._cache,
            self._sender,
            clock=clock,
            buffer_limit=provider.control_queue_buffer_threshold,
        )
        self.worker_id = worker_id or (identity.name if identity else new_host_name(new_id))
        self._partitions = _partition_manager(
            provider,
            names,
            tracking,
            self.worker_id,
            clock,
            new_id,
        )
        self._app_lease = AppLease(
            tracking.container(names.app_lease_container),
            names.app_lease_blob,
            app_name,
            clock,
            options.app_lease_options,
        )
        self._checkpointer = Checkpointer(
            self._sender,
            self._history,
            self._instances,
            self._sessions,
            self._cache,
            self._partitions,
            self._recent,
            guard_row=provider.use_instance_table_etag,
        )
        self._work_items = WorkItems(
            self._sender,
            self._cache,
            clock,
            limit=options.max_concurrent_activity_functions,
            backoff=Backoff(provider.max_queue_polling_interval),
        )
        self._is_created = False
        self._creating = asyncio.Lock()

    # TaskHub -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of the task hub."""
        return self._options.hub_name

    async def create(self) -> None:
        """See `TaskHub`. As in .NET, a client creates all parts as well, including the lease records."""
        if self._is_created:
            return
        # Several clients may make their first call at the same time.
        async with self._creating:
            if not self._is_created:
                await self._create()
                self._is_created = True

    async def _create(self) -> None:
        queues = [self._sender.work_items, *self._sender.control_queues]
        await asyncio.gather(
            self._app_lease.create(),
            self._partitions.create(),
            self._history_rows.create(),
            self._instance_rows.create(),
            *(queue.create() for queue in queues),
        )

    async def delete(self) -> None:
        """See `TaskHub`."""
        self._is_created = False
        queues = [self._sender.work_items, *self._sender.control_queues]
        await asyncio.gather(
            self._app_lease.delete(),
            self._partitions.delete(),
            self._history_rows.drop(),
            self._instance_rows.drop(),
            self._large.drop(),
            *(queue.drop() for queue in queues),
        )
        self._cache.clear()

    async def start(self, message: TaskMessage, *, reuse: frozenset[RuntimeStatus]) -> None:
        """See `TaskHub`."""
        await self.create()
        started = message.event
        assert isinstance(started, ExecutionStarted)
        instance_id = message.target.instance_id
        existing = await self._instances.row(instance_id)
        if existing is not None:
            status = status_rows.status_of(existing)
            if status is not None and status not in reuse:
                raise InstanceAlreadyExists(instance_id, status)
        # The generation lets the worker tell a start that replaces this one from a start that competes with it.
        if started.generation is None:
            generation = 0 if existing is None else (status_rows.generation_of(existing) or 0) + 1
            started = replace(started, generation=generation)
        encoded = self._sender.encode(TaskMessage(started, message.target, message.context_tags))
        with self._cache.starting(instance_id):
            # The message is sent before the row is written, as in .NET: a row without a message would be an instance
            # that stays pending forever. A worker that receives the message waits for the row, so a large input is
            # stored before both, to keep that wait short.
            status_input = None if encoded.blob else await self._instances.input_reference(started)
            blob_url = await encoded.queue.put(encoded)
            # Refused if another client has started the id since the row was read. Its row then makes the worker discard
            # the message that was just sent (`delivery.disposition_of_start`).
            if await self._instances.create(started, existing=existing, status_input=blob_url or status_input):
                self._cache.started[instance_id] = started.instance.execution_id or ""
                self._recent.note_start(instance_id)

    async def adopt(
        self, history: Sequence[HistoryEvent], messages: Sequence[TaskMessage], *, custom_status: str | None = None
    ) -> None:
        """See `TaskHub`."""
        await self.create()
        started = next(event for event in history if isinstance(event, ExecutionStarted))
        instance = started.instance
        existing = await self._instances.row(instance.instance_id)
        if existing is not None:
            status = status_rows.status_of(existing)
            raise InstanceAlreadyExists(instance.instance_id, status or RuntimeStatus.RUNNING)
        nothing = History(instance_id=instance.instance_id, execution_id=instance.execution_id)
        try:
            # The row first: without one, a history that a killed client has left could neither be seen nor purged.
            await self._instances.repair(nothing.with_events(history), self._history, custom_status)
            # The sentinel is inserted with the events, so only one of two clients can create the instance.
            stored, _ = await self._history.append(nothing, instance, history, past_count=0)
        except LockLost:
            raise InstanceAlreadyExists(instance.instance_id, RuntimeStatus.RUNNING) from None
        # Last: a result that arrives before the history that asks for it would be early, or dropped.
        for message in messages:
            if message.target.execution_id is None:
                await self._sender.send(message)
            else:
                # Results of actions: the envelopes of those that the execution has sent itself.
                await self._sender.send(message, sender=instance, episode=stored.episodes)

    async def send(self, message: TaskMessage) -> None:
        """See `TaskHub`."""
        await self.create()
        await self._sender.send(message)
        self._recent.note_sent(message)

    async def status(self, instance_id: str, *, with_input: bool = True) -> InstanceStatus | None:
        """See `TaskHub`."""
        await self.create()
        return await self._instances.status(instance_id, with_input=with_input)

    async def query(self, query: InstanceQuery) -> InstancePage:
        """See `TaskHub`."""
        await self.create()
        return await self._instances.query(query)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """See `TaskHub`."""
        await self.create()
        return (await self._history.load(instance_id)).events

    async def rewind(self, instance_id: str, reason: str | None) -> None:
        """See `TaskHub`."""
        await self.create()
        failed_leaves = await rewind(instance_id, history=self._history_rows, instances=self._instances)
        for leaf in failed_leaves:
            # The cached history still has the failures that the rewind has undone.
            self._cache.forget(leaf)
            event = GenericEvent(timestamp=Instant.of(self._clock.now()), data=reason)
            await self._sender.send(TaskMessage(event, OrchestrationInstance(leaf, None)))

    async def purge(self, instance_id: str) -> PurgeResult:
        """See `TaskHub`."""
        await self.create()
        return await self._purger.purge(instance_id)

    async def purge_many(self, where: PurgeFilter) -> PurgeResult:
        """See `TaskHub`."""
        await self.create()
        return await self._purger.purge_many(where)

    # WorkSource ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def working(self, *, may_lose_writes: bool = False, has_lost_writes: bool = False) -> AsyncIterator[None]:
        """Own control queues and receive messages while the body runs; leaving it hands over the queues.

        The engine must have stopped before: it needs the queues to save its last episodes.
        `may_lose_writes`: the storage is an emulator that may lose its last writes when it is killed.
        `has_lost_writes`: it was killed just before.
        """
        await self.create()
        poller = ControlQueuePoller(
            self._sender,
            self._sessions,
            self._partitions,
            self._clock,
            batch_size=self._options.storage_provider.control_queue_batch_size,
            longest_pause=self._options.storage_provider.max_queue_polling_interval,
        )
        async with AsyncExitStack() as stack:
            if self._identity is not None:
                await stack.enter_async_context(
                    takeover(
                        self._identity,
                        self.account,
                        self._clock,
                        what="work items",
                        consequence="They are retried; activities that were running are run again.",
                    )
                )
                # Messages that were on their way to the killed host are in no journal. They appear when their first
                # lock ends. The service may process a request of the killed host a moment after the kill, so
                # the lock can end later; three polls cost less than a whole back-off.
                for queue in (self._sender.work_items, *self._sender.control_queues):
                    for times in (1, 2, 3):
                        queue.expect(times * FIRST_LOCK)
            # Entered before the poller and the partitions, so left after them: queues are closed first, and the
            # sessions return the messages of closed queues.
            await stack.enter_async_context(self._sessions.running())
            await stack.enter_async_context(self._work_items.running())
            await stack.enter_async_context(poller.running())
            own_partitions = partial(self._partitions.owning, poller, self._recreate)
            # The app lease is for control queues only. As in .NET, activities are also processed without it.
            if self._options.use_app_lease:
                await stack.enter_async_context(self._app_lease.holding(own_partitions))
            else:
                await stack.enter_async_context(own_partitions())
            if may_lose_writes:
                repairing = repair_lost_writes(
                    self._recent,
                    self._repairer(),
                    self._instances,
                    self._cache,
                    self._clock,
                    at_once=has_lost_writes,
                )
                await stack.enter_async_context(background(repairing, name="lost writes"))
            yield

    def has_messages(self, instance_id: str) -> bool:
        """Whether this host has received messages to the instance that it has not processed yet, or runs it."""
        return self._sessions.is_busy(instance_id)

    def activities_in_flight(self) -> Collection[tuple[str, int]]:
        """Return the activities that this host has received and not completed, as instance id and event id."""
        return self._work_items.in_flight()

    def owned_queues(self) -> Collection[str]:
        """Return the names of the control queues that this host reads."""
        return self._sessions.open_queues

    def _forget(self, instance_id: str, *, is_purged: bool = False) -> None:
        """Drop what this host remembers of an instance whose rows it is about to change or, `is_purged`, to delete."""
        self._cache.forget(instance_id)
        self._recent.forget(instance_id, is_purged=is_purged)

    def _repairer(self) -> Repairer:
        return Repairer(
            self._history,
            self._instances,
            self._forget,
            self._sender,
            self._partitions,
            self._clock,
            sessions=self._sessions,
            in_flight=self._work_items.in_flight,
        )

    async def _recreate(self) -> None:
        """Create the hub again after its storage has disappeared (Azurite lost its data, or a user cleaned up)."""
        _log.warning(
            "The storage of task hub %s has disappeared. It is created again; all instances are lost.", self.name
        )
        self._cache.clear()
        await self._create()

    async def next_orchestration(self) -> OrchestrationWorkItem:
        """See `WorkSource`."""
        return await self._sessions.next(entity=False)

    async def next_entity(self) -> OrchestrationWorkItem:
        """See `WorkSource`."""
        return await self._sessions.next(entity=True)

    async def complete_orchestration(self, item: OrchestrationWorkItem, outcome: EpisodeOutcome) -> None:
        """See `WorkSource`."""
        await self._checkpointer.save(_episode(item), outcome)

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        """See `WorkSource`."""
        await self._sessions.abandon(_episode(item))

    async def next_activity(self) -> ActivityWorkItem:
        """See `WorkSource`."""
        return await self._work_items.next()

    async def complete_activity(self, item: ActivityWorkItem, response: TaskMessage) -> None:
        """See `WorkSource`."""
        await self._work_items.complete(item, response)

    async def abandon_activity(self, item: ActivityWorkItem) -> None:
        """See `WorkSource`."""
        await self._work_items.abandon(item)


def _episode(item: OrchestrationWorkItem) -> Episode:
    assert isinstance(item.handle, Episode)
    return item.handle


def _partition_manager(
    provider: AzureStorageProvider,
    names: HubNames,
    tracking: StorageAccount,
    worker_id: str,
    clock: Clock,
    new_id: NewId,
) -> PartitionManager:
    """Choose the partition manager that host.json asks for. All hosts of a hub must use the same one."""
    leases = tracking.container(names.lease_container)
    if provider.use_legacy_partition_management:
        return LegacyPartitions(leases, names, worker_id, clock, new_id)
    if not provider.use_table_partition_management:
        return SafePartitions(leases, names, worker_id, clock, new_id)
    return TablePartitions(
        tracking.table(names.partitions_table),
        names.control_queues,
        worker_id,
        clock,
        timeout=provider.partition_table_operation_timeout,
    )

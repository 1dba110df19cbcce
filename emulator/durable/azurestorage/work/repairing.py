"""Repair of a task hub whose storage has lost writes: what open instances wait for is sent again.

An emulator that is killed loses the last seconds of its queues and of its tables, each from another moment on. Then an
instance may wait for a message that does not exist any more. Its history shows what it waits for:

* a start, an expired or future timer, the result of a child that has ended: the message is sent again. If the first one
  still exists, the receiver recognises the duplicate.
* an activity, or a child that does not exist: its event is undone, as a rewind does it, and the instance is woken. Its
  next episode schedules the same activity or child again, with its input, which the history does not have.

No history has external events and calls of entities that have not arrived. The log names the events and signals that
this host's client has sent since the loss began. Those of other processes, those that were sent before a restart of the
host, and those that orchestrations have sent to entities are not known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.sender import MessageSender
from emulator.durable.azurestorage.partitioning.partition_manager import PartitionManager
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.tracking.recent_checkpoints import RecentCheckpoints
from emulator.durable.azurestorage.tracking.rewind import undo_actions
from emulator.durable.azurestorage.work.sessions import Sessions
from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerFired,
)
from emulator.durable.core.fork import child_result
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus, is_entity
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.open_actions import open_actions
from emulator.durable.hub import InstanceQuery, InstanceStatus, LockLost
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.storage.port import StorageUnreachable

_log = get_logger(__name__)

CHECK_EVERY: Final = timedelta(seconds=5)
_SETTLE: Final = timedelta(seconds=10)
# While the queue of activities has messages that this host does not run, it is not known which activities are lost. A
# lock that a host has lost lasts five minutes. The lease of a control queue lasts as long as this pause.
_NEXT_ATTEMPT: Final = timedelta(seconds=30)
_ATTEMPTS: Final = 20
MOST_INSTANCES: Final = 1_000
"""So many open instances are examined."""
_OPEN: Final = frozenset(
    (RuntimeStatus.PENDING, RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED, RuntimeStatus.CONTINUED_AS_NEW)
)
_NAMED_EVENTS: Final = 20
_REASON: Final = "The storage emulator lost the message"


async def repair_lost_writes(
    recent: RecentCheckpoints,
    repairer: Repairer,
    instances: InstanceTable,
    cache: HubCache,
    clock: Clock,
    *,
    at_once: bool = False,
) -> None:
    """Watch for a storage that has lost writes, until cancelled; then report it and repair the open instances.

    `at_once`: it is known that the storage was killed, so begin with the repair.
    """
    if at_once:
        await _repair(repairer, clock)
    while True:
        await clock.sleep(CHECK_EVERY.total_seconds(), upkeep=True)
        try:
            lost = await repairer.own(await recent.lost())
        except EmulatorError:
            continue  # Storage does not respond. Those who need it report that.
        if not lost:
            continue
        since = min(lost.values())
        _log.warning(
            "The storage emulator has lost writes that it had acknowledged, from about %s on: it was probably killed, "
            "and its last saved state is older. Instances that wait for lost messages are repaired.",
            f"{since:%H:%M:%S}",
        )
        cache.clear()
        for instance_id in recent.starts_near(since):
            with suppress(EmulatorError):
                if await instances.row(instance_id) is None:
                    _log.warning('Instance "%s" is lost with its start. Start it again.', instance_id)
        if sent := recent.sent_since(since):
            more = len(sent) - _NAMED_EVENTS
            _log.warning(
                "These may be lost, too. Send them again if their instances still wait for them: %s%s.",
                ", ".join(sent[:_NAMED_EVENTS]),
                f" and {more} more" if more > 0 else "",
            )
        await _repair(repairer, clock)


async def _repair(repairer: Repairer, clock: Clock) -> None:
    # The messages that still exist are processed first, so that they need not be sent again.
    await clock.sleep(_SETTLE.total_seconds(), upkeep=True)
    repaired, has_begun = 0, False
    for _ in range(_ATTEMPTS):
        pause = _NEXT_ATTEMPT
        try:
            if not has_begun:
                await repairer.begin()
                has_begun = True
            repaired += await repairer.repair()
        except EmulatorError:
            pause = CHECK_EVERY
        if has_begun and repairer.is_done:
            break
        await clock.sleep(pause.total_seconds(), upkeep=True)
    _log.info("The repair after the loss of writes has ended. Repaired instances: %d.", repaired)


class Repairer:
    """Sends again what the open instances of this host's control queues wait for.

    `forget`: drops what this host remembers of the last checkpoint of an instance. `in_flight`: activities that this
    host has received and not completed, as instance id and event id.
    """

    def __init__(
        self,
        history: HistoryTable,
        instances: InstanceTable,
        forget: Callable[[str], None],
        sender: MessageSender,
        partitions: PartitionManager,
        clock: Clock,
        *,
        sessions: Sessions,
        in_flight: Callable[[], Collection[tuple[str, int]]],
    ) -> None:
        self._history = history
        self._instances = instances
        self._forget = forget
        self._sender = sender
        self._partitions = partitions
        self._clock = clock
        self._sessions = sessions
        self._in_flight = in_flight
        # The instances to examine (again). True: only their activities, because all else was sent again.
        self._left: dict[str, bool] = {}
        self._of_others: set[str] = set()
        # Instances with undone actions that were not woken yet.
        self._to_wake: set[str] = set()

    async def own(self, instances: Mapping[str, datetime]) -> Mapping[str, datetime]:
        """Return those of the instances whose control queues this host owns."""
        return {
            instance_id: at
            for instance_id, at in instances.items()
            if await self._partitions.confirm(self._sender.queue_of(instance_id).name)
        }

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to repair."""
        return not self._left

    async def begin(self) -> None:
        """Find the open instances, at most MOST_INSTANCES. Raises EmulatorError if storage does not respond."""
        query, found = InstanceQuery(statuses=_OPEN, with_input=False, with_output=False), list[str]()
        while True:
            page = await self._instances.query(query)
            # The messages of an entity are requests, which no history has.
            found += [status.instance_id for status in page.instances if not is_entity(status.instance_id)]
            if page.continuation is None or len(found) > MOST_INSTANCES:
                break
            query = replace(query, continuation=page.continuation)
        if len(found) > MOST_INSTANCES:
            _log.warning("More than %d instances are open. The others are not repaired.", MOST_INSTANCES)
        self._left = dict.fromkeys(found[:MOST_INSTANCES], False)
        self._of_others.clear()

    async def repair(self) -> int:
        """Repair the instances that are left; log a line for each, and return their number.

        Those of which it cannot be told yet are left for the next call. Raises EmulatorError if storage does not
        respond.
        """
        # Activities that wait in their queue, or that another host runs, are not lost. The queue tells their number,
        # but not which they are.
        activities_are_lost = await self._sender.work_items.count() <= len(self._in_flight())
        repaired = 0
        for instance_id, only_activities in list(self._left.items()):
            # An instance with messages continues by itself, unless these are the last ones of a lost episode.
            if self._sessions.is_busy(instance_id):
                continue
            self._left.pop(instance_id)
            try:
                what = await self._repair(instance_id, activities_are_lost, only_activities)
            except StorageUnreachable:
                # What was sent already is sent again, and recognised.
                self._left[instance_id] = only_activities
                raise
            except LockLost:
                # It has continued meanwhile.
                self._left[instance_id] = only_activities
                continue
            except EmulatorError as error:
                _log.warning('Instance "%s" cannot be repaired: %s', instance_id, error)
                continue
            if what:
                repaired += 1
                _log.warning(
                    'Instance "%s": what it waits for is sent again, because the storage may have lost it: %s.',
                    instance_id,
                    ", ".join(what),
                )
        return repaired

    async def _repair(self, instance_id: str, activities_are_lost: bool, only_activities: bool) -> list[str]:
        status = await self._instances.status(instance_id)
        if status is None or status.runtime_status not in _OPEN:
            return []
        if not await self._partitions.confirm(self._sender.queue_of(instance_id).name):
            # The storage may have gone back to a lease of a host that has ended. It runs out before the next call.
            if instance_id not in self._of_others:
                self._of_others.add(instance_id)
                self._left[instance_id] = only_activities
            return []
        history = await self._history.load(instance_id)
        if only_activities:
            activities = open_actions(history.events).activities
            return await self._undo(history, self._lost(instance_id, activities, activities_are_lost))
        if history.execution_id is None:
            return await self._start_again(status)
        if history.status is not None and history.status.is_terminal:
            if not await self._instances.repair(history, self._history):
                return []
            # No history has the custom status.
            self._sessions.restore_status(history)
            return ["its end in the status row"]
        return await self._send_again(history, activities_are_lost)

    async def _start_again(self, status: InstanceStatus) -> list[str]:
        if status.runtime_status is not RuntimeStatus.PENDING:
            return []
        instance = OrchestrationInstance(status.instance_id, status.execution_id)
        started = ExecutionStarted(
            timestamp=status.created_at,
            instance=instance,
            name=status.name,
            input=status.input,
            version=status.version,
            tags=status.tags,
            generation=status.generation,
            scheduled_start_time=status.scheduled_start_at,
        )
        await self._sender.send(TaskMessage(started, instance))
        return ["its start"]

    async def _send_again(self, history: History, activities_are_lost: bool) -> list[str]:
        instance = OrchestrationInstance(history.instance_id, history.execution_id)
        actions, sent = open_actions(history.events), list[str]()
        for timer in actions.timers:
            fired = TimerFired(timestamp=timer.timestamp, timer_id=timer.event_id, fire_at=timer.fire_at)
            await self._sender.send(TaskMessage(fired, instance), sender=instance, episode=history.episodes)
            sent.append(f"timer {timer.event_id}")
        undone = list[SubOrchestrationInstanceCreated]()
        for child in actions.children:
            result = await self._result_of(child, instance)
            if result is not None:
                await self._sender.send(TaskMessage(result, instance))
                sent.append(f"result of child {child.instance_id}")
            elif await self._instances.row(child.instance_id) is None:
                undone.append(child)
        lost = self._lost(history.instance_id, actions.activities, activities_are_lost)
        return sent + await self._undo(history, [*undone, *lost])

    def _lost(
        self, instance_id: str, activities: Sequence[TaskScheduled], activities_are_lost: bool
    ) -> Sequence[TaskScheduled]:
        """Return those of the open activities that are lost; if that is not known yet, none, and keep the instance."""
        running = self._in_flight()
        lost = [activity for activity in activities if (instance_id, activity.event_id) not in running]
        if lost and not activities_are_lost:
            self._left[instance_id] = True
            return ()
        return lost

    async def _undo(
        self, history: History, undone: Sequence[TaskScheduled | SubOrchestrationInstanceCreated]
    ) -> list[str]:
        """Let the next episode schedule these activities and children again."""
        if not undone and history.instance_id not in self._to_wake:
            return []
        # Noted first: if storage does not respond in the middle, the next call finds nothing that is open any more.
        self._to_wake.add(history.instance_id)
        # A cached history has the undone events. And the sentinel gets another ETag, which must not look like a loss.
        self._forget(history.instance_id)
        await undo_actions(self._history, history, [event.event_id for event in undone])
        wake = GenericEvent(timestamp=Instant.of(self._clock.now()), data=_REASON)
        await self._sender.send(TaskMessage(wake, OrchestrationInstance(history.instance_id, None)))
        self._to_wake.discard(history.instance_id)
        return [
            f"activity {event.name}" if isinstance(event, TaskScheduled) else f"start of child {event.instance_id}"
            for event in undone
        ]

    async def _result_of(
        self, child: SubOrchestrationInstanceCreated, parent: OrchestrationInstance
    ) -> HistoryEvent | None:
        """Return the result that an ended child sent to its parent; None if it has not ended, or has another parent."""
        history = await self._history.load(child.instance_id)
        started = history.started
        ended = next((event for event in history.events if isinstance(event, ExecutionCompleted)), None)
        if started is None or ended is None or started.parent is None or started.parent.instance != parent:
            return None
        return child_result(child.event_id, ended)

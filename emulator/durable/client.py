"""Durable client: starting, querying, controlling and purging instances and entities of one task hub.

It works without a running worker. Inputs, events, reasons and results are the texts that are stored; callers serialize
their values.
Source: durable-extension, ContextImplementations/DurableClient.cs; docs/protocol/durable-client-http.md chapter 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from emulator.clock import Clock
from emulator.dotnet.json_values import lenient_object
from emulator.durable.core.entities.messages import ORPHANED_LOCK, RELEASE, Release, Request
from emulator.durable.core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    Tags,
    TraceContext,
)
from emulator.durable.core.identity import TERMINAL, EntityId, OrchestrationInstance, RuntimeStatus, is_entity
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.state import SOURCE_INSTANCE_ID
from emulator.durable.hub import (
    HubError,
    InstanceNotFound,
    InstancePage,
    InstanceQuery,
    InstanceStatus,
    PurgeFilter,
    PurgeResult,
    TaskHub,
)
from emulator.durable.options import DurableTaskOptions, OverridableStates
from emulator.durable.tracing.spans import DurableSpans
from emulator.ids import NewId, hyphenated
from emulator.instant import Instant

_CLEAN_UP_PAGE_SIZE = 100

# Errors ------------------------------------------------------------------------------------------------------


class InstanceFinished(HubError):
    """The instance has ended; nothing can be sent to it."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__(f'The instance "{status.instance_id}" has ended with the status {_state_name(status)}.')
        self.status = status


# The texts of the next three errors are those of .NET, because the HTTP API returns them.
class CannotChangeState(HubError):
    """An instance was to be suspended that is suspended, or resumed that is not."""

    def __init__(self, verb: Literal["suspend", "resume"], status: InstanceStatus) -> None:
        super().__init__(
            f"Cannot {verb} the orchestration instance {status.instance_id} "
            f"because instance is in the {_state_name(status)} state."
        )
        self.status = status


class NotRewindable(HubError):
    """An instance was to be rewound that has not failed. `status`: that of the instance."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__(
            f"This orchestration has status {_state_name(status)}, "
            'but only orchestrations in the "Failed" state can be rewound.'
        )
        self.status = status


class NotPurgeable(HubError):
    """An instance was to be purged that has not ended."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__(
            "Only orchestrations in a terminal state can be purged, but the orchestration "
            f"with instance ID {status.instance_id} has status {_state_name(status)}"
        )


class TimeoutTooShort(HubError):
    """The interval between two status queries of a wait is longer than the wait."""

    def __init__(self, timeout_seconds: float, interval_seconds: float) -> None:
        super().__init__(f"Total timeout {timeout_seconds:g} should be bigger than retry timeout {interval_seconds:g}")


# Entities ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntityStatus:
    """An entity. `state`: JSON text, or None if it was not asked for or does not exist."""

    entity: EntityId
    last_operation_at: Instant
    state: str | None


@dataclass(frozen=True, slots=True)
class EntityPage:
    """A page of entities. `continuation` None: the last page."""

    entities: Sequence[EntityStatus]
    continuation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityQuery:
    """Selection of entities. `name` None: all names. The time bounds are inclusive."""

    name: str | None = None
    last_operation_from: Instant | None = None
    last_operation_to: Instant | None = None
    with_state: bool = False
    limit: int = 100
    continuation: str | None = None


@dataclass(frozen=True, slots=True)
class CleanedEntities:
    """Numbers of entities that a clean-up deleted and of locks that it released."""

    empty_removed: int = 0
    locks_released: int = 0


# The client --------------------------------------------------------------------------------------------------


class DurableClient:
    """Starts, queries and controls the instances of one task hub. `spans`: records starts and events."""

    def __init__(
        self,
        hub: TaskHub,
        options: DurableTaskOptions,
        *,
        clock: Clock,
        new_id: NewId,
        spans: DurableSpans | None = None,
    ) -> None:
        self.hub = hub
        self._options = options
        self._clock = clock
        self._new_id = new_id
        self._spans = spans

    async def start(
        self,
        name: str,
        input: str | None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
        trace: TraceContext | None = None,
    ) -> str:
        """Start an orchestration and return its instance id.

        `version` None: the app's default version. An empty text is a version, too.
        Raises InstanceAlreadyExists.
        """
        # With hyphens, as in .NET; the execution ids of restarts have none there (docs/protocol/task-hub-storage.md
        # 2.3).
        execution_id = hyphenated(self._new_id())
        return await self._start(name, input, execution_id, instance_id=instance_id, version=version, trace=trace)

    async def restart(self, status: InstanceStatus, input: str, *, keep_id: bool) -> str:
        """Start the orchestration of `status` again, with its instance id or a new one, and return that id.

        It gets the current default version, not that of `status`. Raises InstanceAlreadyExists.
        """
        instance_id = status.instance_id if keep_id else None
        tags = None if keep_id else {SOURCE_INSTANCE_ID: status.instance_id}
        return await self._start(status.name, input, self._new_id(), instance_id=instance_id, tags=tags)

    async def _start(
        self,
        name: str,
        input: str | None,
        execution_id: str,
        *,
        instance_id: str | None,
        version: str | None = None,
        trace: TraceContext | None = None,
        tags: Tags | None = None,
    ) -> str:
        instance = OrchestrationInstance(instance_id or self._new_id(), execution_id)
        started = ExecutionStarted(
            timestamp=self._now(),
            instance=instance,
            name=name,
            input=input,
            version=self._options.default_version if version is None else version,
            parent_trace_context=trace,
            tags=tags,
        )
        any_state = self._options.overridable_existing_instance_states is OverridableStates.ANY
        replaceable = frozenset(RuntimeStatus) if any_state else TERMINAL
        with nullcontext(started) if self._spans is None else self._spans.creating(started) as traced:
            await self.hub.start(TaskMessage(traced, instance), reuse=replaceable)
        return instance.instance_id

    # Queries

    async def status(self, instance_id: str, *, with_input: bool = True) -> InstanceStatus | None:
        """Return the status of an instance, with its input or without; None: it does not exist."""
        return await self.hub.status(instance_id, with_input=with_input)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """Return the events of the instance's current execution; empty if there are none."""
        return await self.hub.history(instance_id)

    async def query(self, query: InstanceQuery) -> InstancePage:
        """Return one page of instances."""
        return await self.hub.query(query)

    async def wait_for_end(
        self, instance_id: str, *, timeout_seconds: float, interval_seconds: float
    ) -> InstanceStatus | None:
        """Wait until the instance has ended and return its status; None: it has not ended in time.

        The status is read at least once. Raises TimeoutTooShort if the interval is longer than the timeout.
        """
        if interval_seconds > timeout_seconds:
            raise TimeoutTooShort(timeout_seconds, interval_seconds)
        # Polled, because the instance may run on another host, which cannot notify this one.
        started_at = self._clock.now()
        while True:
            status = await self.hub.status(instance_id)
            if status is not None and status.runtime_status in TERMINAL:
                return status
            left = timeout_seconds - (self._clock.now() - started_at).total_seconds()
            if left <= 0:
                return None
            # The last status query is at the end of the time, even if the interval does not fit in.
            await self._clock.sleep(min(interval_seconds, left))

    async def active(self, instance_id: str) -> InstanceStatus:
        """Return the status of an instance that has not ended. Raises InstanceNotFound, InstanceFinished."""
        status = await self._existing(instance_id)
        if status.runtime_status in TERMINAL:
            raise InstanceFinished(status)
        return status

    async def _existing(self, instance_id: str) -> InstanceStatus:
        # The callers need the state only.
        status = await self.hub.status(instance_id, with_input=False)
        if status is None:
            raise InstanceNotFound(instance_id)
        return status

    # Control

    async def raise_event(self, instance_id: str, name: str, input: str | None) -> None:
        """Send an event to the current execution. It is not checked whether the instance exists (see `active`)."""
        with nullcontext() if self._spans is None else self._spans.raising(instance_id, name):
            await self._send(instance_id, EventRaised(timestamp=self._now(), name=name, input=input))

    async def terminate(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Terminate an instance and return its status before that. Raises InstanceNotFound, InstanceFinished."""
        status = await self.active(instance_id)
        await self._send(instance_id, ExecutionTerminated(timestamp=self._now(), input=reason))
        return status

    async def suspend(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Suspend an instance and return its status before that.

        Raises InstanceNotFound, InstanceFinished, CannotChangeState.
        """
        status = await self.active(instance_id)
        if status.runtime_status is RuntimeStatus.SUSPENDED:
            raise CannotChangeState("suspend", status)
        await self._send(instance_id, ExecutionSuspended(timestamp=self._now(), reason=reason))
        return status

    async def resume(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Resume a suspended instance and return its status before that.

        Raises InstanceNotFound, InstanceFinished, CannotChangeState.
        """
        status = await self.active(instance_id)
        if status.runtime_status is not RuntimeStatus.SUSPENDED:
            raise CannotChangeState("resume", status)
        await self._send(instance_id, ExecutionResumed(timestamp=self._now(), reason=reason))
        return status

    async def rewind(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Repeat the failed steps of a failed instance and return its status before that.

        Raises InstanceNotFound, NotRewindable.
        """
        status = await self._existing(instance_id)
        if status.runtime_status is not RuntimeStatus.FAILED:
            raise NotRewindable(status)
        await self.hub.rewind(instance_id, reason)
        return status

    async def purge(self, instance_id: str) -> PurgeResult:
        """Delete the status row, history and payload blobs of one instance. Raises InstanceNotFound, NotPurgeable."""
        # An entity never ends, so its status does not say whether it may be purged.
        if not is_entity(instance_id):
            status = await self._existing(instance_id)
            if status.runtime_status not in TERMINAL:
                raise NotPurgeable(status)
        return await self.hub.purge(instance_id)

    async def purge_many(self, where: PurgeFilter) -> PurgeResult:
        """Delete all instances that have ended and match the filter."""
        return await self.hub.purge_many(where)

    async def _send(self, instance_id: str, event: HistoryEvent) -> None:
        # Without an execution id, so that the message reaches the execution that is current when it is processed.
        await self.hub.send(TaskMessage(event, OrchestrationInstance(instance_id, None)))

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())

    # Entities

    async def signal_entity(self, entity: EntityId, operation: str, input: str | None) -> None:
        """Send a one-way operation. An entity that does not exist is created by it."""
        # A GUID with hyphens, as .NET writes it. Receivers recognise a repeated request by it.
        request = Request(id=hyphenated(self._new_id()), operation=operation, is_signal=True, input=input)
        with nullcontext(request) if self._spans is None else self._spans.signalling(entity, request) as traced:
            event = EventRaised(timestamp=self._now(), name=traced.event_name, input=traced.from_client())
            await self._send(entity.instance_id, event)

    async def entity_state(self, entity: EntityId) -> str | None:
        """Return the entity's state after its last batch, as JSON text; None: it has none or never ran."""
        # Like .NET, an entity keeps its scheduler state, which contains the user's state, as its input.
        status = await self.hub.status(entity.instance_id)
        return None if status is None else _entity_state(status.input)

    async def query_entities(self, query: EntityQuery) -> EntityPage:
        """Return a page of the entities that exist; if states are asked for, of those that have a state (as .NET)."""
        entities: list[EntityStatus] = []
        continuation = query.continuation
        while True:
            page = await self.hub.query(_entity_rows(query, query.limit - len(entities), continuation))
            for row in page.instances:
                entity = EntityId.parse(row.instance_id)
                state = _entity_state(row.input) if query.with_state else None
                summary = lenient_object(row.custom_status or "")
                exists = state is not None if query.with_state else summary.get("entityExists") is True
                if entity is not None and exists:
                    entities.append(EntityStatus(entity, row.created_at, state))
            continuation = page.continuation
            # Rows of deleted entities were left out. Without further queries, pages would be short or even empty.
            if continuation is None or len(entities) >= query.limit:
                return EntityPage(entities, continuation)

    async def clean_entities(self, *, remove_empty: bool = True, release_locks: bool = True) -> CleanedEntities:
        """Delete empty entities, and release locks whose holders have ended. The host never does this on its own.

        An entity is deleted if it has been idle for entityMessageReorderWindowInMinutes. Before that, its row is still
        needed to recognise repeated and reordered requests of its senders.
        """
        removed, released, continuation = 0, 0, None
        while True:
            page = await self.hub.query(_entity_rows(EntityQuery(), _CLEAN_UP_PAGE_SIZE, continuation))
            for row in page.instances:
                # An entity's custom status is a summary of its state: docs/protocol/task-hub-storage.md 6.8.
                summary = lenient_object(row.custom_status or "")
                holder = summary.get("lockedBy")
                is_empty = not (summary.get("entityExists") or summary.get("queueSize") or holder)
                idle_until = row.last_updated_at + self._options.entity_message_reorder_window
                is_orphaned = False
                if release_locks and isinstance(holder, str):
                    status = await self.hub.status(holder, with_input=False)
                    # A holder that was purged will not release its lock either.
                    is_orphaned = status is None or status.runtime_status in TERMINAL
                if is_orphaned and isinstance(holder, str):
                    release = Release(holder, ORPHANED_LOCK)
                    event = EventRaised(timestamp=self._now(), name=RELEASE, input=release.text)
                    await self._send(row.instance_id, event)
                    released += 1
                elif remove_empty and is_empty and idle_until < self._now():
                    removed += (await self.hub.purge(row.instance_id)).instances
            continuation = page.continuation
            if continuation is None:
                return CleanedEntities(removed, released)


def _entity_rows(query: EntityQuery, limit: int, continuation: str | None) -> InstanceQuery:
    return InstanceQuery(
        entities_only=True,
        entity_name=query.name,
        created_from=query.last_operation_from,
        created_to=query.last_operation_to,
        with_input=query.with_state,
        with_output=False,
        limit=limit,
        continuation=continuation,
    )


def _state_name(status: InstanceStatus) -> str:
    return status.runtime_status.wire_name if status.runtime_status is not None else "Unknown"


def _entity_state(scheduler_state: str | None) -> str | None:
    state = lenient_object(scheduler_state or "").get("state")
    return state if isinstance(state, str) else None

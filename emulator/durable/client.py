"""The durable client: what user code and tools may do with instances and entities, in terms of a task hub.

It needs no running worker and knows no HTTP. Inputs, events, reasons and results are the texts that are stored; who
calls decides how a value becomes text.
Source: durable-extension, ContextImplementations/DurableClient.cs; docs/protocol/durable-client-http.md chapter 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from emulator.clock import Clock
from emulator.dotnet.json_values import lenient_object
from emulator.durable.core.entities.messages import RELEASE, Release, Request
from emulator.durable.core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    TraceContext,
)
from emulator.durable.core.identity import TERMINAL, EntityId, OrchestrationInstance, RuntimeStatus, is_entity
from emulator.durable.core.messages import TaskMessage
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
from emulator.ids import NewId, hyphenated
from emulator.instant import Instant

_CLEAN_PAGE = 100

# Errors ------------------------------------------------------------------------------------------------------


class InstanceFinished(HubError):
    """The instance has ended; nothing can be sent to it."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__(f'The instance "{status.instance_id}" has ended with the status {_state_name(status)}.')
        self.status = status


class CannotChangeState(HubError):
    """Suspending what is suspended, or resuming what is not."""

    def __init__(self, verb: Literal["suspend", "resume"], status: InstanceStatus) -> None:
        super().__init__(
            f"Cannot {verb} the orchestration instance {status.instance_id} "
            f"because instance is in the {_state_name(status)} state."
        )
        self.status = status


class NotRewindable(HubError):
    """Only failed instances can be rewound. `status`: what it is instead."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__(
            f"This orchestration has status {_state_name(status)}, "
            'but only orchestrations in the "Failed" state can be rewound.'
        )
        self.status = status


class NotPurgeable(HubError):
    """Only instances that have ended can be purged."""

    def __init__(self, status: InstanceStatus) -> None:
        super().__init__(
            "Only orchestrations in a terminal state can be purged, but the orchestration "
            f"with instance ID {status.instance_id} has status {_state_name(status)}"
        )


class TimeoutTooShort(HubError):
    """A wait would look less than once."""

    def __init__(self, timeout_seconds: float, interval_seconds: float) -> None:
        super().__init__(f"Total timeout {timeout_seconds:g} should be bigger than retry timeout {interval_seconds:g}")


# Entities ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntityStatus:
    """`state`: JSON text, or None when it was not asked for or there is none."""

    entity: EntityId
    last_operation_at: Instant
    state: str | None


@dataclass(frozen=True, slots=True)
class EntityPage:
    """`continuation` None: the last page."""

    entities: Sequence[EntityStatus]
    continuation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityQuery:
    """`name` None: entities of all names. The bounds are inclusive."""

    name: str | None = None
    last_operation_from: Instant | None = None
    last_operation_to: Instant | None = None
    with_state: bool = False
    limit: int = 100
    continuation: str | None = None


@dataclass(frozen=True, slots=True)
class CleanedEntities:
    """How much a clean-up found to do."""

    empty_removed: int = 0
    locks_released: int = 0


# The client --------------------------------------------------------------------------------------------------


class DurableClient:
    """Starts, watches and steers the instances of one task hub."""

    def __init__(self, hub: TaskHub, options: DurableTaskOptions, *, clock: Clock, new_id: NewId) -> None:
        self.hub = hub
        self._options = options
        self._clock = clock
        self._new_id = new_id

    async def start(
        self,
        name: str,
        input: str | None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
        trace: TraceContext | None = None,
    ) -> str:
        """Start an orchestration and give its instance id.

        `version` None means the app's default version; the empty text is a version of its own.
        Raises InstanceAlreadyExists.
        """
        execution_id = hyphenated(self._new_id())
        return await self._start(name, input, execution_id, instance_id=instance_id, version=version, trace=trace)

    async def restart(self, status: InstanceStatus, input: str, *, keep_id: bool) -> str:
        """Start the orchestration of `status` once more, under its id or a new one, and give that id.

        It gets today's default version. Raises InstanceAlreadyExists.
        """
        instance_id = status.instance_id if keep_id else None
        return await self._start(status.name, input, self._new_id(), instance_id=instance_id)

    async def _start(
        self,
        name: str,
        input: str | None,
        execution_id: str,
        *,
        instance_id: str | None,
        version: str | None = None,
        trace: TraceContext | None = None,
    ) -> str:
        instance = OrchestrationInstance(instance_id or self._new_id(), execution_id)
        started = ExecutionStarted(
            timestamp=self._now(),
            instance=instance,
            name=name,
            input=input,
            version=self._options.default_version if version is None else version,
            parent_trace_context=trace,
        )
        await self.hub.start(TaskMessage(started, instance), reuse=self._replaceable())
        return instance.instance_id

    def _replaceable(self) -> frozenset[RuntimeStatus]:
        any_state = self._options.overridable_existing_instance_states is OverridableStates.ANY
        return frozenset(RuntimeStatus) if any_state else TERMINAL

    # Looking

    async def status(self, instance_id: str) -> InstanceStatus | None:
        return await self.hub.status(instance_id)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        return await self.hub.history(instance_id)

    async def query(self, query: InstanceQuery) -> InstancePage:
        return await self.hub.query(query)

    async def wait_for_end(
        self, instance_id: str, *, timeout_seconds: float, interval_seconds: float
    ) -> InstanceStatus | None:
        """The status of the instance as soon as it has ended, or None if it has not when the time is up.

        Looks at least once. Raises TimeoutTooShort when the interval is longer than the timeout.
        """
        if interval_seconds > timeout_seconds:
            raise TimeoutTooShort(timeout_seconds, interval_seconds)
        started_at = self._clock.now()
        while True:
            status = await self.hub.status(instance_id)
            if status is not None and status.runtime_status in TERMINAL:
                return status
            left = timeout_seconds - (self._clock.now() - started_at).total_seconds()
            if left <= 0:
                return None
            await self._clock.sleep(min(interval_seconds, left))

    async def active(self, instance_id: str) -> InstanceStatus:
        """The status of an instance that has not ended. Raises InstanceNotFound, InstanceFinished."""
        status = await self._existing(instance_id)
        if status.runtime_status in TERMINAL:
            raise InstanceFinished(status)
        return status

    async def _existing(self, instance_id: str) -> InstanceStatus:
        status = await self.hub.status(instance_id)
        if status is None:
            raise InstanceNotFound(instance_id)
        return status

    # Steering

    async def raise_event(self, instance_id: str, name: str, input: str | None) -> None:
        """Send an event to whatever execution is current; nobody looks whether there is one (see `active`)."""
        await self._send(instance_id, EventRaised(timestamp=self._now(), name=name, input=input))

    async def terminate(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Gives its status as it was, as the next two do. Raises InstanceNotFound, InstanceFinished."""
        status = await self.active(instance_id)
        await self._send(instance_id, ExecutionTerminated(timestamp=self._now(), input=reason))
        return status

    async def suspend(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Raises InstanceNotFound, InstanceFinished, CannotChangeState."""
        status = await self.active(instance_id)
        if status.runtime_status is RuntimeStatus.SUSPENDED:
            raise CannotChangeState("suspend", status)
        await self._send(instance_id, ExecutionSuspended(timestamp=self._now(), reason=reason))
        return status

    async def resume(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Raises InstanceNotFound, InstanceFinished, CannotChangeState."""
        status = await self.active(instance_id)
        if status.runtime_status is not RuntimeStatus.SUSPENDED:
            raise CannotChangeState("resume", status)
        await self._send(instance_id, ExecutionResumed(timestamp=self._now(), reason=reason))
        return status

    async def rewind(self, instance_id: str, reason: str | None) -> InstanceStatus:
        """Let a failed instance go on from before its failure, and give its status as it was.

        Raises InstanceNotFound, NotRewindable.
        """
        status = await self._existing(instance_id)
        if status.runtime_status is not RuntimeStatus.FAILED:
            raise NotRewindable(status)
        await self.hub.rewind(instance_id, reason)
        return status

    async def purge(self, instance_id: str) -> PurgeResult:
        """Delete all that is stored of one instance.

        Entities have no end, so their state is not looked at. Raises InstanceNotFound, NotPurgeable.
        """
        if not is_entity(instance_id):
            status = await self._existing(instance_id)
            if status.runtime_status not in TERMINAL:
                raise NotPurgeable(status)
        return await self.hub.purge(instance_id)

    async def purge_many(self, where: PurgeFilter) -> PurgeResult:
        return await self.hub.purge_many(where)

    async def _send(self, instance_id: str, event: HistoryEvent) -> None:
        await self.hub.send(TaskMessage(event, OrchestrationInstance(instance_id, None)))

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())

    # Entities

    async def signal_entity(self, entity: EntityId, operation: str, input: str | None) -> None:
        """Send a one-way operation; nobody looks whether the entity exists."""
        request = Request(id=hyphenated(self._new_id()), operation=operation, is_signal=True, input=input)
        event = EventRaised(timestamp=self._now(), name=request.event_name, input=request.from_client())
        await self._send(entity.instance_id, event)

    async def entity_state(self, entity: EntityId) -> str | None:
        """The entity's state as of its last batch, as JSON text; None when it has none or never ran."""
        status = await self.hub.status(entity.instance_id)
        return None if status is None else _entity_state(status.input)

    async def query_entities(self, query: EntityQuery) -> EntityPage:
        """Entities that exist. With states asked for, those count that have a state, as .NET decides it."""
        found: list[EntityStatus] = []
        continuation = query.continuation
        while True:
            page = await self.hub.query(_entity_rows(query, query.limit - len(found), continuation))
            rows = (_entity_status(row, with_state=query.with_state) for row in page.instances)
            found += [entity for entity in rows if entity is not None]
            continuation = page.continuation
            # Rows of entities that are gone would leave pages short, or empty.
            if continuation is None or len(found) >= query.limit:
                return EntityPage(found, continuation)

    async def clean_entities(self, *, remove_empty: bool = True, release_locks: bool = True) -> CleanedEntities:
        """Delete entities that do not exist any more, and locks whose holders have ended.

        An entity goes when it has had nothing to do for the time in which its senders are remembered. Nothing of this
        happens by itself.
        """
        removed, released, continuation = 0, 0, None
        while True:
            page = await self.hub.query(_entity_rows(EntityQuery(), _CLEAN_PAGE, continuation))
            for row in page.instances:
                standing = lenient_object(row.custom_status or "")
                if release_locks and await self._holds_no_more(standing.get("lockedBy")):
                    await self._release(row.instance_id, str(standing["lockedBy"]))
                    released += 1
                elif remove_empty and self._is_forgotten(row, standing):
                    removed += (await self.hub.purge(row.instance_id)).instances
            continuation = page.continuation
            if continuation is None:
                return CleanedEntities(removed, released)

    async def _holds_no_more(self, holder: object) -> bool:
        """Whether a lock is held by an instance that has ended without giving it back."""
        if not isinstance(holder, str):
            return False
        status = await self.hub.status(holder)
        return status is None or status.runtime_status in TERMINAL

    async def _release(self, entity: str, holder: str) -> None:
        release = Release(holder, "fix-orphaned-lock")
        await self._send(entity, EventRaised(timestamp=self._now(), name=RELEASE, input=release.text))

    def _is_forgotten(self, row: InstanceStatus, standing: Mapping[str, object]) -> bool:
        is_empty = not (standing.get("entityExists") or standing.get("queueSize") or standing.get("lockedBy"))
        return is_empty and row.last_updated_at + self._options.entity_message_reorder_window < self._now()


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


def _entity_status(row: InstanceStatus, *, with_state: bool) -> EntityStatus | None:
    """None for a row of an entity that does not exist any more."""
    entity = EntityId.parse(row.instance_id)
    state = _entity_state(row.input) if with_state else None
    exists = state is not None if with_state else lenient_object(row.custom_status or "").get("entityExists") is True
    return EntityStatus(entity, row.created_at, state) if entity is not None and exists else None


def _entity_state(scheduler_state: str | None) -> str | None:
    state = lenient_object(scheduler_state or "").get("state")
    return state if isinstance(state, str) else None

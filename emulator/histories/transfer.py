"""Export, import and fork of orchestrations: the same code for commands on storage and for the API of a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
)
from emulator.durable.core.fork import (
    Fork,
    ForkRefused,
    ForkRequest,
    child_result,
    episodes,
    fork,
    imported,
    received_names,
)
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, is_entity, storage_problem
from emulator.durable.core.open_actions import open_actions
from emulator.durable.hub import InstanceAlreadyExists, TaskHub
from emulator.errors import EmulatorError
from emulator.histories.document import RecordedInstance, document_of, read_document
from emulator.ids import NewId, hyphenated
from emulator.instant import Instant
from emulator.storage.port import StorageError

MOST_INSTANCES: Final = 1_000
"""So many instances are exported together."""

# The status of an imported file and of a fork, as members of a JSON object.
Members = dict[str, Any]


class TransferRefused(EmulatorError):
    """The instance cannot be exported, imported or forked. `status`: the HTTP status of the answer."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkOptions:
    """Options of a fork. `at`: see `ForkRequest`. `instance_id` None: a new one. Inputs are JSON texts."""

    at: int
    instance_id: str | None = None
    input: str | None = None
    event_input: str | None = None
    reruns: bool = False
    with_events: bool = False

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> ForkOptions:
        """Read the members of a request: `at`, `id`, `input`, `eventInput`, `rerun`, `withEvents`.

        Raises TransferRefused.
        """
        at, new_id = members.get("at"), members.get("id")
        if type(at) is not int:
            raise TransferRefused('The member "at" must be the number of a history event.')
        if new_id is not None and not isinstance(new_id, str):
            raise TransferRefused('The member "id" must be a text.')
        texts: dict[str, str | None] = {}
        for name in ("input", "eventInput"):
            # A member that is present may be null, which is an input, too.
            texts[name] = json.dumps(members[name], ensure_ascii=False) if name in members else None
        return cls(
            at=at,
            instance_id=new_id or None,
            input=texts["input"],
            event_input=texts["eventInput"],
            reruns=members.get("rerun") is True,
            with_events=members.get("withEvents") is True,
        )


class HistoryTransfer:
    """Exports, imports and forks the orchestrations of a task hub."""

    def __init__(self, hub: TaskHub, clock: Clock, new_id: NewId) -> None:
        self._hub = hub
        self._clock = clock
        self._new_id = new_id

    # Export --------------------------------------------------------------------------------------------------

    async def export(self, instance_id: str) -> Members:
        """Return the history file of an instance, with its sub-orchestrations. Raises TransferRefused."""
        instances = [await self._recorded(instance_id)]
        names, queue = {instance_id}, list(_children(instances[0].history))
        # Breadth first, so that a limit cuts the deepest sub-orchestrations.
        while queue and len(instances) < MOST_INSTANCES:
            name = queue.pop(0)
            if name in names:
                continue
            names.add(name)
            history = await self._hub.history(name)
            started = next((event for event in history if isinstance(event, ExecutionStarted)), None)
            # The id may belong to another run of the parent.
            if started and started.parent and started.parent.instance.instance_id in names:
                instances.append(await self._recorded(name))
                queue += _children(history)
        return document_of(instances, task_hub=self._hub.name, exported_at=self._now())

    async def _recorded(self, instance_id: str) -> RecordedInstance:
        history = await self._history(instance_id)
        status = await self._hub.status(instance_id, with_input=False)
        started = next((event for event in history if isinstance(event, ExecutionStarted)), None)
        # The SDK stores null if the orchestrator has set none.
        has_custom_status = status is not None and status.custom_status not in (None, "null")
        return RecordedInstance(
            instance_id=instance_id,
            name=started.name if started else "",
            status=None if status is None or status.runtime_status is None else status.runtime_status.wire_name,
            custom_status=status.custom_status if status and has_custom_status else None,
            history=history,
        )

    async def _history(self, instance_id: str) -> Sequence[HistoryEvent]:
        if is_entity(instance_id):
            raise TransferRefused(f"{instance_id} is an entity. Only orchestrations have a history that can be used.")
        history = await self._hub.history(instance_id)
        if not history:
            # Also without events: an instance that has not run yet. Only the status row tells the two apart.
            if await self._hub.status(instance_id, with_input=False) is None:
                raise TransferRefused(f'There is no instance "{instance_id}" in this task hub.', status=404)
            raise TransferRefused(f'The instance "{instance_id}" has no history yet: it has not run.', status=409)
        return history

    # Import --------------------------------------------------------------------------------------------------

    async def import_file(self, content: object, *, instance_id: str | None) -> Members:
        """Create the instances of a history file; those that have not ended continue. Returns what was created.

        `instance_id`: the new id of the first instance; its sub-orchestrations get new ids, too.
        Raises TransferRefused, UnreadableHistory.
        """
        recordings = read_document(content)
        copies = [_Copy.of(recording) for recording in recordings]
        ids = {copy.id: copy.id for copy in copies}
        # The ids of the file stay if the user chooses none: in another task hub it is the same execution.
        executions = {copy.id: copy.started.instance.execution_id for copy in copies}
        if instance_id is not None and instance_id != copies[0].id:
            executions = {copy.id: hyphenated(self._new_id()) for copy in copies}
            ids[copies[0].id] = instance_id
            for number, copy in enumerate(copies[1:], start=1):
                ids[copy.id] = f"{executions[copies[0].id]}:import:{number}"
        # All before the first one is created, so that a refusal leaves nothing behind.
        for new_id in ids.values():
            await self._check_free(new_id)
        forks: list[tuple[Fork, str | None]] = []
        # Children first: a parent that waits for them must find them.
        for copy in reversed(copies):
            # Nothing waits for the first instance: if it has a parent, that is not in the file.
            parent = _new_parent(copy, ids, executions) if copy is not copies[0] else None
            # A child that has ended sends nothing any more, so its recorded end becomes the result.
            results = [
                child_result(child.event_id, ended)
                for child in open_actions(copy.history).children
                for other in copies
                if other.id == child.instance_id and (ended := other.ended) is not None
            ]
            forked = imported(
                copy.history,
                instance=OrchestrationInstance(ids[copy.id], executions[copy.id]),
                now=self._now(),
                parent=parent,
                children=ids,
                results=results,
            )
            forks.append((forked, copy.custom_status))
        stored: list[str] = []
        try:
            for forked, custom_status in forks:
                await self._store(forked, custom_status=custom_status)
                stored.append(forked.instance.instance_id)
        except EmulatorError:
            # Storage refuses what is too large for a row, for example. A part of an execution could only wait for ever.
            for new_id in stored:
                await self._hub.purge(new_id)
            raise
        return {
            "instanceId": ids[copies[0].id],
            "instances": [
                {"instanceId": ids[copy.id], "name": copy.started.name, "continues": copy.ended is None}
                for copy in copies
            ],
        }

    # Fork ----------------------------------------------------------------------------------------------------

    async def places(self, instance_id: str) -> Members:
        """Return the events at which an instance can be forked. Raises TransferRefused."""
        history = await self._history(instance_id)
        names = received_names(history)
        return {
            "instanceId": instance_id,
            "events": len(history),
            "places": [
                {
                    "at": episode.start,
                    "time": history[episode.start].timestamp.text,
                    "received": [
                        {"at": number, "type": history[number].type_name, "name": names.get(number)}
                        for number in episode.received
                    ],
                }
                for episode in episodes(history)
            ],
        }

    async def fork(self, instance_id: str, options: ForkOptions) -> Members:
        """Fork an instance. Returns the new id and what was done. Raises TransferRefused, ForkRefused."""
        history = await self._history(instance_id)
        new_id = options.instance_id
        if not new_id:
            # Lists show where it comes from. The digits let the same event be forked again.
            readable = f"{instance_id}-fork{options.at}-{self._new_id()[:4]}"
            new_id = readable if storage_problem(readable) is None else self._new_id()
        await self._check_free(new_id)
        forked = fork(
            history,
            ForkRequest(
                at=options.at,
                instance=OrchestrationInstance(new_id, hyphenated(self._new_id())),
                now=self._now(),
                input=options.input,
                event_input=options.event_input,
                reruns=options.reruns,
                with_events=options.with_events,
            ),
        )
        await self._refuse_replaced_children(history, forked)
        # The custom status at the cut is not known. The first episode sets it again.
        await self._store(forked, custom_status=None)
        return {
            "instanceId": new_id,
            "source": instance_id,
            "cut": forked.cut,
            "reusedEvents": len(forked.history),
            "rerun": list(forked.undone),
            "eventsLeftOut": list(forked.left_out),
            "fixedChildren": list(dict.fromkeys(forked.restarted)),
        }

    async def _refuse_replaced_children(self, history: Sequence[HistoryEvent], forked: Fork) -> None:
        """Raise TransferRefused if the fork starts a running child of the recorded instance again under its id."""
        for child in forked.restarted:
            status = await self._hub.status(child, with_input=False)
            if status is not None and status.runtime_status is not None and not status.runtime_status.is_terminal:
                raise TransferRefused(
                    f'The code starts the sub-orchestration "{child}" under this fixed id, and that instance is still '
                    "running. The fork would replace it. Wait until it has ended, or terminate it.",
                    status=409,
                )

    # Storing -------------------------------------------------------------------------------------------------

    async def _store(self, forked: Fork, *, custom_status: str | None) -> None:
        try:
            if forked.history:
                await self._hub.adopt(forked.history, forked.messages, custom_status=custom_status)
                return
            # A fork from the start has no history: it starts as any new instance. The events to raise again follow.
            first, *others = forked.messages
            await self._hub.start(first, reuse=frozenset())
            for message in others:
                await self._hub.send(message)
        except StorageError:
            # It may exist without a history or without its messages.
            await self._hub.purge(forked.instance.instance_id)
            raise
        except InstanceAlreadyExists as error:
            # The id was free when it was checked, and another client has taken it since.
            raise _exists(error.instance_id) from None

    async def _check_free(self, instance_id: str) -> None:
        if is_entity(instance_id):
            raise TransferRefused(f'The instance id "{instance_id}" must not begin with @, like that of an entity.')
        if not instance_id or (problem := storage_problem(instance_id)):
            raise TransferRefused(f"The instance id {instance_id[:100]!a} {problem if instance_id else 'is empty.'}")
        if await self._hub.status(instance_id, with_input=False) is not None:
            raise _exists(instance_id)

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def _exists(instance_id: str) -> TransferRefused:
    return TransferRefused(
        f'There is an instance "{instance_id}" already, and it is left as it is. Choose another id with --id NEW, or '
        "purge that instance.",
        status=409,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """An instance of a history file that is to be created. `ended`: None if it has not ended."""

    id: str
    history: Sequence[HistoryEvent]
    started: ExecutionStarted
    ended: ExecutionCompleted | None
    custom_status: str | None

    @classmethod
    def of(cls, recording: RecordedInstance) -> _Copy:
        started = next((event for event in recording.history if isinstance(event, ExecutionStarted)), None)
        if started is None:
            raise ForkRefused(f'The history of "{recording.instance_id}" has no ExecutionStarted; it is not complete.')
        return cls(
            id=recording.instance_id,
            history=recording.history,
            started=started,
            ended=next((event for event in recording.history if isinstance(event, ExecutionCompleted)), None),
            custom_status=recording.custom_status,
        )


def _new_parent(copy: _Copy, ids: Mapping[str, str], executions: Mapping[str, str | None]) -> ParentInstance | None:
    parent = copy.started.parent
    if parent is None or parent.instance.instance_id not in ids:
        return None
    instance = OrchestrationInstance(ids[parent.instance.instance_id], executions[parent.instance.instance_id])
    return ParentInstance(parent.name, instance, parent.task_schedule_id, parent.version)


def _children(history: Sequence[HistoryEvent]) -> Sequence[str]:
    return [event.instance_id for event in history if isinstance(event, SubOrchestrationInstanceCreated)]

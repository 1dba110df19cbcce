"""Replay tests: does today's code still make the decisions that a recorded history holds?

    emulator.testing.replay("path/to/app", "histories/order-17.json")

Instances that are running when an app is deployed go on with the new code on their old history. Where the code would
have decided otherwise, they fail ("Non-Deterministic workflow detected …") or, worse, do not. A replay test in the
app's suite finds that before a deployment does. Every episode of the history is run as it was: the same events in, and
the decisions that come out are held against the recorded ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from emulator.clock import SystemClock
from emulator.config.start import Configuration, StartOptions, configure
from emulator.durable.core.decisions import (
    Complete,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.events import (
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from emulator.durable.core.identity import FunctionKind
from emulator.durable.core.replay.actions import Answer
from emulator.durable.core.replay.nondeterminism import RecordedAction, agrees
from emulator.durable.core.replay.program import ReplaySettings
from emulator.durable.core.replay.program import replay as replay_answer
from emulator.durable.executor import OrchestratorRequest
from emulator.environment import PROCESS
from emulator.errors import EmulatorError
from emulator.extensions.durable.functions import DurableFunctions, name_of
from emulator.extensions.durable.protocol import orchestrators
from emulator.host.port import TriggerEvent
from emulator.instant import Instant
from emulator.testing.histories import History, Recorded, UnreadableHistory, read_histories
from emulator.testing.watching.yields import Place, Yields
from emulator.worker.failures import app_load_error, function_failed
from emulator.worker.indexing import LoadedFunction, index
from emulator.worker.loader import AppModules, import_app, script_name
from emulator.worker.port import Returned
from emulator.worker.sdk_patches import apply_sdk_patches

_KINDS = {
    "orchestrationtrigger": FunctionKind.ORCHESTRATOR,
    "activitytrigger": FunctionKind.ACTIVITY,
    "entitytrigger": FunctionKind.ENTITY,
}
_HTTP_POLL_INTERVAL = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Divergence:
    """`event_number`: the place in the history, counted from 0 as its rows are. `place`: where the code stands."""

    instance_id: str
    orchestrator: str
    episode: int
    event_number: int
    expected: str
    found: str
    place: Place | None

    def __str__(self) -> str:
        where = f"\n  at        {self.place}" if self.place else ""
        return (
            f'The orchestrator "{self.orchestrator}" no longer follows the recorded history of "{self.instance_id}": '
            f"event {self.event_number}, episode {self.episode}."
            f"\n  expected  {self.expected}\n  found     {self.found}{where}"
        )


class HistoryDiverged(AssertionError):
    """Today's code decides otherwise than the recorded history. `divergence`: the first difference."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(str(divergence))
        self.divergence = divergence


class NotReplayable(EmulatorError):
    """The app cannot be loaded, or has no such orchestrator."""


def replay(
    app: str | Path,
    history: Recorded,
    *,
    instance_id: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> int:
    """Run recorded histories against the app in the folder `app`; the number of episodes that agreed.

    `history`: one or many, see `emulator.testing.histories.read_histories`. `instance_id`: only this one's.
    `settings`: win over local.settings.json and the environment while the app is imported and run.
    Raises HistoryDiverged, NotReplayable, UnreadableHistory.
    """
    episodes = 0
    for divergence in compare(app, history, instance_id=instance_id, settings=settings or {}):
        if divergence is not None:
            raise HistoryDiverged(divergence)
        episodes += 1
    return episodes


def compare(
    app: str | Path, recorded: Recorded, *, instance_id: str | None, settings: Mapping[str, str]
) -> Iterator[Divergence | None]:
    """The same, episode by episode: None while they agree, and nothing of an instance after its first difference."""
    histories = read_histories(recorded, instance_id)
    configuration = configure(StartOptions(app=Path(app), settings=settings, create_host_json=False), os.environ)
    with PROCESS.containing(configuration.environment(configuration.port)), AppModules(configuration.root):
        functions = _load(configuration)
        for history in histories:
            yield from _compare(history, _Orchestrator.of(functions, _start_of(history)))


def _start_of(history: History) -> ExecutionStarted:
    for event in history.events:
        if isinstance(event, ExecutionStarted):
            return event
    raise UnreadableHistory(f'The recorded history of "{history.instance_id}" has no ExecutionStarted event.')


def _load(configuration: Configuration) -> Sequence[LoadedFunction]:
    root = configuration.root
    try:
        app = import_app(root, script_name(dict(configuration.settings.items())))
        apply_sdk_patches()
        return [] if app is None else index(app, root, SystemClock())
    except Exception as error:
        raise NotReplayable(str(app_load_error(error, []))) from error


# Episodes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Episode:
    """`start`: the number of its first event. `received`: what the function was given. `recorded`: by action id.

    `rewound`: a rewind has erased some of what was given or decided here, so that nothing can be compared.
    `closed`: all that was decided is there; False for the last episode of a history that was cut off.
    """

    start: int
    received: Sequence[HistoryEvent]
    recorded: Mapping[int, tuple[int, HistoryEvent]]
    end: int
    rewound: bool
    closed: bool


def _episodes(events: Sequence[HistoryEvent]) -> Iterator[_Episode]:
    starts = [number for number, event in enumerate(events) if isinstance(event, OrchestratorStarted)]
    for start, end in zip(starts, [*starts[1:], len(events)], strict=True):
        part = list(enumerate(events[start:end], start))
        recorded = {event.event_id: (number, event) for number, event in part if _is_decision(event)}
        received = [_unplayed(event) for _, event in part if not _is_decision(event) and not _closes(event)]
        rewound = any(isinstance(event, GenericEvent) and event.data is None for _, event in part)
        yield _Episode(start, received, recorded, end, rewound, closed=isinstance(part[-1][1], OrchestratorCompleted))


def _is_decision(event: HistoryEvent) -> bool:
    return isinstance(event, ExecutionCompleted | RecordedAction)


def _closes(event: HistoryEvent) -> bool:
    """The end of an episode, unless it is the one that a continued generation begins with."""
    return isinstance(event, OrchestratorCompleted) and not event.is_played


def _unplayed(event: HistoryEvent) -> HistoryEvent:
    return event if isinstance(event, OrchestratorCompleted) else replace(event, is_played=False)


def _compare(history: History, orchestrator: _Orchestrator) -> Iterator[Divergence | None]:
    events = history.events
    for number, episode in enumerate(_episodes(events), start=1):
        if episode.rewound:
            yield None
            continue
        decided = {decision.id: decision for decision in orchestrator.decide(events[: episode.start], episode.received)}
        for action in sorted({*decided, *episode.recorded}):
            place_in_history, recorded = episode.recorded.get(action, (episode.end - 1, None))
            decision = decided.get(action)
            if recorded is None and not episode.closed:
                continue
            if not _agree(recorded, decision):
                words = _in_words(recorded), _decision_in_words(decision)
                place = orchestrator.place_of(action if decision is not None else None)
                yield Divergence(history.instance_id, orchestrator.name, number, place_in_history, *words, place)
                return
        yield None


def _agree(recorded: HistoryEvent | None, decision: Decision | None) -> bool:
    match recorded:
        case ExecutionCompleted():
            return isinstance(decision, Complete) and decision.status is recorded.status
        case TaskScheduled() | TimerCreated() | SubOrchestrationInstanceCreated() | EventSent():
            return agrees(recorded, decision)
        case _:
            return False


# The orchestrator ----------------------------------------------------------------------------------------------


class _Orchestrator:
    """One orchestrator function of the app, whose yields are watched."""

    def __init__(self, function: LoadedFunction, started: ExecutionStarted, known: DurableFunctions) -> None:
        # The app's own dependency: azemu can be imported without it.
        from azure.durable_functions import Orchestrator

        self.name = function.metadata.name
        self._started = started
        self._yields = Yields()
        user_function = getattr(function.call, "orchestrator_function", None)
        self._handle = (
            function.call if user_function is None else Orchestrator.create(self._yields.watch(user_function))
        )
        self._settings = ReplaySettings(missing=known.missing, http_poll_interval=_HTTP_POLL_INTERVAL)

    @classmethod
    def of(cls, functions: Sequence[LoadedFunction], started: ExecutionStarted) -> _Orchestrator:
        """Raises NotReplayable."""
        known = DurableFunctions()
        found = None
        for function in functions:
            trigger = next(binding for binding in function.metadata.bindings if binding.is_trigger)
            kind = _KINDS.get(trigger.type.lower())
            if kind is None:
                continue
            name = name_of(kind, function.metadata.name, trigger)
            known.add(kind, name, _never)
            if kind is FunctionKind.ORCHESTRATOR and name.lower() == started.name.lower():
                found = function
        if found is None:
            raise NotReplayable(str(known.missing(FunctionKind.ORCHESTRATOR, started.name)))
        return cls(found, started, known)

    def decide(self, past: Sequence[HistoryEvent], new: Sequence[HistoryEvent]) -> Sequence[Decision]:
        """What the code decides when this is its past and that is new."""
        started = next((event for event in new if isinstance(event, ExecutionStarted)), self._started)
        answer = self._answer(OrchestratorRequest(instance=started.instance, started=started, past=past, new=new))
        now = new[0].timestamp if new else Instant(0)
        return replay_answer(past, new, answer, started=started, settings=self._settings, wall_clock=now).decisions

    def place_of(self, action: int | None) -> Place | None:
        """Where the action was asked for; None: where the code stands now."""
        return self._yields.last if action is None else self._yields.place_of(action)

    def _answer(self, request: OrchestratorRequest) -> Answer:
        context = orchestrators.context_text(request, http_poll_interval=_HTTP_POLL_INTERVAL)
        handle: Any = self._handle
        try:
            return orchestrators.answer_of(handle(context))
        except Exception as error:
            return orchestrators.answer_of_failure(function_failed(error))


async def _never(event: TriggerEvent) -> Returned:
    raise AssertionError("a replay calls no function through the host")


# Words ---------------------------------------------------------------------------------------------------------


def _in_words(recorded: HistoryEvent | None) -> str:
    match recorded:
        case None:
            return "nothing: the recorded orchestrator asked for nothing more here"
        case TaskScheduled():
            return f'#{recorded.event_id} activity "{recorded.name}"'
        case TimerCreated():
            return f"#{recorded.event_id} timer until {recorded.fire_at.text}"
        case SubOrchestrationInstanceCreated():
            return f'#{recorded.event_id} sub-orchestration "{recorded.name}"'
        case EventSent():
            return f'#{recorded.event_id} event "{recorded.name}" to {recorded.instance_id}'
        case ExecutionCompleted():
            return f"#{recorded.event_id} end of the orchestration: {recorded.status.wire_name}"
        case _:
            return f"#{recorded.event_id} {type(recorded).__name__}"


def _decision_in_words(decision: Decision | None) -> str:
    match decision:
        case None:
            return "nothing: the orchestrator waits"
        case ScheduleTask():
            return f'#{decision.id} activity "{decision.name}"'
        case CreateTimer():
            return f"#{decision.id} timer until {decision.fire_at.text}"
        case StartSubOrchestration():
            return f'#{decision.id} sub-orchestration "{decision.name}"'
        case SendEvent():
            return f'#{decision.id} event "{decision.name}" to {decision.target.instance_id}'
        case Complete():
            why = f": {decision.result}" if decision.result and decision.status.wire_name != "Completed" else ""
            return f"#{decision.id} end of the orchestration: {decision.status.wire_name}{why}"
        case StartNextGeneration():
            return f"#{decision.id} continue as new"

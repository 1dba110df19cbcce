"""Replay tests: comparison of the decisions of the current code with those in recorded histories.

    emulator.testing.replay("path/to/app", "histories/order-17.json")

Instances that are running when an app is deployed continue with the new code on their old history. If the code now
decides differently, they fail ("Non-Deterministic workflow detected …") or, worse, continue wrongly. A replay test in
the app's test suite finds that before a deployment does. Every episode of the history is run with the events that it
had, and the resulting decisions are compared with the recorded ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from emulator.clock import SystemClock
from emulator.config.start import StartOptions, configure
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
from emulator.durable.core.replay.nondeterminism import RecordedAction, agrees
from emulator.durable.core.replay.program import ReplaySettings
from emulator.durable.core.replay.program import replay as replay_answer
from emulator.durable.executor import OrchestratorRequest
from emulator.environment import PROCESS
from emulator.errors import EmulatorError
from emulator.extensions.durable.functions import TRIGGERS, DurableFunctions, name_of
from emulator.extensions.durable.protocol import orchestrators
from emulator.histories.document import UnreadableHistory
from emulator.histories.reading import History, Recorded, read_histories
from emulator.host.port import TriggerEvent
from emulator.worker.app_loading import load_app
from emulator.worker.boundary.app_modules import AppModules
from emulator.worker.failures import app_load_error, function_failed
from emulator.worker.indexing import LoadedFunction
from emulator.worker.loader import script_name
from emulator.worker.port import Returned
from emulator.worker.user_functions import orchestrator_function
from emulator.worker.yields import Place, Yields

# The default of host.json (httpSettings.defaultAsyncRequestSleepTimeMilliseconds).
_HTTP_POLL_INTERVAL = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Divergence:
    """A difference between today's decisions and a recorded history.

    `event_number`: the number of the history event, from 0, which is also the number of its row. `episode` counts from
    1. `place`: the line of user code.
    """

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
    """Today's code decides differently than a recorded history. `divergence`: the first difference."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(str(divergence))
        self.divergence = divergence


class NotReplayable(EmulatorError):
    """The app cannot be loaded, or it has no orchestrator with the recorded name."""


def replay(
    app: str | Path,
    history: Recorded,
    *,
    instance_id: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> int:
    """Run recorded histories with the app in the folder `app`. Return the number of episodes, all of which agree.

    `history`: one or more histories, see `emulator.histories.reading.read_histories`. `instance_id`: only this one's.
    `settings`: override local.settings.json and the environment while the app is imported and run.
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
    """Run recorded histories; yield for each episode its first divergence, or None if it agrees.

    After a divergence the remaining episodes of that instance are skipped.
    """
    histories = read_histories(recorded, instance_id)
    configuration = configure(StartOptions(app=Path(app), settings=settings, create_host_json=False), os.environ)
    # The host is not started: only the user's modules are imported, and no storage is needed.
    # User code reads its settings from the environment, as under a host.
    with PROCESS.containing(configuration.environment(configuration.port)), AppModules(configuration.root):
        try:
            script = script_name(dict(configuration.settings.items()))
            functions = load_app(configuration.root, script, SystemClock()).functions
        except Exception as error:
            # Without sys.path in the text: the path here is that of the test run, not of a host.
            raise NotReplayable(str(app_load_error(error, []))) from error
        for history in histories:
            yield from _compare_history(history, functions)


# Episodes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Episode:
    """An episode of a recorded history, from the event number `start` up to, but not including, `end`.

    `received`: the events that the orchestrator got. `recorded`: its decisions, as (event number, event) by action ID.
    `is_rewound`: a rewind has erased some of them, so the episode cannot be compared. `is_complete`: all its decisions
    are in the history; False for the last episode of a history that was saved while it ran.
    """

    start: int
    end: int
    received: Sequence[HistoryEvent]
    recorded: Mapping[int, tuple[int, HistoryEvent]]
    is_rewound: bool
    is_complete: bool


def _episodes(events: Sequence[HistoryEvent]) -> Iterator[_Episode]:
    starts = [number for number, event in enumerate(events) if isinstance(event, OrchestratorStarted)]
    for start, end in zip(starts, [*starts[1:], len(events)], strict=True):
        received: list[HistoryEvent] = []
        recorded: dict[int, tuple[int, HistoryEvent]] = {}
        for number, event in enumerate(events[start:end], start):
            if isinstance(event, ExecutionCompleted | RecordedAction):
                recorded[event.event_id] = number, event
            elif not isinstance(event, OrchestratorCompleted):
                # The history says "played"; when the orchestrator received them for the first time, they were not.
                received.append(replace(event, is_played=False))
            elif event.is_played:
                # A played one is the first event of an execution that was continued as new; it ends no episode.
                received.append(event)
        yield _Episode(
            start,
            end,
            received,
            recorded,
            # A rewind replaces events by generic ones without data.
            is_rewound=any(isinstance(event, GenericEvent) and event.data is None for event in events[start:end]),
            is_complete=isinstance(events[end - 1], OrchestratorCompleted),
        )


def _compare_history(history: History, functions: Sequence[LoadedFunction]) -> Iterator[Divergence | None]:
    events = history.events
    started = next((event for event in events if isinstance(event, ExecutionStarted)), None)
    if started is None:
        raise UnreadableHistory(f'The recorded history of "{history.instance_id}" has no ExecutionStarted event.')
    orchestrator = _Orchestrator.find(functions, started)
    for number, episode in enumerate(_episodes(events), start=1):
        if episode.is_rewound:
            yield None
            continue
        past = events[: episode.start]
        decisions = {decision.id: decision for decision in orchestrator.decide(past, episode.received)}
        for action in sorted({*decisions, *episode.recorded}):
            decision = decisions.get(action)
            event_number, recorded = episode.recorded.get(action, (episode.end - 1, None))
            # In an incomplete episode the missing decision may only not have been saved yet.
            if _agree(recorded, decision) or (recorded is None and not episode.is_complete):
                continue
            yield Divergence(
                history.instance_id,
                orchestrator.name,
                number,
                event_number,
                expected=_describe_recorded(recorded),
                found=_describe_decision(decision),
                place=orchestrator.place_of(action if decision is not None else None),
            )
            # Once the code has left the recorded path, all later decisions differ, and comparing them adds nothing.
            return
        yield None


def _agree(recorded: HistoryEvent | None, decision: Decision | None) -> bool:
    match recorded:
        case ExecutionCompleted():
            # Only the status: the result may contain anything, and the instance has ended anyway.
            return isinstance(decision, Complete) and decision.status is recorded.status
        case TaskScheduled() | TimerCreated() | SubOrchestrationInstanceCreated() | EventSent():
            return agrees(recorded, decision)
        case _:
            return False


# The orchestrator ----------------------------------------------------------------------------------------------


class _Orchestrator:
    """An orchestrator function of the app, whose yields are observed. `known`: all durable functions of the app."""

    def __init__(self, function: LoadedFunction, started: ExecutionStarted, known: DurableFunctions) -> None:
        # A dependency of the app, not of azemu.
        from azure.durable_functions import Orchestrator

        self.name = function.metadata.name
        self._started = started
        self._yields = Yields()
        # A function that was not decorated by the SDK is called as it is; its yields cannot be observed.
        user_function = orchestrator_function(function.call)
        self._handle: Any = (
            function.call if user_function is None else Orchestrator.create(self._yields.observed(user_function))
        )
        # A call of a function that the app does not have fails in a replay as it fails under a host.
        self._settings = ReplaySettings(missing=known.missing, http_poll_interval=_HTTP_POLL_INTERVAL)

    @classmethod
    def find(cls, functions: Sequence[LoadedFunction], started: ExecutionStarted) -> _Orchestrator:
        """Return the orchestrator that the history was recorded with. Raises NotReplayable."""
        known = DurableFunctions()
        orchestrator = None
        for function in functions:
            trigger = next(binding for binding in function.metadata.bindings if binding.is_trigger)
            kind = TRIGGERS.get(trigger.type.lower())
            if kind is None:
                continue
            name = name_of(kind, function.metadata.name, trigger)
            known.add(kind, name, _never_invoked)
            if kind is FunctionKind.ORCHESTRATOR and name.lower() == started.name.lower():
                orchestrator = function
        if orchestrator is None:
            raise NotReplayable(str(known.missing(FunctionKind.ORCHESTRATOR, started.name)))
        return cls(orchestrator, started, known)

    def decide(self, past: Sequence[HistoryEvent], new: Sequence[HistoryEvent]) -> Sequence[Decision]:
        """Run the user's code with the events of earlier episodes and of this one; return its decisions."""
        # The first episode has ExecutionStarted among its new events.
        started = next((event for event in new if isinstance(event, ExecutionStarted)), self._started)
        request = OrchestratorRequest(started=started, past=past, new=new)
        context = orchestrators.context_text(request, http_poll_interval=_HTTP_POLL_INTERVAL)
        try:
            answer = orchestrators.response_of(self._handle(context))
        except Exception as error:
            answer = orchestrators.response_in_failure(function_failed(error))
        return replay_answer(past, new, answer, started=started, settings=self._settings).decisions

    def place_of(self, action: int | None) -> Place | None:
        """Return where an action was requested; None: where the code waits now."""
        return self._yields.last if action is None else self._yields.place_of(action)


async def _never_invoked(event: TriggerEvent) -> Returned:
    raise AssertionError("a replay does not invoke functions through the host")


# Descriptions in messages --------------------------------------------------------------------------------------


def _describe_recorded(recorded: HistoryEvent | None) -> str:
    match recorded:
        case None:
            return "nothing: the recorded execution made no further decision in this episode"
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


def _describe_decision(decision: Decision | None) -> str:
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

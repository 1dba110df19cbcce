"""Position of an orchestrator: at which action and line its code waits, from a replay with the app's code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta

from emulator.diagnosis.facts import ACTIONS, InstanceFacts, Position
from emulator.dotnet.json_reader import JsonReaderError
from emulator.durable.core.replay.actions import Action, WaitForExternalEvent, WhenAll, WhenAny
from emulator.durable.core.replay.nondeterminism import NonDeterminism
from emulator.durable.core.replay.program import ReplaySettings, open_wait
from emulator.durable.executor import OrchestratorRequest
from emulator.extensions.durable.protocol import orchestrators
from emulator.worker.tracing import Traced

Trace = Callable[[str, str, float], Awaitable[Traced | None]]
"""Replay an orchestrator function: its name, the trigger's value, a limit in seconds. None: unknown or too slow."""

# A function that has not returned by then blocks; its episodes would block, too.
_LONGEST_SECONDS = 3.0


async def position_of(facts: InstanceFacts, trace: Trace, function: str, *, http_poll_interval: timedelta) -> Position:
    """Return where an instance waits, by running the orchestrator `function` of the app on the stored history."""
    started = facts.started
    if started is None:
        return Position(problem="it has no history yet")
    # All events are past ones, so that the function sees `is_replaying` and its logging is that of a replay.
    request = OrchestratorRequest(started=started, past=facts.events, new=())
    try:
        context = orchestrators.context_text(request, http_poll_interval=http_poll_interval)
    except JsonReaderError as error:
        return Position(problem=f"its input is not JSON ({error})")
    traced = await trace(function, context, _LONGEST_SECONDS)
    if traced is None:
        return Position(
            problem=f"the orchestrator {function} is not one of this app's, or does not return when it is replayed"
        )
    if traced.failure is not None:
        response = orchestrators.response_in_failure(traced.failure)
    else:
        response = orchestrators.response_of(traced.response)
    # The instance has not failed, so its stored episodes ran with other code.
    if response.raised is not None:
        reason = response.raised.message.partition("\n")[0]
        return Position(place=traced.yields.last, problem=f"it raises an error: {reason}", fits=False)
    settings = ReplaySettings(http_poll_interval=http_poll_interval)
    try:
        wait = open_wait(facts.events, response, started=started, settings=settings)
    except NonDeterminism as difference:
        return Position(place=traced.yields.last, problem=str(difference), fits=False)
    numbers = [event.event_id for event in facts.events if isinstance(event, ACTIONS)]
    placed = {number: traced.yields.place_of(number) for number in numbers}
    return Position(
        wait=wait,
        place=traced.yields.last,
        places={number: place for number, place in placed.items() if place is not None},
        event_names=frozenset(_event_names(response.actions or ())),
    )


def _event_names(actions: Sequence[Action]) -> Iterator[str]:
    for action in actions:
        match action:
            case WaitForExternalEvent(name):
                yield name
            case WhenAny(inner) | WhenAll(inner):
                yield from _event_names(inner)
            case _:
                pass

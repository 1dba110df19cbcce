"""What the author of an app should be told about an episode: where Durable Functions behaves as few expect.

Each text says what happens, and what happens on Azure if that is something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from emulator.durable.core.events import HistoryEvent, SubOrchestrationInstanceFailed, TaskFailed
from emulator.durable.core.replay.actions import Action, Answer, CallActivity, CallSubOrchestrator, WhenAll, WhenAny
from emulator.durable.core.replay.context import OrchestrationContext
from emulator.durable.core.replay.external_events import Arrival, ExternalEvents, Happening, Reception
from emulator.durable.core.replay.nondeterminism import NonDeterminism


@dataclass(frozen=True, slots=True)
class Diagnostic:
    level: Literal["info", "warning", "error"]
    text: str


def nondeterminism_remark(difference: NonDeterminism) -> Diagnostic:
    return Diagnostic(
        "error",
        f"{difference} The instance fails. What the changed code wants to do is recorded and sent all the same, "
        "under ids that the history has already, as on Azure.",
    )


def remarks_on(
    context: OrchestrationContext,
    new: Sequence[HistoryEvent],
    unreached: Sequence[Action],
    answer: Answer,
    story: Sequence[Happening],
) -> Sequence[Diagnostic]:
    remarks = list(_on_events(context.events, [each for each in story if isinstance(each, Arrival)]))
    if context.continues_as_new and context.is_over:
        remarks += _on_lost_events(context.events)
    if unreached and not context.is_over and not context.is_suspended and _has_failure(new):
        remarks += _on_waiting_after_failure(context, answer, unreached)
    return remarks


def _on_events(events: ExternalEvents, arrivals: Sequence[Arrival]) -> Iterator[Diagnostic]:
    for arrival in arrivals:
        if arrival.waited_for not in (None, arrival.event.name):
            yield Diagnostic(
                "warning",
                f"The event '{arrival.event.name}' met a wait for '{arrival.waited_for}'. The Python SDK compares "
                "names with their letter case, so that the function goes on waiting.",
            )
    for name in dict.fromkeys(each.event.name for each in arrivals if each.reception is Reception.KEPT):
        if events.kept(name) > 1:
            yield Diagnostic(
                "warning",
                f"{events.kept(name)} events '{name}' came before the function waited for them. The Python SDK keeps "
                "one value per name: every wait for it gets the latest.",
            )


def _on_lost_events(events: ExternalEvents) -> Iterator[Diagnostic]:
    lost = events.unclaimed
    if lost:
        names = ", ".join(f"'{name}'" for name in lost)
        yield Diagnostic(
            "warning", f"Events that nobody waited for are lost as the function continues as new: {names}."
        )


def _on_waiting_after_failure(
    context: OrchestrationContext, answer: Answer, unreached: Sequence[Action]
) -> Iterator[Diagnostic]:
    yield Diagnostic(
        "info",
        f"A task of a task_all failed and the function went on, but its next action waits until the other "
        f"{context.running} running tasks have ended.",
    )
    awaited = (answer.actions or ())[-len(unreached) - 1]
    if _retries(awaited):
        yield Diagnostic(
            "warning",
            "One of them is called with retry. If it fails as well, its next attempt takes the id that the function "
            "expects for its next action, and the function may take the result of the one for that of the other. "
            "This is a defect of the Durable Functions protocol for Python; it happens on Azure, too.",
        )


def _has_failure(events: Sequence[HistoryEvent]) -> bool:
    return any(isinstance(event, TaskFailed | SubOrchestrationInstanceFailed) for event in events)


def _retries(action: Action) -> bool:
    match action:
        case WhenAll() | WhenAny():
            return any(_retries(each) for each in action.actions)
        case CallActivity() | CallSubOrchestrator():
            return action.retry is not None
        case _:
            return False

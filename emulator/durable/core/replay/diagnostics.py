"""Diagnostics of an episode: warnings for the author of an app where Durable Functions behaves unexpectedly.

Each text says what happens, and what happens on Azure if azemu differs.
Source: docs/protocol/durable-orchestration.md 4.5, 9.2 and 18.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from emulator.durable.core.events import HistoryEvent, SubOrchestrationInstanceFailed, TaskFailed
from emulator.durable.core.replay.actions import (
    Action,
    CallActivity,
    CallSubOrchestrator,
    OrchestratorResponse,
    WhenAll,
    WhenAny,
)
from emulator.durable.core.replay.context import OrchestrationContext
from emulator.durable.core.replay.external_events import EventDelivery, EventReceived, EventTrace, ExternalEvents
from emulator.durable.core.replay.nondeterminism import NonDeterminism


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Log line about an episode."""

    level: Literal["info", "warning", "error"]
    text: str


def nondeterminism_diagnostic(difference: NonDeterminism) -> Diagnostic:
    """Explain what happens to an instance whose code no longer produces its history."""
    return Diagnostic(
        "error",
        f"{difference} The instance fails, but the actions of the changed code are still recorded and sent, with ids "
        "that the history already contains. The same happens on Azure.",
    )


def diagnose(
    context: OrchestrationContext,
    new: Sequence[HistoryEvent],
    unreached: Sequence[Action],
    response: OrchestratorResponse,
    trace: Sequence[EventTrace],
) -> Sequence[Diagnostic]:
    """Return the diagnostics of an episode.

    `new`: its events. `unreached`: actions that the function requested and the replay did not begin. `trace`: external
    events of this episode.
    """
    diagnostics = list(_on_events(context.events, [entry for entry in trace if isinstance(entry, EventReceived)]))
    if context.continues_as_new and context.has_ended and context.events.unclaimed:
        names = ", ".join(f"'{name}'" for name in context.events.unclaimed)
        diagnostics.append(
            Diagnostic(
                "warning", f"Events that no task waited for are lost because the function continues as new: {names}."
            )
        )
    failed = any(isinstance(event, TaskFailed | SubOrchestrationInstanceFailed) for event in new)
    # Only after a failure can the function continue while the host still waits for other tasks.
    if failed and unreached and not context.has_ended and not context.is_suspended:
        diagnostics += _on_waiting_after_failure(context, response, unreached)
    return diagnostics


def _on_events(events: ExternalEvents, received: Sequence[EventReceived]) -> Iterator[Diagnostic]:
    for arrival in received:
        # The host has matched the names without letter case, as .NET does.
        if arrival.waited_for not in (None, arrival.event.name):
            yield Diagnostic(
                "warning",
                f"The event '{arrival.event.name}' matches a wait for '{arrival.waited_for}' except for its letter "
                "case. The Python SDK compares names with their letter case, so the function continues to wait.",
            )
    buffered = (arrival.event.name for arrival in received if arrival.delivery is EventDelivery.BUFFERED)
    for name in dict.fromkeys(buffered):
        if events.buffered(name) > 1:
            yield Diagnostic(
                "warning",
                f"{events.buffered(name)} events '{name}' arrived before the function waited for them. The Python SDK "
                "keeps one value per name: every wait for this name gets the latest.",
            )


def _on_waiting_after_failure(
    context: OrchestrationContext, response: OrchestratorResponse, unreached: Sequence[Action]
) -> Iterator[Diagnostic]:
    # The SDK resumes the function at the first failure in a task_all. The host, like .NET, begins the next action only
    # when all tasks of the task_all have ended.
    yield Diagnostic(
        "info",
        f"A task of a task_all failed and the function continued, but its next action waits until the other "
        f"{context.open_tasks} running tasks have ended.",
    )
    awaited = (response.actions or ())[-len(unreached) - 1]
    # The timer of a retry takes an id that the SDK, which has not seen that failure, gives to its next action.
    if _has_retry(awaited):
        yield Diagnostic(
            "warning",
            "A task of the task_all is called with retry. If it fails as well, its next attempt takes the id that the "
            "function expects for its next action, so the function may receive the result of the wrong task. "
            "This is a defect of the Durable Functions protocol for Python; it also happens on Azure.",
        )


def _has_retry(action: Action) -> bool:
    match action:
        case WhenAll() | WhenAny():
            return any(_has_retry(child) for child in action.actions)
        case CallActivity() | CallSubOrchestrator():
            return action.retry is not None
        case _:
            return False

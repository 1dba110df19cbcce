"""Visibility of queue messages: how long one stays hidden that is not due yet, or that failed.

Source: docs/protocol/task-hub-storage.md chapters 6.1 and 6.6 (durabletask: Messaging/TaskHubQueue.cs).
"""

from __future__ import annotations

from datetime import timedelta

from emulator.storage.port import MAX_HIDE, ZERO

POISON_COUNT = 10
"""From this dequeue count on, a failing message is reported as poison. As in .NET it stays in its queue."""

_LONGEST_ABANDON = timedelta(seconds=600)


def hidden_for(remaining: timedelta) -> timedelta:
    """Return how long to hide a message that is due in `remaining`: whole seconds, seven days at most.

    Rounded down, because the service counts visibility in whole seconds. The receiver waits for the rest of the last
    second, and hides a message again that is due after more than seven days.
    """
    return min(max(timedelta(seconds=remaining // timedelta(seconds=1)), ZERO), MAX_HIDE)


def abandoned_for(dequeue_count: int) -> timedelta:
    """Return the retry delay of a failed message: 2, 4, 8 … 512, then 600 seconds."""
    # The same as min(2**n, 600), without powers of large counts.
    if dequeue_count >= POISON_COUNT:
        return _LONGEST_ABANDON
    return timedelta(seconds=2**dequeue_count)

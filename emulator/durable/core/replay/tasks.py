"""Futures for a replay: everything happens at once, inside the call that makes it happen.

A program is a generator that yields the tasks it waits for. When a task ends, whoever waits for it goes on before
`succeed` or `fail` returns, as the continuations of the .NET orchestration context do. So the order of what follows
from an event is fixed by the event alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence


class Failure(Exception):
    """Why a task or a program failed. `details`: what a parent is told beside the message."""

    def __init__(self, message: str, details: str | None = None, *, stack: str = "", retriable: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.stack = stack
        self.retriable = retriable


class Task:
    """Open at first, then ended once with a result or a failure. Ending it again has no effect."""

    __slots__ = ("_waiting", "ended", "failure", "result")

    def __init__(self) -> None:
        self.ended = False
        self.result: str | None = None
        self.failure: Failure | None = None
        self._waiting: list[Callable[[], None]] = []

    def succeed(self, result: str | None = None) -> None:
        if not self.ended:
            self.result = result
            self._end()

    def fail(self, failure: Failure) -> None:
        if not self.ended:
            self.failure = failure
            self._end()

    def when_ended(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` when the task ends: now, if it has ended."""
        if self.ended:
            go_on()
        else:
            self._waiting.append(go_on)

    def _end(self) -> None:
        self.ended = True
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()


Program = Generator[Task, None, str | None]
"""Yields tasks to wait for; returns its result or raises Failure. Failures of the tasks are not thrown into it."""


def ended_task(result: str | None = None) -> Task:
    task = Task()
    task.succeed(result)
    return task


def run(program: Program) -> Task:
    """Run a program as far as it comes without waiting. The task ends with it."""
    outcome = Task()
    _go_on(program, outcome)
    return outcome


def _go_on(program: Program, outcome: Task) -> None:
    try:
        awaited = next(program)
        while awaited.ended:  # a loop, not a recursion: a long history ends thousands of tasks before the first wait
            awaited = next(program)
    except StopIteration as end:
        outcome.succeed(end.value)
    except Failure as failure:
        outcome.fail(failure)
    else:
        awaited.when_ended(lambda: _go_on(program, outcome))


def when_all(tasks: Sequence[Task]) -> Task:
    """Ends when all have ended, even after a failure; fails with the failure of the first failed one in order."""
    everything = Task()
    left = len(tasks)

    def one_ended() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            _end_like(next((task for task in tasks if task.failure), None), everything)

    for task in tasks:
        task.when_ended(one_ended)
    if not tasks:
        everything.succeed()
    return everything


def when_any(tasks: Sequence[Task]) -> Task:
    """Succeeds when the first one ends, however it ends."""
    anything = Task()
    for task in tasks:
        task.when_ended(anything.succeed)
    return anything


def _end_like(failed: Task | None, task: Task) -> None:
    if failed is not None and failed.failure is not None:
        task.fail(failed.failure)
    else:
        task.succeed()

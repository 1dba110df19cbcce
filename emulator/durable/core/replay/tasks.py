"""Tasks of a replay: futures whose continuations run synchronously, and generators that wait for them.

A program is a generator that yields the tasks it waits for. When a task ends, the programs that wait for it continue
before `succeed` or `fail` returns, like continuations in the .NET orchestration context. An event loop would run them
later, so that the numbers of new actions would depend on its scheduling and not on the history alone.
Source: docs/protocol/durable-orchestration.md 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence


class Failure(Exception):
    """Failure of a task or a program. `details`: second text that a parent receives. `stack`: of the user's code.

    `retriable`: False ends a call with retry at once.
    """

    def __init__(self, message: str, details: str | None = None, *, stack: str = "", retriable: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.stack = stack
        self.retriable = retriable


class Task:
    """Future of one action. It ends once, with a result (JSON text) or a failure; ending it again has no effect."""

    __slots__ = ("_continuations", "ended", "failure", "result")

    def __init__(self) -> None:
        self.ended = False
        self.result: str | None = None
        self.failure: Failure | None = None
        self._continuations: list[Callable[[], None]] = []

    def succeed(self, result: str | None = None) -> None:
        # Every child of a `when_any` ends its task; only the first end counts.
        if not self.ended:
            self.result = result
            self._end()

    def fail(self, failure: Failure) -> None:
        if not self.ended:
            self.failure = failure
            self._end()

    def when_ended(self, continuation: Callable[[], None]) -> None:
        """Call `continuation` when the task ends, or now if it has ended."""
        if self.ended:
            continuation()
        else:
            self._continuations.append(continuation)

    def _end(self) -> None:
        # First the state, then the continuations: they look at this task, and they may end others.
        self.ended = True
        continuations, self._continuations = self._continuations, []
        for continuation in continuations:
            continuation()


Program = Generator[Task, None, str | None]
"""Generator that yields tasks to wait for, and returns its result or raises Failure.

Failures of the tasks are not thrown into it; it looks at `Task.failure` where it needs them.
"""


def ended_task(result: str | None = None) -> Task:
    """Return a task that has succeeded."""
    task = Task()
    task.succeed(result)
    return task


def run(program: Program) -> Task:
    """Run a program until it has to wait. Return a task that ends with the program."""
    outcome = Task()
    _advance(program, outcome)
    return outcome


def _advance(program: Program, outcome: Task) -> None:
    try:
        awaited = next(program)
        # A loop and not a recursion: in a long history thousands of tasks have ended before the first wait.
        while awaited.ended:
            awaited = next(program)
    except StopIteration as end:
        outcome.succeed(end.value)
    except Failure as failure:
        outcome.fail(failure)
    else:
        awaited.when_ended(lambda: _advance(program, outcome))


def when_all(tasks: Sequence[Task]) -> Task:
    """Return a task that ends when all tasks have ended, even if one fails before.

    It fails with the failure of the first failed task in the order of `tasks`.
    """
    combined = Task()
    left = len(tasks)

    def count_ended() -> None:
        nonlocal left
        left -= 1
        # .NET's WhenAll waits for all even after a failure. Python's task_all does not, which is why the two replays
        # can be at different actions (docs/protocol/durable-orchestration.md 4.5).
        if left == 0:
            failures = [task.failure for task in tasks if task.failure is not None]
            if failures:
                combined.fail(failures[0])
            else:
                combined.succeed()

    for task in tasks:
        task.when_ended(count_ended)
    if not tasks:
        combined.succeed()
    return combined


def when_any(tasks: Sequence[Task]) -> Task:
    """Return a task that succeeds when the first of the tasks ends, with a result or a failure."""
    first = Task()
    # A failed or cancelled child ends it too, as in .NET. So a cancelled timer ends it at once.
    for task in tasks:
        task.when_ended(first.succeed)
    return first

"""Yields of an orchestrator: what its generator yields, and at which line of the user's code.

yields = Yields()
handle = azure.durable_functions.Orchestrator.create(yields.observed(user_function))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

Orchestrate = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of source code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Yielded:
    """A yield of user code. `value` is normally a task of the SDK."""

    value: Any
    place: Place


class Yields:
    """The yields of one call of an orchestrator, in order. `around` is entered whenever user code runs."""

    def __init__(self, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        self.steps: list[Yielded] = []
        self._around = around

    def observed(self, function: Orchestrate) -> Orchestrate:
        """Return a function for the SDK that does the same and records the yields of its last call."""

        @functools.wraps(function)
        def orchestrate(context: Any) -> Any:
            self.steps.clear()
            with self._around():
                result = function(context)
            # By the result, not by the function: a plain function may return a generator.
            return self._follow(result) if inspect.isgenerator(result) else result

        return orchestrate

    @property
    def last(self) -> Place | None:
        """The place of the last yield."""
        return self.steps[-1].place if self.steps else None

    def place_of(self, number: int) -> Place | None:
        """Return where the action with this number was requested, or the yield before it if that is not known.

        The SDK numbers tasks when they are created, but only yields are observed; a task may be created long before it
        is yielded, or never be yielded.
        """
        place = None
        for step in self.steps:
            numbers = list(_task_numbers(step.value))
            if numbers and min(numbers) > number:
                break
            place = step.place
            if number in numbers:
                break
        return place

    def _follow(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Behave like the generator, and record each yield."""
        # Not `yield from`: user code must run inside `around`, and only there.
        advance: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with self._around():
                    task = advance()
            except StopIteration as end:
                return end.value
            # The place is in the innermost generator: user code may delegate with `yield from`.
            inner: Any = generator
            while inspect.isgenerator(inner.gi_yieldfrom):
                inner = inner.gi_yieldfrom
            frame, code = inner.gi_frame, inner.gi_code
            line = code.co_firstlineno if frame is None else frame.f_lineno
            self.steps.append(Yielded(task, Place(code.co_filename, line)))
            try:
                result = yield task
            except Exception as error:
                advance = functools.partial(generator.throw, error)
            else:
                advance = functools.partial(generator.send, result)


def _task_numbers(task: Any) -> Iterator[int]:
    # The SDK gives numbers to actions only; a compound task (task_all, task_any) has those of its children.
    number = getattr(task, "id", None)
    if isinstance(number, int) and number >= 0:
        yield number
    children: Sequence[Any] = getattr(task, "children", None) or ()
    for child in children:
        yield from _task_numbers(child)

"""Where in the user's code an orchestrator asked for something: its generator, watched from outside.

steps = Yields()
handle = azure.durable_functions.Orchestrator.create(steps.watch(user_function))
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
    """`what` the user's code yielded, normally a task of the SDK, and where."""

    what: Any
    place: Place


class Yields:
    """What one call of an orchestrator yielded, in order. `around`: entered whenever user code runs."""

    def __init__(self, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        self.steps: list[Yielded] = []
        self._around = around

    def watch(self, function: Orchestrate) -> Orchestrate:
        """The same function for the SDK. Only when it is called can be told whether it is a generator function."""

        @functools.wraps(function)
        def orchestrate(context: Any) -> Any:
            self.steps.clear()
            with self._around():
                result = function(context)
            return self._follow(result) if inspect.isgenerator(result) else result

        return orchestrate

    @property
    def last(self) -> Place | None:
        return self.steps[-1].place if self.steps else None

    def place_of(self, number: int) -> Place | None:
        """Where the action with this number was asked for; the step before it when that cannot be told exactly."""
        found = None
        for step in self.steps:
            numbers = list(_numbers(step.what))
            if numbers and min(numbers) > number:
                break
            found = step.place
            if number in numbers:
                break
        return found

    def _follow(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        advance: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with self._around():
                    task = advance()
            except StopIteration as end:
                return end.value
            self.steps.append(Yielded(task, _place(generator)))
            try:
                result = yield task
            except Exception as error:
                advance = functools.partial(generator.throw, error)
            else:
                advance = functools.partial(generator.send, result)


def _place(generator: Generator[Any, Any, Any]) -> Place:
    """Where it stands: in the innermost of the generators that it delegates to."""
    inner: Any = generator
    while inspect.isgenerator(inner.gi_yieldfrom):
        inner = inner.gi_yieldfrom
    frame = inner.gi_frame
    return Place(inner.gi_code.co_filename, inner.gi_code.co_firstlineno if frame is None else frame.f_lineno)


def _numbers(task: Any) -> Iterator[int]:
    """The numbers that the SDK has given to a task and to the tasks that it is made of."""
    number = getattr(task, "id", None)
    if isinstance(number, int) and number >= 0:
        yield number
    children: Sequence[Any] = getattr(task, "children", None) or ()
    for child in children:
        yield from _numbers(child)

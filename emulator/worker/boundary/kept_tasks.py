"""Strong references to the tasks of an event loop, so that none is garbage-collected before it is done."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class KeptTasks:
    """The tasks of one loop that are not done.

    asyncio itself refers to tasks only weakly. A task that waits for an object to which only the task refers is part of
    a reference cycle, which the garbage collector removes: the task would never end, and nothing would be logged.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep all tasks that are created on the loop from now on, also by user code (`asyncio.create_task`)."""

        def new_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            return self.keep(asyncio.Task(coroutine, loop=loop, **options))

        loop.set_task_factory(new_task)

    def keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Refer to a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

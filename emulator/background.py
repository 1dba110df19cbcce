"""Background tasks with a bounded lifetime, and coroutines that run to completion in spite of cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None], *, name: str | None = None) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` while the body runs; leaving the body cancels it and waits for its end.

    If `work` raises, the body is cancelled and the `async with` raises the error, so that no part of the host stops
    without being noticed. If `work` returns, the body continues.
    """
    async with task_group() as group:
        task = group.create_task(work, name=name)
        try:
            yield task
        finally:
            # The group would otherwise wait until the task ends by itself.
            task.cancel()


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises a single error as it is, not inside an exception group.

    Callers can then catch it by its class.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        # Several errors stay a group, so that none is lost.
        if len(failed.exceptions) == 1:
            error = failed.exceptions[0]
            # Not from the group, but its own cause is kept.
            raise error from error.__cause__
        raise


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end, even if the caller is cancelled; the caller gets its CancelledError afterwards.

    In that case an error of `work` is dropped.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # The caller may be cancelled several times, for example by a timeout and then by the stop of the host.
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            # Marks the error as seen. asyncio would otherwise log it when the task is deleted.
            task.exception()
        raise

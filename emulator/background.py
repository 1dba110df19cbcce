"""Run coroutines beside a `with` body, or to completion in spite of cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None], *, name: str | None = None) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` while the body runs; leaving the body cancels it and waits for its end.

    If `work` raises, the body is cancelled and the error comes out of the `async with`: nothing in the host dies
    unnoticed. If `work` returns, the body goes on.
    """
    async with task_group() as group:
        task = group.create_task(work, name=name)
        try:
            yield task
        finally:
            task.cancel()


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup out of which a single error comes as it is, not packed into a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) == 1:
            raise failed.exceptions[0] from None
        raise


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end. A caller that is cancelled meanwhile learns so afterwards.

    What `work` raises then is lost: the caller is gone.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise

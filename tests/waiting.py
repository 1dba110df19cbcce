"""Waiting for a fact that a test cannot await otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, overload

import pytest

from emulator.clock import Clock, SystemClock

T = TypeVar("T")

# Far more than anything takes on a busy machine: a test that passes does not wait for it.
PATIENCE_SECONDS = 60.0


@overload
async def eventually(
    condition: Callable[[], Awaitable[T | None]],
    what: str,
    *,
    within: float = ...,
    clock: Clock | None = ...,
    every: float = ...,
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T | None], what: str, *, within: float = ..., clock: Clock | None = ..., every: float = ...
) -> T: ...
async def eventually(
    condition: Callable[[], Any],
    what: str,
    *,
    within: float = PATIENCE_SECONDS,
    clock: Clock | None = None,
    every: float = 0.02,
) -> Any:
    """Call `condition` until its result is true, and return that. Fails with `what`, a noun phrase, after `within` s.

    `clock`: default real time. In virtual time, the waits between the calls let time pass.
    """
    clock = clock or SystemClock()
    began = clock.now()
    while True:
        result = condition()
        if isawaitable(result):
            result = await result
        if result:
            return result
        if (clock.now() - began).total_seconds() >= within:
            raise AssertionError(f"{what}: not within {within:g} seconds; last result: {result!r}")
        await clock.sleep(every)


def eventually_sync(
    condition: Callable[[], T | None], what: str, *, within: float = PATIENCE_SECONDS, every: float = 0.05
) -> T:
    """`eventually` for tests without an event loop, in real time."""
    return asyncio.run(eventually(condition, what, within=within, every=every))


async def logged(caplog: pytest.LogCaptureFixture, text: str, *, clock: Clock | None = None) -> None:
    """Wait until something has been logged."""
    await eventually(lambda: text in caplog.text, f"log line with {text!r}", clock=clock)

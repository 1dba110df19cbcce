"""A built-in store in virtual time; time passes by itself whenever no task is running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock, VirtualTimeLoop


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    with loop.clock.running():
        yield loop.clock


@pytest.fixture
async def account(clock: VirtualClock) -> AsyncIterator[StorageAccount]:
    async with open_builtin(None, clock) as account:
        yield account

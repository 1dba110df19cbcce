"""Host locks without a storage account: one holder at a time in this process."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from emulator.host.local_locks import LocalHostLocks
from emulator.host.port import HostLocks


async def test_a_lock_is_held_by_one_at_a_time() -> None:
    locks: HostLocks = LocalHostLocks()
    running: list[str] = []

    async def hold(lock: AbstractAsyncContextManager[None], name: str) -> None:
        async with lock:
            assert running == []
            running.append(name)
            await asyncio.sleep(0)
            running.remove(name)

    await asyncio.gather(*(hold(locks.listener("F"), str(number)) for number in range(3)))
    await asyncio.gather(*(hold(locks.singleton("scope"), str(number)) for number in range(3)))


async def test_different_locks_do_not_exclude_each_other() -> None:
    locks: HostLocks = LocalHostLocks()
    async with locks.running(), locks.listener("F"), locks.listener("G"), locks.singleton("F"):
        assert locks.is_primary

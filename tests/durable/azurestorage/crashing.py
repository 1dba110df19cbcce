"""A storage account whose host crashes at its n-th call: that call and all later ones fail.

`emulator.chaos.storage` has the faults of a seed; the tests here go through all calls one after the other.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
from collections.abc import AsyncIterator
from typing import Any, cast

from emulator.storage.port import StorageAccount, StorageUnreachable

_HANDLES = {"queue", "table", "container", "lease"}


class Moment(enum.Enum):
    BEFORE = "before"  # the request never reached the service
    AFTER = "after"  # the service has done it, but the answer is lost


class CrashPoint:
    """The call at which a host crashes.

    `at`: number of the call from 0, or a pair: the n-th call of a kind, from 1. None: no crash. `once`: only that call
    fails, and the host goes on. `calls`: how many calls the host has made. `sent`: texts put into queues.
    """

    def __init__(
        self, at: int | tuple[str, int] | None = None, moment: Moment = Moment.BEFORE, *, once: bool = False
    ) -> None:
        self.calls = 0
        self.log: list[str] = []
        self.sent: list[str] = []
        self.happened = asyncio.Event()
        self._at = at
        self._moment = moment
        self._once = once

    def account(self, real: StorageAccount) -> StorageAccount:
        return cast(StorageAccount, _CrashingAccount(real, self))

    def enter(self, call: str) -> bool:
        """Count a call; True if it is the last one and still happens."""
        if self.happened.is_set() and not self._once:
            raise StorageUnreachable(f"crashed before {call}")
        self.log.append(call)
        self.calls += 1
        number: object = (call, self.log.count(call)) if isinstance(self._at, tuple) else self.calls - 1
        if number != self._at:
            return False
        if self._moment is Moment.AFTER:
            return True
        self.happened.set()
        raise StorageUnreachable(f"crashed before {call}")

    def leave(self, call: str) -> None:
        self.happened.set()
        raise StorageUnreachable(f"crashed after {call}")


class _CrashingAccount:
    def __init__(self, real: Any, crash: CrashPoint) -> None:
        self._real = real
        self._crash = crash

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in _HANDLES:
            return lambda *args, **named: _CrashingAccount(found(*args, **named), self._crash)
        if inspect.isasyncgenfunction(found):
            return self._iterating(name, found)
        if inspect.iscoroutinefunction(found) and name != "wait":
            return self._calling(name, found)
        return found

    def _calling(self, name: str, method: Any) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            is_last = self._crash.enter(self._described(name))
            answer = await method(*args, **named)
            if name == "put":
                self._crash.sent.append(args[0])
            if is_last:
                self._crash.leave(name)
            return answer

        return call

    def _iterating(self, name: str, method: Any) -> Any:
        async def iterate(*args: Any, **named: Any) -> AsyncIterator[Any]:
            is_last = self._crash.enter(self._described(name))
            async for item in method(*args, **named):
                yield item
            if is_last:
                self._crash.leave(name)

        return iterate

    def _described(self, name: str) -> str:
        return f"{name} {getattr(self._real, 'name', '')}"

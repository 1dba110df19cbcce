"""A storage account whose host crashes at the n-th call: that call and all later ones fail.

Or, when the death is a mere `lapse`, that call only.
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


class Death:
    """`calls` counts what was asked of storage so far. `at` None: lives for ever; a pair: the n-th call
    of a kind, from 1. `sent`: texts put into queues.
    """

    def __init__(
        self, at: int | tuple[str, int] | None = None, moment: Moment = Moment.BEFORE, *, lapse: bool = False
    ) -> None:
        self.calls = 0
        self.log: list[str] = []
        self.sent: list[str] = []
        self.happened = asyncio.Event()
        self._at = at
        self._moment = moment
        self._lapse = lapse

    def account(self, real: StorageAccount) -> StorageAccount:
        return cast(StorageAccount, _Mortal(real, self))

    def enter(self, call: str) -> bool:
        """Count a call; True if it is the last one and still happens."""
        if self.happened.is_set() and not self._lapse:
            raise StorageUnreachable(f"dead before {call}")
        self.log.append(call)
        self.calls += 1
        number: object = (call, self.log.count(call)) if isinstance(self._at, tuple) else self.calls - 1
        if number != self._at:
            return False
        if self._moment is Moment.AFTER:
            return True
        self.happened.set()
        raise StorageUnreachable(f"died before {call}")

    def leave(self, call: str) -> None:
        self.happened.set()
        raise StorageUnreachable(f"died after {call}")


class _Mortal:
    def __init__(self, real: Any, death: Death) -> None:
        self._real = real
        self._death = death

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in _HANDLES:
            return lambda *args, **named: _Mortal(found(*args, **named), self._death)
        if inspect.isasyncgenfunction(found):
            return self._iterating(name, found)
        if inspect.iscoroutinefunction(found) and name != "wait":
            return self._calling(name, found)
        return found

    def _calling(self, name: str, method: Any) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            is_last = self._death.enter(self._described(name))
            answer = await method(*args, **named)
            if name == "put":
                self._death.sent.append(args[0])
            if is_last:
                self._death.leave(name)
            return answer

        return call

    def _iterating(self, name: str, method: Any) -> Any:
        async def iterate(*args: Any, **named: Any) -> AsyncIterator[Any]:
            is_last = self._death.enter(self._described(name))
            async for item in method(*args, **named):
                yield item
            if is_last:
                self._death.leave(name)

        return iterate

    def _described(self, name: str) -> str:
        return f"{name} {getattr(self._real, 'name', '')}"

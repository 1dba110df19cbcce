"""Storage account that notes what a host changes in it, in the vocabulary of the recordings, and can be cut off.

calls = StorageCalls()
async with run_app(folder, around_account=calls.around) as app:
    ...
calls.changes  # [Change("put", "orders-poison", {"body": "…"}), …]
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from emulator.storage.availability import AccountAvailability
from emulator.storage.port import StorageAccount

# Methods of a queue, table, container or lease that change storage, with the operation's name in the recordings.
_QUEUE = {"create": "create", "drop": "drop", "put": "put", "hide": "update", "delete": "delete", "clear": "clear"}
_CONTAINER = {
    "create": "create container",
    "drop": "delete container",
    "write": "put blob",
    "write_blocks": "put block list",
    "delete": "delete blob",
    "set_metadata": "set metadata",
}
_LEASE = {
    "acquire": "lease acquire",
    "renew": "lease renew",
    "change": "lease change",
    "release": "lease release",
    "break_": "lease break",
}
_TABLE = {"create": "create table", "drop": "drop table", "submit": "submit"}
_OPERATIONS = {"queue": _QUEUE, "table": _TABLE, "container": _CONTAINER, "lease": _LEASE}


@dataclass(frozen=True, slots=True)
class Change:
    """A successful call that changed storage.

    `operation`: as the recordings name it. `target`: a queue, table or container, or "container/blob". `arguments`:
    those of the method of the storage port, by the names of its parameters. `answer`: what it has returned.
    """

    operation: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    answer: Any = field(default=None, compare=False)


class StorageCalls:
    """Changes that a host has made, in order.

    `cut_off` True: no call gets a response, as in an outage. `before_failing`: awaited by such a call,
    which is made after all if the storage is back then. `failing`: errors that calls raise, by operation and target;
    target "" means any. `failed`: how many have done so.
    """

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.cut_off = False
        self.before_failing: Callable[[], Awaitable[None]] | None = None
        # This is above the real account, so it notes the outage as a client would.
        self.availability = AccountAvailability("cut off by the test", log_outages=True).service("all")
        self.failing: dict[tuple[str, str], Exception] = {}
        self.failed = 0

    def around(self, account: StorageAccount) -> StorageAccount:
        """Wrap an account (`open_app(…, around_account=…)`)."""
        return cast(StorageAccount, _Observed(account, self, "", {}))

    def of(self, target: str) -> list[Change]:
        """Return the changes of one queue, table, container or blob."""
        return [change for change in self.changes if change.target == target]


class _Observed:
    def __init__(self, real: Any, calls: StorageCalls, target: str, operations: Mapping[str, str]) -> None:
        self._real = real
        self._calls = calls
        self._target = target
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in _OPERATIONS:
            return self._opening(name, found)
        if inspect.isasyncgenfunction(found):
            return self._listing(found)
        if inspect.iscoroutinefunction(found) and name != "wait":
            return self._calling(name, found)
        return found

    def _opening(self, kind: str, method: Any) -> Any:
        def open_(*arguments: Any, **named: Any) -> _Observed:
            within = (self._target, *arguments, *named.values())
            target = "/".join(str(part) for part in within if part)
            return _Observed(method(*arguments, **named), self._calls, target, _OPERATIONS[kind])

        return open_

    def _calling(self, name: str, method: Any) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            await self._check()
            operation = self._operations.get(name)
            given = inspect.signature(method).bind(*arguments, **named).arguments
            blob = given.pop("blob", None)
            target = f"{self._target}/{blob}" if blob else self._target
            if operation:
                failing = self._calls.failing
                if (error := failing.get((operation, target)) or failing.get((operation, ""))) is not None:
                    self._calls.failed += 1
                    raise error
            answer = await method(*arguments, **named)
            self._calls.availability.answered()
            if operation:
                self._calls.changes.append(Change(operation, target, given, answer))
            return answer

        return call

    def _listing(self, method: Any) -> Any:
        async def pages(*arguments: Any, **named: Any) -> Any:
            await self._check()
            async for item in method(*arguments, **named):
                yield item

        return pages

    async def _check(self) -> None:
        availability, responses = self._calls.availability, self._calls.availability.responses
        if self._calls.cut_off and self._calls.before_failing is not None:
            await self._calls.before_failing()
        if self._calls.cut_off:
            availability.unanswered(since=responses)
            raise availability.error(f"{self._target}: the test has cut the storage off")

"""Storage account with faults: a wrapper of the storage port that follows a plan.

    crash = Crash()
    account = around_account(account, plan, clock=clock, crash=crash)
    async with open_app(options, around_account=lambda account: …):
        await crash.happened.wait()          # no storage call of this host has an effect any more: close it

Every fault is one that the port allows (see `emulator.storage.port`): an unreachable service, an answer that was lost
after the operation was done, messages that come late, twice or in another order, a lock that another host has now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from emulator.chaos.plan import CRASHES, Fault, FaultPlan, Injected
from emulator.clock import Clock
from emulator.storage.port import (
    ANY_ETAG,
    ZERO,
    AlreadyExists,
    BlobContainer,
    Lease,
    PopReceiptMismatch,
    PreconditionFailed,
    Queue,
    QueueMessage,
    StorageAccount,
    StorageOutage,
    Table,
    TableOperation,
)
from emulator.storage.wrapped import WrappedAccount, WrappedContainer, WrappedLease, WrappedQueue, WrappedTable

T = TypeVar("T")

_MAX_DELAY_SECONDS = 3.0
_ANY_CALL = frozenset((Fault.FAIL_BEFORE, Fault.FAIL_AFTER, Fault.DELAY, *CRASHES))
_PUT = _ANY_CALL | {Fault.DUPLICATE}
_LOCKED = _ANY_CALL | {Fault.LOSE_LOCK}
# A call that returned nothing has no fault, and one that was not sent is like one that came later.
_GET = frozenset((Fault.FAIL_AFTER, Fault.REORDER, Fault.CRASH_AFTER))


class Crash:
    """The end of one host. `happened`: set at the crash; `fault`: what caused it, once it has happened.

    `then`: called at that moment, for example to end the process.
    """

    def __init__(self, then: Callable[[Injected], object] = lambda fault: None) -> None:
        self.happened = asyncio.Event()
        self.fault: Injected | None = None
        self._then = then

    def now(self, fault: Injected) -> None:
        """Crash. Every further storage call of the host raises StorageOutage."""
        self.fault = fault
        self.happened.set()
        self._then(fault)


def around_account(
    account: StorageAccount,
    plan: FaultPlan,
    *,
    clock: Clock,
    crash: Crash,
    host: str = "",
    is_spared: Callable[[], bool] = lambda: False,
    before_call: Callable[[], Awaitable[bool]] | None = None,
) -> StorageAccount:
    """Return the account with the faults of `plan`.

    `crash`: the end of the host that uses the account; several accounts of one host share it. `host`: begins the names
    of access points if several hosts share the plan. `is_spared`: whether the running task's calls have no faults.
    `before_call`: awaited before every other call; returns whether the host may crash now.
    """
    return _Account(account, _Faults(plan, clock, crash, f"{host}/" if host else "", is_spared, before_call))


@dataclass(frozen=True, slots=True)
class _Faults:
    """What the objects of one account share."""

    plan: FaultPlan
    clock: Clock
    crash: Crash
    prefix: str
    is_spared: Callable[[], bool]
    before_call: Callable[[], Awaitable[bool]] | None

    async def call(self, operation: str, target: str, work: Callable[[], Awaitable[T]], /) -> T:
        """Do a call with its fault, if that is none of those that only some calls have."""
        fault = await self.begin(operation, target, _ANY_CALL)
        return await self.end(fault, work)

    async def begin(self, operation: str, target: str, possible: Collection[Fault]) -> Injected | None:
        """Return the fault of a call that is about to be made. Raises StorageOutage after a crash."""
        self._check_alive(operation)
        if not self.plan.active or self.is_spared():
            return None
        if self.before_call is not None:
            if not await self.before_call():
                possible = set(possible) - CRASHES
            self._check_alive(operation)
        return self.plan.fault_at(f"{self.prefix}{operation}", target, possible)

    async def end(self, injected: Injected | None, work: Callable[[], Awaitable[T]]) -> T:
        """Do the call with a fault that any call can have; another fault has been seen to already."""
        match None if injected is None else injected.fault:
            case Fault.FAIL_BEFORE | Fault.CRASH_BEFORE:
                raise self._lost(injected)
            case Fault.FAIL_AFTER | Fault.CRASH_AFTER:
                await work()
                raise self._lost(injected)
            case Fault.DELAY:
                await self.clock.sleep(self.seconds(injected))
                self._check_alive("a delayed call")
        answer = await work()
        # A host that has crashed meanwhile does not get the answer.
        self._check_alive("a call in progress")
        return answer

    def seconds(self, injected: Injected | None) -> float:
        """Return how long a delay is."""
        return 0.0 if injected is None else injected.amount * _MAX_DELAY_SECONDS

    def _lost(self, injected: Injected | None) -> StorageOutage:
        assert injected is not None
        if injected.fault in CRASHES:
            self.crash.now(injected)
        # An outage, which no loop logs: the report of the run has all faults.
        return StorageOutage(f"Chaos: {injected}.")

    def _check_alive(self, operation: str) -> None:
        if self.crash.happened.is_set():
            raise StorageOutage(f"Chaos: the host has crashed before {operation}.")


class _Queue(WrappedQueue):
    def __init__(self, real: Queue, faults: _Faults) -> None:
        super().__init__(real, faults.call)
        self._faults = faults

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        fault = await self._faults.begin("queue.put", self.name, _PUT)
        if fault is not None and fault.fault is Fault.DELAY:
            # The call is in time, but the message is not.
            later = visible_in + timedelta(seconds=1 + self._faults.seconds(fault))
            return await self._real.put(body, visible_in=later, lives_for=lives_for)
        if fault is not None and fault.fault is Fault.DUPLICATE:
            await self._real.put(body, visible_in=visible_in, lives_for=lives_for)
        return await self._faults.end(fault, lambda: self._real.put(body, visible_in=visible_in, lives_for=lives_for))

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        # Polls that find nothing are not counted: their number depends on the time that passes.
        messages = await self._faults.end(None, lambda: self._real.get(limit=limit, hide_for=hide_for))
        if not messages:
            return messages
        fault = await self._faults.begin("queue.get", self.name, _GET)
        if fault is not None and fault.fault is Fault.REORDER:
            first = int(fault.amount * len(messages))
            return [*reversed(messages[first:]), *messages[:first]]

        async def answer() -> list[QueueMessage]:
            return messages

        return await self._faults.end(fault, answer)

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        fault = await self._faults.begin("queue.hide", self.name, _LOCKED)
        await self._lose_lock(fault, message)
        return await self._faults.end(fault, lambda: self._real.hide(message, hide_for=hide_for, body=body))

    async def delete(self, message: QueueMessage) -> None:
        fault = await self._faults.begin("queue.delete", self.name, _LOCKED)
        await self._lose_lock(fault, message)
        await self._faults.end(fault, lambda: self._real.delete(message))

    async def _lose_lock(self, injected: Injected | None, message: QueueMessage) -> None:
        """Make a message visible, as if its visibility timeout had ended: its receipt is outdated then."""
        if injected is not None and injected.fault is Fault.LOSE_LOCK:
            await self._real.hide(message, hide_for=ZERO)
            raise PopReceiptMismatch(f"Chaos: {injected}.", status=400, code="PopReceiptMismatch")


class _Table(WrappedTable):
    def __init__(self, real: Table, faults: _Faults) -> None:
        super().__init__(real, faults.call)
        self._faults = faults

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        is_conditional = any(operation.if_match not in (None, ANY_ETAG) for operation in operations)
        possible = _LOCKED if is_conditional else _ANY_CALL
        fault = await self._faults.begin("table.submit", self.name, possible)
        if fault is not None and fault.fault is Fault.LOSE_LOCK:
            raise PreconditionFailed(f"Chaos: {fault}.", status=412, code="UpdateConditionNotSatisfied", failed_index=0)
        return await self._faults.end(fault, lambda: self._real.submit(operations))


class _Lease(WrappedLease):
    def __init__(self, real: Lease, target: str, faults: _Faults) -> None:
        super().__init__(real, target, faults.call)
        self._faults = faults

    async def renew(self, lease_id: str) -> None:
        fault = await self._faults.begin("lease.renew", self._target, _LOCKED)
        if fault is not None and fault.fault is Fault.LOSE_LOCK:
            await self._real.break_(after=ZERO)
            raise AlreadyExists(f"Chaos: {fault}.", status=409, code="LeaseIdMismatchWithLeaseOperation")
        await self._faults.end(fault, lambda: self._real.renew(lease_id))


class _Container(WrappedContainer):
    def __init__(self, real: BlobContainer, faults: _Faults) -> None:
        super().__init__(real, faults.call)
        self._faults = faults

    def _lease(self, real: Lease, target: str) -> Lease:
        return _Lease(real, target, self._faults)


class _Account(WrappedAccount):
    def __init__(self, real: StorageAccount, faults: _Faults) -> None:
        super().__init__(real, faults.call)
        self._faults = faults

    def queue(self, name: str) -> Queue:
        return _Queue(self._real.queue(name), self._faults)

    def table(self, name: str) -> Table:
        return _Table(self._real.table(name), self._faults)

    def container(self, name: str) -> BlobContainer:
        return _Container(self._real.container(name), self._faults)

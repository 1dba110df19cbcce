"""Host locks: blob leases by which one host of an app at a time runs a listener or a singleton, or is primary host.

| lock | blob in container azure-webjobs-hosts | lease | renewed every | metadata |
|---|---|---|---|---|
| primary host | `locks/<host id>/host` | 15 s | 12 s | FunctionInstance = instance id |
| listener | `locks/<host id>/Host.Functions.<function>.Listener` | 60 s | 30 s | none |
| singleton | `locks/<host id>/<scope>` | 15 s | 7.5 s | FunctionInstance = instance id |

The blobs are those of the Functions host, so its hosts and those of azemu exclude each other. Three things differ on
purpose: a held lock is checked every 5 s (.NET: a listener lock every 60 s), a lock that a killed host of the same
folder has left is taken over at once (lease_journal.py), and losing a lock stops its listener, not the process.
Source: docs/protocol/functions-host.md 9.1, 9.2, and 12 (numbers 12 and 20; webjobs-sdk:
BlobLeaseDistributedLockManager, SingletonManager).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from emulator.background import background, run_to_completion
from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.host.lease_journal import LeaseJournal
from emulator.ids import NewId, hyphenated
from emulator.logs import get_logger
from emulator.polling.log_once import LogOnce
from emulator.storage.port import (
    AlreadyExists,
    BlobContainer,
    LeaseState,
    NotFound,
    PreconditionFailed,
    StorageOutage,
)

_log = get_logger(__name__)

CONTAINER = "azure-webjobs-hosts"

_OWNER = "FunctionInstance"
_PRIMARY_LEASE = timedelta(seconds=15)
_PRIMARY_RENEWAL = timedelta(seconds=12)
_RETRY_EVERY = timedelta(seconds=5)
# While storage does not answer, a renewal is repeated until the lease ends by this host's clock.
_RENEWAL_RETRY = timedelta(seconds=1)


class HostLockLost(EmulatorError):
    """Another host may have the lock: what it protects must stop at once."""


class BlobHostLocks:
    """The locks of one host (`host.port.HostLocks`).

    `container`: azure-webjobs-hosts of the storage account AzureWebJobsStorage; it is created when the first lock is
    taken. `host_id`: the same for all hosts of an app. `instance_id`: 32 hex digits, different for each host.
    `listener_lease`, `singleton_lease`: host.json singleton.listenerLockPeriod and singleton.lockPeriod, 15 to 60 s.
    `journal`: where the leases are noted for the host after a kill; None: that host waits until they end.
    """

    def __init__(
        self,
        container: BlobContainer,
        host_id: str,
        *,
        clock: Clock,
        new_id: NewId,
        instance_id: str | None = None,
        listener_lease: timedelta = timedelta(seconds=60),
        singleton_lease: timedelta = timedelta(seconds=15),
        journal: LeaseJournal | None = None,
    ) -> None:
        self._container = container
        self._host_id = host_id
        self._clock = clock
        self._new_id = new_id
        # On Azure it is WEBSITE_INSTANCE_ID. Only its uniqueness counts for the lock.
        self._instance_id = instance_id or new_id()
        self._listener_lease = listener_lease
        self._singleton_lease = singleton_lease
        self._journal = journal
        self._primary = self._lock("host", _PRIMARY_LEASE, _PRIMARY_RENEWAL, owner=self._instance_id)

    @property
    def is_primary(self) -> bool:
        """Whether this host is the primary host at this moment; kept up to date by `running`."""
        return self._primary.is_held

    @asynccontextmanager
    async def listener(self, function_name: str, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
        """Wait for the listener lock of a function and hold it while the body runs.

        `on_wait`: called when another host has the lock. If the lock is lost, the body is cancelled and HostLockLost is
        raised; entering again waits for the lock.
        """
        name = f"Host.Functions.{function_name}.Listener"
        lock = self._lock(name, self._listener_lease, self._listener_lease / 2, owner=None)
        async with self._holding(lock, f'The listener of function "{function_name}"', on_wait):
            yield

    @asynccontextmanager
    async def singleton(self, scope: str, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
        """Wait for the lock of a scope and hold it while the body runs. `on_wait` and errors as of `listener`.

        A scope that ends in `.Listener`, as `WebJobs.Internal.Blobs.Listener` of the blob scanner, is a listener lock.
        """
        is_listener = scope.endswith(".Listener")
        lease = self._listener_lease if is_listener else self._singleton_lease
        lock = self._lock(scope, lease, lease / 2, owner=None if is_listener else self._instance_id)
        async with self._holding(lock, f'The singleton "{scope}"', on_wait):
            yield

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Try to become primary host, and to stay it, while the body runs; leaving it releases the lock."""
        try:
            async with background(self._be_primary(), name="primary host"):
                yield
        finally:
            # After an orderly stop another host should not wait for the rest of the lease.
            if await run_to_completion(self._primary.release()):
                _log.debug("Host instance '%s' released lock lease.", self._instance_id)

    async def _be_primary(self) -> None:
        logged = LogOnce()
        while True:
            # Also before the first attempt, as in the Functions host: a host that is stopped right after its start
            # need not take the lock from another one.
            await self._clock.sleep(_RETRY_EVERY.total_seconds(), upkeep=True)
            try:
                if not await run_to_completion(self._primary.try_acquire()):
                    continue
                _log.info("Host lock lease acquired by instance ID '%s'.", self._instance_id)
                await self._primary.renew_until_lost()
            except HostLockLost as lost:
                # If storage was away for longer than the lease, the account has logged that.
                level = logging.DEBUG if isinstance(lost.__cause__, StorageOutage) else logging.WARNING
                _log.log(level, "Failed to renew host lock lease: %s", lost)
            except EmulatorError as error:
                _log.debug("The primary host lock cannot be taken: %s", error)
            except Exception as error:
                # A defect must not end the host, which runs without this lock, too.
                if logged.is_first(repr(error)):
                    _log.exception("The primary host lock cannot be taken or renewed. This is tried again.")

    @asynccontextmanager
    async def _holding(self, lock: _BlobLock, user: str, on_wait: Callable[[], None] | None) -> AsyncIterator[None]:
        try:
            is_first = True
            while not await run_to_completion(lock.try_acquire()):
                if is_first:
                    _log.debug("Unable to acquire Singleton lock (%s).", lock.name)
                    # The service does not report how much of a lease is left, but a lease that is not renewed ends
                    # within its period.
                    _log.warning(
                        "%s waits for its lock, which another host%s holds (blob %s). If that host was killed, the "
                        "lock is free in at most %d seconds.",
                        user,
                        f" ({lock.last_owner})" if lock.last_owner else "",
                        lock.blob,
                        lock.period.total_seconds(),
                    )
                    is_first = False
                    if on_wait is not None:
                        on_wait()
                await self._clock.sleep(_RETRY_EVERY.total_seconds(), upkeep=True)
            _log.debug("Singleton lock acquired (%s)", lock.name)
            async with background(lock.renew_until_lost(), name=f"renew {lock.name}"):
                yield
        finally:
            # After the body, and also if the wait was cancelled in the moment in which the lock was acquired. The
            # release is completed: otherwise another host would wait for the rest of the lease.
            if await run_to_completion(lock.release()):
                _log.debug("Singleton lock released (%s)", lock.name)

    def _lock(self, name: str, period: timedelta, renew_every: timedelta, *, owner: str | None) -> _BlobLock:
        return _BlobLock(
            self._container,
            f"{self._host_id}/{name}",
            period,
            renew_every,
            self._clock,
            self._new_id,
            owner=owner,
            journal=self._journal,
        )


class _BlobLock:
    """One lock. `name`: as the Functions host writes it to the log. `owner`: written to the blob's metadata.

    With an owner, the lease id is the owner's, too, as in the Functions host; without one, each lease has a new id.
    """

    def __init__(
        self,
        container: BlobContainer,
        name: str,
        period: timedelta,
        renew_every: timedelta,
        clock: Clock,
        new_id: NewId,
        *,
        owner: str | None,
        journal: LeaseJournal | None,
    ) -> None:
        self.name = name
        self.blob = f"locks/{name}"
        self.period = period
        self.last_owner: str | None = None
        self._container = container
        self._renew_every = renew_every
        self._clock = clock
        self._new_id = new_id
        self._owner = owner
        self._journal = journal
        self._lease_id = ""
        self._leased_until: datetime | None = None

    @property
    def is_held(self) -> bool:
        """Whether the lease is held and has not ended by this host's clock."""
        return self._leased_until is not None and self._clock.now() < self._leased_until

    async def try_acquire(self) -> bool:
        """Acquire the lease if it is free. Creates blob and container if they are missing."""
        try:
            return await self._acquire()
        except NotFound:
            await self._create()
        return await self._acquire()

    async def _acquire(self) -> bool:
        properties = await self._container.properties(self.blob)
        metadata = {name.lower(): value for name, value in properties.metadata.items()}
        # Metadata are HTTP headers, whose names are the same in any case.
        self.last_owner = metadata.get(_OWNER.lower())
        # Read first, because acquiring a lease again under the same id succeeds. Two hosts with the same instance
        # id would otherwise both be primary host.
        if properties.lease_state is LeaseState.LEASED and not await self._free_from_killed_host():
            return False
        lease_id = self._owner or hyphenated(self._new_id())
        # Computed before the request, so that this host never believes in a lease that the service has ended.
        leased_until = self._clock.now() + self.period
        if self._journal is not None:
            self._journal.record(self.blob, lease_id)
        try:
            await self._container.lease(self.blob).acquire(lease_id, duration=self.period)
        except AlreadyExists:
            self._forget()
            return False  # Another host was faster.
        self._lease_id, self._leased_until = lease_id, leased_until
        if self._owner is not None:
            try:
                await self._container.set_metadata(self.blob, {_OWNER: self._owner}, lease_id=lease_id)
            except EmulatorError:
                # The caller does not get the lock, so nothing would renew the lease, and it would keep out all hosts.
                await self.release()
                raise
        return True

    async def _free_from_killed_host(self) -> bool:
        """Release the lease if a killed host of this folder holds it; False if another host does."""
        if self._journal is None:
            return False
        for lease_id in self._journal.of_killed_hosts(self.blob):
            try:
                # Refused if it is not the id of the present lease: then another host has taken it since.
                await self._container.lease(self.blob).release(lease_id)
            except (AlreadyExists, PreconditionFailed):
                continue
            _log.warning("Took over the lock %s from a host of this app that was killed.", self.name)
            self._journal.settle(self.blob)
            return True
        self._journal.settle(self.blob)
        return False

    def _forget(self) -> None:
        if self._journal is not None:
            self._journal.forget(self.blob)

    async def _create(self) -> None:
        try:
            try:
                await self._container.write(self.blob, b"", only_if_new=True)
            except NotFound:
                await self._container.create()
                await self._container.write(self.blob, b"", only_if_new=True)
        except (AlreadyExists, PreconditionFailed):
            return  # Another host has created the blob at the same time.

    async def renew_until_lost(self) -> None:
        """Renew the lease until another host has it, or may have it; then raise HostLockLost."""
        renewed_at, elapsed = self._clock.now(), timedelta(0)
        pause = self._renew_every
        while True:
            await self._clock.sleep(pause.total_seconds(), upkeep=True)
            started_at = self._clock.now()
            try:
                await self._container.lease(self.blob).renew(self._lease_id)
            except (AlreadyExists, PreconditionFailed, NotFound) as refused:
                # The lease was broken and taken, or the blob was deleted. A lease that has merely run out, because
                # this process was stopped or virtual time jumped, can still be renewed.
                self._leased_until = None
                self._forget()
                raise self._lost(f"error code {refused.status}: {refused.code}", renewed_at, elapsed) from refused
            except EmulatorError as error:
                if not self.is_held:
                    self._leased_until = None
                    raise self._lost(str(error), renewed_at, elapsed) from error
                _log.debug("Renewing the lock %s failed and is repeated: %s", self.name, error)
                pause = _RENEWAL_RETRY
            else:
                self._leased_until = started_at + self.period
                renewed_at, elapsed = self._clock.now(), self._clock.now() - started_at
                pause = self._renew_every

    def _lost(self, reason: str, renewed_at: datetime, elapsed: timedelta) -> HostLockLost:
        millisecond = timedelta(milliseconds=1)
        since = (self._clock.now() - renewed_at) // millisecond
        return HostLockLost(
            f"Singleton lock renewal failed for blob '{self.name}' with {reason}. "
            f"The last successful renewal completed at {renewed_at:%Y-%m-%dT%H:%M:%SZ} ({since} milliseconds ago) "
            f"with a duration of {elapsed // millisecond} milliseconds. "
            f"The lease period was {self.period // millisecond} milliseconds."
        )

    async def release(self) -> bool:
        """Release the lease; the metadata stay and name the last owner. False: it was not held."""
        if self._leased_until is None:
            return False
        self._leased_until = None
        try:
            await self._container.lease(self.blob).release(self._lease_id)
        except EmulatorError as error:
            _log.debug("The lock %s could not be released and will run out: %s", self.name, error)
            return False
        self._forget()
        return True

"""App lease: only one app (all its processes together) works on a task hub at a time.

It is a lease on a container, with a lease id that is computed from the app's name, so that all processes of an app hold
it together.
Source: docs/protocol/task-hub-storage.md chapter 5.6 (durabletask: Partitioning/AppLeaseManager.cs).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from emulator.background import background
from emulator.clock import Clock
from emulator.dotnet.json_values import lenient_object, lenient_string
from emulator.dotnet.json_writer import json_text
from emulator.durable.azurestorage.names import fnv1a32
from emulator.durable.options import AppLeaseOptions
from emulator.logs import get_logger
from emulator.polling.failures import Failures
from emulator.storage.port import AlreadyExists, BlobContainer, NotFound, PreconditionFailed

_log = get_logger(__name__)

_RETRY_SECONDS = 5


def app_lease_id(app_name: str) -> str:
    """Return the lease id of an app: a GUID."""
    return f"{fnv1a32(app_name):08x}-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class AppLeaseInfo:
    """The info blob. `desired_id`: the app that is to take the lease over from `owner_id`."""

    owner_id: str | None = None
    desired_id: str | None = None

    @classmethod
    def read(cls, content: bytes) -> AppLeaseInfo:
        """Decode the blob. Damaged content counts as empty."""
        members = lenient_object(content)
        return cls(lenient_string(members.get("OwnerId")), lenient_string(members.get("DesiredSwapId")))

    def text(self) -> str:
        """Encode the blob's content."""
        return json_text({"OwnerId": self.owner_id, "DesiredSwapId": self.desired_id})


class AppLease:
    """The app lease of one task hub."""

    def __init__(
        self, container: BlobContainer, info_blob: str, app_name: str, clock: Clock, options: AppLeaseOptions
    ) -> None:
        self._container = container
        self._info_blob = info_blob
        self._id = app_lease_id(app_name)
        self._app_name = app_name
        self._clock = clock
        self._options = options
        self._failures = Failures("Acquiring and renewing the app lease", clock)

    async def create(self) -> None:
        """Create the container and the info blob, if they are missing."""
        await self._container.create()
        try:
            # Not overwritten, because another app may have written that it holds the lease.
            await self._container.write(self._info_blob, b"{}", only_if_new=True)
        except (AlreadyExists, PreconditionFailed):
            return

    async def delete(self) -> None:
        """Delete the container, unless another app has leased it."""
        # Deleting a leased container requires the lease id; a container without a lease refuses any id.
        try:
            await self._container.drop(lease_id=self._id)
        except (PreconditionFailed, AlreadyExists):
            try:
                await self._container.drop()
            except (PreconditionFailed, AlreadyExists):
                _log.warning("The container %s is leased by another app and was not deleted", self._container.name)

    @asynccontextmanager
    async def holding(self, work: Callable[[], AbstractAsyncContextManager[None]]) -> AsyncIterator[None]:
        """While the body runs, enter `work()` whenever this app acquires the lease, and leave it when it is lost."""
        # The lease is not released at the end, because other processes of the app may hold it, too.
        async with background(self._work_while_held(work), name="app lease"):
            yield

    async def _work_while_held(self, work: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        while True:
            is_held = await self._acquire()
            if is_held:
                # Left as soon as the lease is lost, which hands over the control queues.
                async with work():
                    await self._renew_until_lost()
                _log.warning("Another app took the app lease of this task hub; this app no longer runs orchestrations")
            # The interval is for apps that wait for another one. Storage that has failed is no reason to wait as long.
            pause = _RETRY_SECONDS if is_held is None else self._options.acquire_interval.total_seconds()
            await self._clock.sleep(pause, upkeep=True)

    async def _acquire(self) -> bool | None:
        """Acquire the lease. False: another app holds it. None: the attempt has failed, so that is unknown."""
        lease = self._container.lease()
        try:
            try:
                info = AppLeaseInfo.read(await self._container.read(self._info_blob))
            except NotFound:
                info = AppLeaseInfo()
            if info.desired_id == self._id and info.owner_id not in (None, self._id):
                # A swap: an administrator has written that this app is to replace the owner.
                await lease.change(info.owner_id or "", new_lease_id=self._id)
            else:
                await lease.acquire(self._id, duration=self._options.lease_interval)
            # Written when the owner changes or a swap is completed; the other processes of the app need not repeat it.
            if info != AppLeaseInfo(self._id):
                await self._container.write(self._info_blob, AppLeaseInfo(self._id).text().encode())
        except (AlreadyExists, PreconditionFailed):
            _log.warning(
                'An app other than "%s" holds the app lease of this task hub (container %s): this app runs no '
                "orchestrations. "
                'Give the app its own "hubName" in host.json, or set "useAppLease" to false. Next try in %s.',
                self._app_name,
                self._container.name,
                self._options.acquire_interval,
            )
            return False
        # A defect must neither end the work of this host nor be logged at every attempt.
        except Exception as error:
            self._failures.note(error)
            return None
        self._failures.resolved()
        return True

    async def _renew_until_lost(self) -> None:
        while True:
            await self._clock.sleep(self._options.renew_interval.total_seconds(), upkeep=True)
            try:
                await self._container.lease().renew(self._id)
            except (AlreadyExists, PreconditionFailed):
                # Perhaps the lease has only run out, because the process was stopped or virtual time jumped. Then it
                # can be acquired again.
                if not await self._acquire():
                    return
            except Exception as error:
                self._failures.note(error)
            else:
                self._failures.resolved()

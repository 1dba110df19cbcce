"""Receipts of blob triggers: blobs that record which version of a blob was passed on to which function.

    azure-webjobs-hosts/blobreceipts/<host id>/Host.Functions.<function>/<ETag>/<container>/<blob>

A receipt is empty. While its message is not in the queue yet, it has the metadata `Incomplete` and a lease. A host
that is killed in between leaves it so, and the next one puts the message again.
Source: docs/protocol/functions-host.md 8.4 and 9.1 (webjobs extension for blobs: BlobReceiptManager,
BlobTriggerExecutor).
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from emulator.errors import EmulatorError
from emulator.extensions.blobs.trigger_messages import TriggerMessage, function_id
from emulator.host.locks import CONTAINER
from emulator.ids import NewId, hyphenated
from emulator.logs import get_logger
from emulator.storage.port import (
    AlreadyExists,
    BlobContainer,
    BlobProperties,
    LeaseState,
    NotFound,
    PreconditionFailed,
    StorageAccount,
)

_log = get_logger(__name__)

_INCOMPLETE = "Incomplete"
_LEASE = timedelta(seconds=30)


class PassedOn(enum.Enum):
    """What has become of a version of a blob."""

    NOW = "now"
    EARLIER = "earlier"
    BY_ANOTHER = "by another"  # Another host is passing it on, or was killed meanwhile: look again later.


class BlobReceipts:
    """The receipts of one host id in the storage account of the host."""

    def __init__(self, account: StorageAccount, host_id: str, new_id: NewId) -> None:
        self._container: BlobContainer = account.container(CONTAINER)
        self._folder = f"blobreceipts/{host_id}/"
        self._new_id = new_id

    async def completed(self, function: str) -> AsyncIterator[tuple[str, str, str]]:
        """Yield ETag, container and name of each blob that was passed on to a function."""
        prefix = f"{self._folder}{function_id(function)}/"
        try:
            async for receipt in self._container.list(prefix):
                if not _is_incomplete(receipt):
                    etag, _, path = receipt.name.removeprefix(prefix).partition("/")
                    container, _, blob = path.partition("/")
                    yield etag, container, blob
        except NotFound:
            return  # No host of this app has ever run with this storage account.

    async def pass_on(self, message: TriggerMessage, put: Callable[[], Awaitable[None]]) -> PassedOn:
        """Call `put`, which puts the message into the queue, unless the receipt says that this was done.

        Two hosts call it at most once, except if one is killed during the call: then once more. Raises StorageError,
        StorageUnreachable.
        """
        name = f"{self._folder}{function_id(message.function)}/{message.etag}/{message.container}/{message.blob}"
        # Created before it is looked for: most blobs are new.
        if not await self._create(name):
            receipt = await self._look_at(name)
            if receipt is None or receipt.lease_state is LeaseState.LEASED:
                return PassedOn.BY_ANOTHER
            if not _is_incomplete(receipt):
                return PassedOn.EARLIER
        lease, lease_id = self._container.lease(name), hyphenated(self._new_id())
        try:
            await lease.acquire(lease_id, duration=_LEASE)
        except (AlreadyExists, NotFound):
            return PassedOn.BY_ANOTHER
        try:
            # Another host may have completed it before this host had the lease.
            receipt = await self._look_at(name)
            if receipt is None:
                return PassedOn.BY_ANOTHER
            if not _is_incomplete(receipt):
                return PassedOn.EARLIER
            await put()
            await self._container.set_metadata(name, {}, lease_id=lease_id)
            return PassedOn.NOW
        finally:
            try:
                await lease.release(lease_id)
            except EmulatorError as error:
                _log.debug("The lease of receipt %s could not be released and will run out: %s", name, error)

    async def _create(self, name: str) -> bool:
        """Create an incomplete receipt; False if there is one."""
        metadata = {_INCOMPLETE: _INCOMPLETE}
        try:
            try:
                await self._container.write(name, b"", only_if_new=True, metadata=metadata)
            except NotFound:
                await self._container.create()
                await self._container.write(name, b"", only_if_new=True, metadata=metadata)
        # A lease is checked before the condition.
        except (AlreadyExists, PreconditionFailed):
            return False
        return True

    async def _look_at(self, name: str) -> BlobProperties | None:
        try:
            return await self._container.properties(name)
        except NotFound:
            return None


def _is_incomplete(receipt: BlobProperties) -> bool:
    # Names of metadata are names of HTTP headers, which may arrive in any letter case.
    return any(name.lower() == _INCOMPLETE.lower() for name in receipt.metadata)

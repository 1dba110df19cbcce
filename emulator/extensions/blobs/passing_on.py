"""Passing on new versions of blobs: a message for each function, in the queue that all hosts of the app read.

Source: docs/protocol/functions-host.md 8.4 (webjobs extension for blobs: BlobTriggerExecutor, BlobTriggerQueueWriter).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emulator.background import run_to_completion, task_group
from emulator.errors import EmulatorError
from emulator.extensions.blobs.blob_functions import BlobFunction
from emulator.extensions.blobs.receipts import BlobReceipts, PassedOn
from emulator.extensions.blobs.trigger_messages import TriggerMessage, stored_text
from emulator.host.console.categories import function_category
from emulator.logs import get_logger
from emulator.polling.message_listener import put_creating
from emulator.storage.port import BlobProperties, InvalidRequest, Queue

_log = get_logger(__name__)

# How many blobs are passed on at once. Each takes six requests one after the other.
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class BlobVersion:
    """A version of a blob, as a listing names it. `etag`: in quotes."""

    name: str
    etag: str
    blob_type: str
    last_modified: datetime

    @classmethod
    def of(cls, properties: BlobProperties) -> BlobVersion:
        """Return the version that has these properties."""
        return cls(properties.name, properties.etag, properties.blob_type, properties.last_modified)


@dataclass(frozen=True, slots=True)
class FoundBlob:
    """A version that may be new. `functions`: those whose path matches its name."""

    version: BlobVersion
    functions: Sequence[BlobFunction]

    @classmethod
    def of(cls, version: BlobVersion, functions: Iterable[BlobFunction]) -> FoundBlob:
        """Return the version with those of the functions whose path matches its name."""
        return cls(version, [function for function in functions if function.path.match(version.name) is not None])


class PassingOn:
    """Puts messages into the queue of a host id, each version of a blob once for each function."""

    def __init__(self, receipts: BlobReceipts, queue: Queue) -> None:
        self.receipts = receipts
        self._queue = queue

    async def pass_on(self, function: BlobFunction, version: BlobVersion) -> PassedOn:
        """Put the message of one version for one function, unless that was done. Raises StorageError."""
        message = TriggerMessage(
            function=function.name,
            container=function.path.container,
            blob=version.name,
            etag=version.etag,
            blob_type=version.blob_type,
        )

        async def put() -> None:
            await put_creating(self._queue, stored_text(message))
            _log.debug(
                "Blob '%s' is ready for processing by function '%s'. A message has been added to queue '%s'.",
                version.name,
                function.name,
                self._queue.name,
            )

        try:
            # A stop between the message and the receipt would let the next host put the message a second time.
            return await run_to_completion(self.receipts.pass_on(message, put))
        except InvalidRequest as error:
            # Not tried again: the names of this blob and its receipt will not become shorter.
            function_category(function.name).error(
                "Function '%s' cannot be called for blob '%s/%s'. %s",
                function.name,
                message.container,
                version.name,
                error,
            )
            return PassedOn.EARLIER

    async def pass_on_all(self, blobs: Iterable[FoundBlob], settled: Callable[[BlobVersion], None]) -> bool:
        """Pass on several blobs, some at once. `settled`: called for each with which nothing remains to be done.

        Returns whether that are all; the others are being passed on by another host. After an error, the blobs that
        were not begun are left. Raises StorageError, StorageUnreachable.
        """
        remaining, is_complete = iter(blobs), True
        failures: list[EmulatorError] = []

        async def pass_on_some() -> None:
            nonlocal is_complete
            # The tasks share the iterator: each takes the next blob when it has finished one.
            for found in remaining:
                if failures:
                    return
                try:
                    results = [await self.pass_on(function, found.version) for function in found.functions]
                except EmulatorError as error:
                    failures.append(error)
                    return
                if PassedOn.BY_ANOTHER in results:
                    is_complete = False
                else:
                    settled(found.version)

        async with task_group() as group:
            for _ in range(_AT_ONCE):
                group.create_task(pass_on_some(), name="pass on blobs")
        if failures:
            raise failures[0]
        return is_complete

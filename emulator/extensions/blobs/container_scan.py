"""Scan of a container in emulated storage: list it completely, and pass on the versions of blobs that are new.

The extension compares times of whole seconds, and so misses a blob that is written in the second of the last listing.
Here the ETags of two listings are compared, which also finds a blob whose time is older than those of others, such as a
large one that took long to upload. Receipts decide about what was there before the start.
Source: docs/protocol/functions-host.md 8.4, and 12 number 19.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from os.path import commonprefix
from typing import Final

from emulator.clock import Clock
from emulator.extensions.blobs.blob_functions import BlobFunction
from emulator.extensions.blobs.passing_on import BlobVersion, FoundBlob, PassingOn
from emulator.host.console.categories import function_category
from emulator.polling.failures import Failures
from emulator.storage.port import BlobContainer, NotFound

INTERVAL: Final = timedelta(seconds=2)
# A listing of 10,000 blobs takes Azurite seconds. The pauses grow with that time, so that an idle app leaves most of
# the processor to others, but not beyond the interval that is used in Azure.
_PAUSE_PER_LISTING: Final = 4
_LONGEST_PAUSE: Final = timedelta(seconds=10)

_IN_AZURE: Final = (
    " (In Azure, a function that joins an app later gets only blobs newer than the newest one that the app has seen.)"
)


class ContainerScan:
    """Repeated scan of one container for the functions whose path names it. `started_at`: of the host."""

    def __init__(
        self,
        container: BlobContainer,
        functions: Sequence[BlobFunction],
        passing_on: PassingOn,
        clock: Clock,
        *,
        started_at: datetime,
    ) -> None:
        self._container = container
        self._functions = functions
        self._passing_on = passing_on
        self._clock = clock
        # Times of blobs have whole seconds.
        self._started_at = started_at.replace(microsecond=0)
        prefixes = [function.path.prefix for function in functions]
        self._prefix = commonprefix(prefixes)  # noqa: RUF071 - these are not paths of files
        # The ETag of each listed blob with which nothing remains to be done, by name.
        self._settled: dict[str, str] = {}
        self._is_first = True
        self._listed_within = timedelta(0)

    async def run(self) -> None:
        """Scan until cancelled: at once when storage notices a new blob, and else 2 s after the last scan."""
        failures = Failures(f"Looking for new blobs in container {self._container.name}", self._clock)
        while True:
            # Taken before the listing, so that a blob which is written meanwhile ends the wait below.
            changes = self._container.changes()
            try:
                is_complete = await self._scan()
            except Exception as error:
                await failures.wait_before_retry(error)
                continue
            failures.resolved()
            rest = min(_PAUSE_PER_LISTING * self._listed_within, _LONGEST_PAUSE)
            if is_complete:
                # Also when blobs are written one after the other. At most 2 s, because users wait for them.
                await self._clock.sleep(min(rest, INTERVAL).total_seconds(), upkeep=True)
                await self._container.wait(max(rest, INTERVAL), since=changes)
            else:
                # Not upkeep: the lease of the other host must run out in virtual time, too.
                await self._clock.sleep(INTERVAL.total_seconds())

    async def _scan(self) -> bool:
        """List the container and pass on what is new. False: another host has begun to pass on some of it."""
        still_settled: dict[str, str] = {}
        versions, started_at = [], self._clock.now()
        try:
            async for properties in self._container.list(self._prefix):
                if self._settled.get(properties.name) == properties.etag:
                    still_settled[properties.name] = properties.etag
                else:
                    versions.append(BlobVersion.of(properties))
        except NotFound:
            pass  # The container may be created later, or again.
        # Without the time for new blobs, whose number does not slow down the search for the next ones.
        self._listed_within = self._clock.now() - started_at
        # Without the blobs that are gone: one that is written again has another ETag in any case.
        self._settled = still_settled
        found = [FoundBlob.of(version, self._functions) for version in versions]
        if self._is_first:
            found = await self._without_completed(found)
            self._is_first = False

        def settle(version: BlobVersion) -> None:
            self._settled[version.name] = version.etag

        return await self._passing_on.pass_on_all(found, settle)

    async def _without_completed(self, found: Sequence[FoundBlob]) -> list[FoundBlob]:
        """Leave out the functions that have a receipt, and tell the user how many blobs are old.

        A listing of all receipts replaces two requests for each blob and function at every start.
        """
        completed: dict[str, set[tuple[str, str]]] = {}
        for function in self._functions:
            completed[function.name] = {
                (etag, blob)
                async for etag, container, blob in self._passing_on.receipts.completed(function.name)
                if container == self._container.name
            }

        def remaining(blob: FoundBlob) -> FoundBlob:
            key = (blob.version.etag, blob.version.name)
            return FoundBlob(
                blob.version, [function for function in blob.functions if key not in completed[function.name]]
            )

        blobs = [remaining(blob) for blob in found]
        for function in self._functions:
            old = [blob for blob in blobs if blob.version.last_modified < self._started_at]
            count = sum(function in blob.functions for blob in old)
            if count:
                function_category(function.name).info(
                    "Container '%s' has %d blob%s for function '%s' from before this start, which %s processed now.%s",
                    self._container.name,
                    count,
                    "" if count == 1 else "s",
                    function.name,
                    "is" if count == 1 else "are",
                    # Without any receipt the function is new here, or has another name or another folder.
                    "" if completed[function.name] else _IN_AZURE,
                )
        return blobs

"""Scan of containers in a storage account in Azure: a limited number of blobs per pass, and how far it has come.

Each container is listed page by page over several passes (a sweep). A blob is looked at if it is not older than the
newest blob of the last sweep. That time is kept in storage for each host id, so a restart does not look at all blobs:

    azure-webjobs-hosts/blobscaninfo/<host id>/<account>/<container>/scanInfo

The extension also reads the logs of Storage Analytics ($logs), to find blobs in containers with many blobs sooner.
azemu does not; the sweeps find the same blobs. Source: docs/protocol/functions-host.md 8.4 and 9.1 (webjobs extension
for blobs: ScanBlobScanLogHybridPollingStrategy).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.extensions.blobs.blob_functions import BlobFunction
from emulator.extensions.blobs.passing_on import BlobVersion, FoundBlob, PassingOn
from emulator.host.locks import CONTAINER
from emulator.polling.failures import Failures
from emulator.storage.port import BlobContainer, BlobProperties, NotFound, StorageAccount

INTERVAL: Final = timedelta(seconds=10)
BLOBS_PER_PASS: Final = 10_000
"""How many blobs one pass lists, in all containers together."""

_MILLISECOND: Final = timedelta(milliseconds=1)


class ScanInfo:
    """How far a container was scanned, in the storage account of the host."""

    def __init__(self, account: StorageAccount, host_id: str, data_account: str, container: str) -> None:
        self._container = account.container(CONTAINER)
        self._blob = f"blobscaninfo/{host_id}/{data_account}/{container}/scanInfo"

    async def read(self) -> datetime | None:
        """Return the time from which on blobs may be new; None: the container was never scanned, or it is unknown."""
        try:
            content = await self._container.read(self._blob)
        except NotFound:
            return None
        try:
            text = json.loads(content)["LatestScan"]
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    async def write(self, latest: datetime) -> None:
        """Store the time."""
        # As Newtonsoft writes a DateTimeOffset: a fraction without zeros at its end.
        fraction = f".{latest.microsecond:06}".rstrip("0").rstrip(".")
        text = json.dumps({"LatestScan": f"{latest:%Y-%m-%dT%H:%M:%S}{fraction}+00:00"}, separators=(",", ":"))
        await self._container.write(self._blob, text.encode())


class AccountScan:
    """Repeated scan of one container. `limit`: how many blobs a pass lists."""

    def __init__(
        self,
        container: BlobContainer,
        functions: Sequence[BlobFunction],
        passing_on: PassingOn,
        clock: Clock,
        info: ScanInfo,
        *,
        limit: int = BLOBS_PER_PASS,
    ) -> None:
        self._container = container
        self._functions = functions
        self._passing_on = passing_on
        self._clock = clock
        self._info = info
        self._limit = limit
        self._sweep: AsyncIterator[BlobProperties] | None = None
        self._latest: datetime | None = None
        self._newest: datetime | None = None
        self._is_complete = True
        # ETags of blobs that are not older than `_latest`, by name: each sweep finds them again.
        self._settled: dict[str, tuple[str, datetime]] = {}

    async def run(self) -> None:
        """Scan until cancelled: a pass at once, and one 10 s after the last one."""
        failures = Failures(f"Looking for new blobs in container {self._container.name}", self._clock)
        is_known = False
        while True:
            try:
                if not is_known:
                    self._latest = await self._info.read()
                    is_known = True
                await self._pass()
            except Exception as error:
                # From the beginning: what was listed before the error was not passed on completely.
                self._sweep = None
                await failures.wait_before_retry(error)
                continue
            failures.resolved()
            await self._clock.sleep(INTERVAL.total_seconds(), upkeep=True)

    async def _pass(self) -> None:
        if self._sweep is None:
            self._sweep, self._newest, self._is_complete = aiter(self._container.list()), None, True
        candidates = []
        has_ended = True
        try:
            count = 0
            async for properties in self._sweep:
                count += 1
                modified = properties.last_modified
                if self._latest is None or modified >= self._latest:
                    self._newest = max(self._newest or modified, modified)
                    if self._settled.get(properties.name, ("",))[0] != properties.etag:
                        candidates.append(BlobVersion.of(properties))
                if count >= self._limit:
                    has_ended = False
                    break
        except NotFound:
            pass  # The container may be created later.

        def settle(version: BlobVersion) -> None:
            self._settled[version.name] = (version.etag, version.last_modified)

        found = [FoundBlob.of(version, self._functions) for version in candidates]
        self._is_complete &= await self._passing_on.pass_on_all(found, settle)
        if has_ended:
            self._sweep = None
            await self._move_on()

    async def _move_on(self) -> None:
        # If another host is passing on some of the blobs, the next sweep must look at them again.
        if self._newest is None or not self._is_complete:
            return
        latest = self._newest - _MILLISECOND
        if latest != self._latest:
            await self._info.write(latest)
            self._latest = latest
            self._settled = {
                name: (etag, modified) for name, (etag, modified) in self._settled.items() if modified >= latest
            }

"""The blob that holds the schedule status of a timer function.

azure-webjobs-hosts/timers/<host id>/Host.Functions.<function>/status. Source: docs/protocol/functions-host.md 8.2.
"""

from __future__ import annotations

from emulator.errors import EmulatorError
from emulator.extensions.timers.local_time import LocalZone
from emulator.extensions.timers.status import InvalidStatus, ScheduleStatus, decode
from emulator.storage.port import BlobContainer, NotFound


class StatusUnreadable(EmulatorError):
    """The status blob of a function has a content that the host cannot read. The message names the blob."""


class StatusBlob:
    """The stored status of one function. `container`: azure-webjobs-hosts of AzureWebJobsStorage."""

    def __init__(self, container: BlobContainer, host_id: str, function: str, zone: LocalZone) -> None:
        self._container = container
        self._blob = f"timers/{host_id}/Host.Functions.{function}/status"
        self._function = function
        self._zone = zone

    async def read(self) -> ScheduleStatus | None:
        """Return the stored status; None if there is none.

        Raises StatusUnreadable, StorageError and StorageUnreachable.
        """
        try:
            content = await self._container.read(self._blob)
        except NotFound:
            return None
        try:
            return decode(content, self._zone)
        except InvalidStatus as error:
            raise StatusUnreadable(
                f"The schedule status of function '{self._function}' cannot be read: {error}. Delete the blob "
                f"{self._container.name}/{self._blob}, or correct it. Without it, a run that was missed is not made up "
                "for."
            ) from None

    async def write(self, status: ScheduleStatus) -> None:
        """Store the status. Raises StorageError and StorageUnreachable."""
        content = status.encode(self._zone)
        try:
            await self._container.write(self._blob, content)
        except NotFound:
            # Deleted while the host runs, or never created because this host has no lock in it.
            await self._container.create()
            await self._container.write(self._blob, content)

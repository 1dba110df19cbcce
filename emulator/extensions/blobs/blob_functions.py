"""The functions of a host whose blob triggers are listening, and where their storage is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emulator.errors import EmulatorError
from emulator.extensions.blobs.trigger_path import TriggerPath, parse_trigger_path
from emulator.host.port import Function, Invoke
from emulator.storage.port import BlobContainer, StorageAccount
from emulator.worker.port import Binding, member_of

BLOB_TRIGGER: Final = "blobtrigger"
BLOB: Final = "blob"
"""Binding type of inputs and outputs."""
EVENT_GRID: Final = "EventGrid"
"""Value of `source`: events of a webhook start the function."""
SCAN: Final = "LogsAndContainerScan"
"""Value of `source`, the default: the host looks for new blobs."""


class InvalidSource(EmulatorError):
    """A blob trigger's `source` is none that exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFunction:
    """A listening function. `account`: of its blobs. `connection`: the name under which the app knows the account.

    `is_watched`: whether this host looks for new blobs.
    """

    function: Function
    path: TriggerPath
    connection: str
    account: StorageAccount
    is_watched: bool
    invoke: Invoke

    @property
    def name(self) -> str:
        return self.function.name

    @property
    def source(self) -> str:
        """The trigger's `source` as the log writes it."""
        return source_of(self.function.trigger)

    @property
    def container(self) -> BlobContainer:
        """The container of its path."""
        return self.account.container(self.path.container)


def path_of(trigger: Binding) -> TriggerPath:
    """Return the path of a trigger. Raises InvalidTriggerPath, ExpressionError."""
    return parse_trigger_path(str(member_of(trigger.properties, "path") or ""))


def check_source(trigger: Binding) -> None:
    """Raise InvalidSource if the member `source` has a value that .NET could not read."""
    source = member_of(trigger.properties, "source")
    if source and str(source).lower() not in (EVENT_GRID.lower(), SCAN.lower()):
        raise InvalidSource(
            f"'source' of the blob trigger '{trigger.name}' is '{source}'; allowed: {SCAN} (the default), {EVENT_GRID}."
        )


def source_of(trigger: Binding) -> str:
    """Return `EventGrid` or `LogsAndContainerScan`."""
    source = str(member_of(trigger.properties, "source") or SCAN)
    return EVENT_GRID if source.lower() == EVENT_GRID.lower() else SCAN

"""The path of a blob trigger: a container, and a pattern with captures for the names of its blobs.

Errors have the words of the extension (BlobPathSource), with what to do behind them.
Source: docs/protocol/functions-host.md 2.3 and 8.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from emulator.errors import EmulatorError
from emulator.host.expressions import Template, parse_template

# The rules of Azure Storage, and its three containers with special names.
_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*|\$root|\$logs|\$web")


class InvalidTriggerPath(EmulatorError):
    """The path of a blob trigger cannot be watched."""


@dataclass(frozen=True, slots=True)
class TriggerPath:
    """`container/pattern`. `pattern` None: the path is only a container, and each of its blobs matches."""

    text: str
    container: str
    pattern: Template | None = None

    def match(self, blob: str) -> dict[str, str] | None:
        """Return the captures if the name of a blob matches, else None."""
        return {} if self.pattern is None else self.pattern.match(blob)

    @property
    def captures(self) -> Sequence[str]:
        """The names of the captures."""
        return () if self.pattern is None else self.pattern.capture_names()

    @property
    def prefix(self) -> str:
        """The text with which the names of all matching blobs begin."""
        first = "" if self.pattern is None or not self.pattern.parts else self.pattern.parts[0]
        return first if isinstance(first, str) else ""


def parse_trigger_path(text: str) -> TriggerPath:
    """Parse the path of a blob trigger. Raises InvalidTriggerPath, and ExpressionError for a malformed pattern."""
    container, slash, blob = text.partition("/")
    if slash and not (container and blob):
        raise InvalidTriggerPath(
            f"Invalid blob trigger path '{text}'. Paths must be in the format 'container/blob'. To be called for all "
            f"blobs of a container, write its name without a slash."
        )
    # The whole path is parsed, because the positions in the messages of errors count from its beginning.
    parse_template(text).capture_names()
    if "{" in container:
        raise InvalidTriggerPath(
            f"Invalid blob trigger path '{text}'. Container paths cannot contain {{resolve}} tokens. Write the name of "
            "the container, or a setting that contains it (%NAME%)."
        )
    # The extension accepts two dashes in a row, and its host ends when the service refuses such a container.
    if _CONTAINER.fullmatch(container) is None:
        raise InvalidTriggerPath(
            f"Invalid container name: {container}. Allowed are 3 to 63 lower-case letters, digits and single dashes "
            "between them."
        )
    if "\\" in blob:
        raise InvalidTriggerPath(
            f"The given blob name '{blob}' contain illegal characters. A blob name cannot the following character(s): "
            "'\\'. Folders in the names of blobs are separated by '/'."
        )
    return TriggerPath(text, container, parse_template(blob) if slash else None)

"""The `runtimeStatus` parameter: names and numbers, repeated or comma separated.

Source: Enum.TryParse of .NET; docs/protocol/durable-client-http.md 2.7 and 2.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.dotnet.query_values import parse_int
from emulator.durable.core.identity import RuntimeStatus


@dataclass(frozen=True, slots=True)
class StatusFilter:
    """`statuses`: those that exist. `has_unknown`: `Unknown` or -1 is among the words. `has_other`: another number."""

    statuses: frozenset[RuntimeStatus]
    has_unknown: bool
    has_other: bool

    @property
    def matches_nothing(self) -> bool:
        """Only numbers were given that no status has."""
        return self.has_other and not self.statuses


def read_statuses(values: Sequence[str]) -> StatusFilter:
    """Words that are neither a status nor a number are dropped; case counts."""
    words = [word.strip() for value in values for word in value.split(",")]
    numbers = {number for word in words if (number := parse_int(word)) is not None}
    known = {status for word in words if (status := RuntimeStatus.from_wire_name(word)) is not None}
    known |= {status for status in RuntimeStatus if status in numbers}
    return StatusFilter(
        statuses=frozenset(known),
        has_unknown="Unknown" in words or -1 in numbers,
        has_other=any(number not in RuntimeStatus.__members__.values() for number in numbers - {-1}),
    )

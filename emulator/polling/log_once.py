"""Log lines about items that stay where they are and fail at every attempt: one line per item and host.

A message, row or blob that cannot be read is set aside and tried again for days. Without this, each attempt would be
logged.
"""

from __future__ import annotations

from typing import Final

_LIMIT: Final = 10_000


class LogOnce:
    """The items that were logged. Only the last `limit` are remembered, so the memory is bounded."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        # A dict keeps the order of insertion, which a set does not.
        self._logged: dict[tuple[str, ...], None] = {}

    def is_first(self, *item: str) -> bool:
        """Return whether the item was not asked for before. `item`: what identifies it, for example queue and id."""
        if item in self._logged:
            return False
        self._logged[item] = None
        if len(self._logged) > self._limit:
            del self._logged[next(iter(self._logged))]
        return True

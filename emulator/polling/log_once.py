"""Log lines about items that stay where they are and fail at every attempt: one line per item and host.

A message, row or blob that cannot be read is set aside and tried again for days. Without this, each attempt would be
logged. The reason is cut: messages of errors may repeat what was read, and that may be megabytes.
"""

from __future__ import annotations

from typing import Final

_LIMIT: Final = 10_000
_MOST_CHARACTERS: Final = 1000


def short_reason(error: Exception) -> str:
    """Return the message of an error, cut to 1,000 characters."""
    text = str(error)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… ({len(text)} characters)"


class LogOnce:
    """The items that were logged. Only the last `limit` are remembered, so the memory is bounded."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        # A dict keeps the order of insertion, which a set does not.
        self._logged: dict[int, None] = {}

    def is_first(self, *item: str) -> bool:
        """Return whether the item was not asked for before. `item`: what identifies it, for example queue and id."""
        # An item may contain the text of an error, so not the item itself is kept, but 8 bytes.
        digest = hash(item)
        if digest in self._logged:
            return False
        self._logged[digest] = None
        if len(self._logged) > self._limit:
            del self._logged[next(iter(self._logged))]
        return True

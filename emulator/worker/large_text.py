"""Context of an orchestrator that has megabytes: it is freed as soon as the durable SDK has parsed it.

The SDK keeps the text of the context in a variable while the orchestrator runs, besides what it has parsed from it. A
payload of 60 MB would be in memory once more for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LARGE_CHARACTERS: Final = 1024 * 1024
"""From this length on a text is large."""

_PIECE_CHARACTERS: Final = 1024 * 1024


class LargeText(bytearray):
    """A JSON text in UTF-8 that can be parsed once: `json.loads` takes it by calling `decode`, which empties it."""

    @classmethod
    def of(cls, pieces: list[str]) -> LargeText:
        """Return the text that consists of these pieces. Empties the list."""
        text = cls()
        pieces.reverse()
        while pieces:
            piece = pieces.pop()
            for start in range(0, len(piece), _PIECE_CHARACTERS):
                text += piece[start : start + _PIECE_CHARACTERS].encode("utf-8", "surrogatepass")
        return text

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        text = super().decode(encoding, errors)
        self.clear()
        return text


def is_large(pieces: Sequence[str]) -> bool:
    """Return whether the text that consists of these pieces is large."""
    return sum(map(len, pieces)) >= LARGE_CHARACTERS

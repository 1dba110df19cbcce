"""Marks that never repeat: pop receipts and ETags."""

from __future__ import annotations

import itertools


class Stamps:
    """Texts that are different at every call, in every process, at every opening of the same database.

    Not made from the time: with virtual time many things happen in one instant, and an ETag that came twice would let
    a writer overwrite what it has not seen. Nor from chance: two runs of a test give the same ones.
    """

    def __init__(self, opening: int) -> None:
        self._opening = opening
        self._numbers = itertools.count(1)

    def next(self) -> str:
        return f"{self._opening:04x}-{next(self._numbers):08x}"

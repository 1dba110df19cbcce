"""The one Edm type that Python has no type of its own for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Int64:
    """An Edm.Int64; a plain `int` is Edm.Int32."""

    value: int

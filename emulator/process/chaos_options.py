"""Options of `azemu start --chaos` for one host process. Apart from `chaos`, which loads much."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOptions:
    """Chaos of one host process. `run`: 1 for the first one, 2 for the next.

    `folder`: a folder for what the report needs, which outlives the process. `may_crash`: whether the
    host is started again after a crash.
    """

    seed: int
    folder: Path
    run: int = 1
    may_crash: bool = True

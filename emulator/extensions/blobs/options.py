"""Options of blob triggers in host.json (extensions.blobs). Source: docs/protocol/functions-host.md 1.3."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from emulator.config.schema import option

_LARGEST_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobsOptions:
    """extensions.blobs. `max_degree_of_parallelism`: how many blobs all functions of a host process at once.

    `poison_blob_threshold`: how often a blob is tried.
    """

    section_name: ClassVar[str] = "blobs"

    max_degree_of_parallelism: int = option(default_factory=lambda: 8 * (os.cpu_count() or 1), at_least=1)
    poison_blob_threshold: int = option(5, at_least=1)

    @property
    def batch_size(self) -> int:
        """How many messages are received at once from the queue of found blobs."""
        return min(_LARGEST_BATCH, self.max_degree_of_parallelism // 2 + 1)

    @property
    def new_batch_threshold(self) -> int:
        """The number of running messages at which the next batch is received."""
        return self.max_degree_of_parallelism - self.batch_size

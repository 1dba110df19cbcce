"""Prices of Azure, from the dated file prices.json beside this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from emulator import bound_json as json

_FILE: Final = Path(__file__).parent / "prices.json"
# Operations of the blob service with the price of writes, which is also that of listings and of creating a container.
# Deletions are free; all others, such as leases and metadata, cost as much as reads.
# Source: learn.microsoft.com, storage/blobs/map-rest-apis-transaction-categories.
_BLOB_WRITES: Final = frozenset(("write", "create", "list"))
_BLOB_DELETIONS: Final = frozenset(("delete", "delete container"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices in `currency`, valid at `date` in `region`. `kind`: of which offers."""

    date: str
    region: str
    currency: str
    kind: str
    sources: Sequence[str]
    per_ten_thousand: Mapping[str, float]
    per_million_executions: float
    per_gigabyte_second: float
    free_executions: int
    free_gigabyte_seconds: int

    def of_requests(self, service: str, operation: str, number: float) -> float:
        """Return the price of storage requests."""
        kind = service
        if service == "blob":
            kind = "blobWrite" if operation in _BLOB_WRITES else "blobOther"
            if operation in _BLOB_DELETIONS:
                kind = "free"
        return self.per_ten_thousand[kind] * number / 10_000

    def of_executions(self, number: float, gigabyte_seconds: float) -> float:
        """Return the price of executions, without the free grant of each month."""
        # The grant is one for all apps of a subscription, so no share of it can be given to this app.
        return self.per_million_executions * number / 1_000_000 + self.per_gigabyte_second * gigabyte_seconds


@cache
def prices() -> Prices:
    """Return the prices of the file."""
    members = json.loads(_FILE.read_text(encoding="utf-8"))
    return Prices(
        date=members["date"],
        region=members["region"],
        currency=members["currency"],
        kind=members["kind"],
        sources=tuple(members["sources"]),
        per_ten_thousand=members["perTenThousand"],
        per_million_executions=members["perMillionExecutions"],
        per_gigabyte_second=members["perGigabyteSecond"],
        free_executions=members["freeExecutionsPerMonth"],
        free_gigabyte_seconds=members["freeGigabyteSecondsPerMonth"],
    )

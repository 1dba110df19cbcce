"""Leases of blobs and containers as columns of their rows, and the calls of the storage port that change them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from emulator.clock import Clock
from emulator.storage.builtin.database import Database
from emulator.storage.builtin.leases import (
    Kind,
    LeaseRecord,
    acquired,
    broken,
    changed,
    lease_at,
    released,
    renewed,
)
from emulator.storage.builtin.timestamps import to_micros
from emulator.storage.port import LeaseState

LEASE_COLUMNS: Final = "lease_state, lease_id, lease_seconds, lease_ends_at"
SET_LEASE: Final = "lease_state = ?, lease_id = ?, lease_seconds = ?, lease_ends_at = ?"


class BuiltinLease:
    """Implements storage.port.Lease. `target` finds the leased blob or container: the kind, and its id in the table."""

    def __init__(
        self,
        description: str,
        target: Callable[[sqlite3.Connection], tuple[Kind, int]],
        database: Database,
        clock: Clock,
    ) -> None:
        self._description = description
        self._target = target
        self._database = database
        self._clock = clock

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        seconds = None if duration is None else int(duration.total_seconds())
        await self._change("acquire", lambda lease, now: acquired(lease, lease_id, seconds, now))

    async def renew(self, lease_id: str) -> None:
        await self._change("renew", lambda lease, now: renewed(lease, lease_id, now))

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        await self._change("change", lambda lease, _: changed(lease, lease_id, new_lease_id))

    async def release(self, lease_id: str) -> None:
        await self._change("release", lambda lease, _: released(lease, lease_id))

    async def break_(self, *, after: timedelta | None = None) -> None:
        seconds = None if after is None else int(after.total_seconds())
        await self._change("break", lambda lease, now: broken(lease, seconds, now))

    async def _change(self, verb: str, rule: Callable[[LeaseRecord, int], LeaseRecord]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            # Inside the transaction: blob or container may be deleted and created again at any time.
            kind, key = self._target(connection)
            now = to_micros(self._clock.now())
            lease = rule(lease_at(lease_of(connection, f"{kind}s", key), now), now)
            connection.execute(f"UPDATE {kind}s SET {SET_LEASE} WHERE id = ?", (*stored_lease(lease), key))

        await self._database.write(f"{verb} the lease of {self._description}", work)


def lease_of(connection: sqlite3.Connection, table: str, key: int) -> LeaseRecord:
    """Read the lease of a row of the table `blobs` or `containers`."""
    return lease_record(connection.execute(f"SELECT {LEASE_COLUMNS} FROM {table} WHERE id = ?", (key,)).fetchone())


def lease_record(columns: tuple[Any, ...]) -> LeaseRecord:
    """Return the lease of the values of LEASE_COLUMNS."""
    state, lease_id, seconds, ends_at = columns
    return LeaseRecord(LeaseState(state), lease_id, seconds, ends_at)


def stored_lease(lease: LeaseRecord) -> tuple[object, ...]:
    """Return the values of LEASE_COLUMNS."""
    return lease.state.value, lease.id, lease.seconds, lease.ends_at

"""Detection of storage that has lost acknowledged writes: an emulator that was killed returns to its last saved state.

Azurite saves its data every five seconds. If it is killed, it starts again with what it saved last, and a host that
continued would wait for messages that no longer exist. So a host remembers the ETags of its last checkpoints and reads
them again: one request every few seconds while it works, none while it is idle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from emulator.clock import Clock
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.core.events import EventRaised
from emulator.durable.core.identity import is_entity
from emulator.durable.core.messages import TaskMessage
from emulator.instant import Instant

# Longer than the emulator needs to save a write.
_SAVED_AFTER: Final = timedelta(seconds=10)
# So many checkpoints are compared at a time, and remembered while storage does not respond.
_SAMPLES: Final = 20
_REMEMBERED: Final = 1_000
# So many starts and events are remembered. During a repair, or if nothing compares, they are not dropped by their age.
_NAMED: Final = 10_000


class RecentCheckpoints:
    """The last checkpoints, starts and events of this host, which the storage service may not have saved yet."""

    def __init__(self, history: HistoryTable, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._written: dict[str, tuple[str, datetime]] = {}
        self._started: dict[str, datetime] = {}
        self._sent: dict[str, datetime] = {}

    def note(self, history: History) -> None:
        """Note that a checkpoint was acknowledged."""
        # An ended instance may be purged by another process at any time, which must not look like a loss.
        if history.etag is not None and (history.status is None or not history.status.is_terminal):
            # `forget` was called before, so the entries are in the order of their times.
            self._written[history.instance_id] = (history.etag, self._clock.now())
            if len(self._written) > _REMEMBERED:
                del self._written[next(iter(self._written))]

    def note_start(self, instance_id: str) -> None:
        """Note that the start of an instance was acknowledged to a client."""
        self._note(self._started, instance_id)

    def note_sent(self, message: TaskMessage) -> None:
        """Note that a message of a client was acknowledged. Only external events and signals are remembered."""
        if isinstance(message.event, EventRaised):
            target = message.target.instance_id
            what = "a signal" if is_entity(target) else f'event "{message.event.name}"'
            self._note(self._sent, f'{what} to "{target}"')

    def _note(self, noted: dict[str, datetime], what: str) -> None:
        # The entries are in the order of their times.
        noted.pop(what, None)
        noted[what] = self._clock.now()
        if len(noted) > _NAMED:
            del noted[next(iter(noted))]

    def forget(self, instance_id: str, *, is_purged: bool = False) -> None:
        """Drop an instance that this host is about to change or, `is_purged`, to delete."""
        self._written.pop(instance_id, None)
        if is_purged:
            self._started.pop(instance_id, None)

    def starts_near(self, since: datetime) -> Sequence[str]:
        """Return the instances whose start was acknowledged after this time, or in the ten seconds before it.

        Only the last checkpoint of an instance is remembered, so the time of a lost one is not that of the first loss.
        """
        return [instance_id for instance_id, at in self._started.items() if at >= since - _SAVED_AFTER]

    def sent_since(self, since: datetime) -> Sequence[str]:
        """Describe the external events and signals that were acknowledged from this time on."""
        return [what for what, at in self._sent.items() if at >= since]

    async def lost(self) -> Mapping[str, datetime]:
        """Return the instances of the checkpoints that the storage has lost, with the times of these checkpoints.

        Raises EmulatorError if storage does not respond; the checkpoints are then compared by the next call.
        """
        asked_at = self._clock.now()
        if not self._written:
            self._drop_saved(asked_at)
            return {}
        remembered = list(self._written.items())
        # Evenly distributed, with the last one: a loss concerns all writes after a moment.
        step = -(-len(remembered) // _SAMPLES)
        samples = dict(remembered[::-step])
        stored = await self._history.sentinels(samples)
        lost: dict[str, datetime] = {}
        for instance_id, (etag, at) in samples.items():
            row = stored.get(instance_id)
            completed_at = row.properties.get("CheckpointCompletedTimestamp") if row else None
            # A later checkpoint is that of another host, which owns the instance now.
            is_later = isinstance(completed_at, Instant) and completed_at > Instant.of(at)
            is_stored = row is not None and (row.etag == etag or is_later)
            # Unless it was written again meanwhile.
            if not is_stored and self._written.get(instance_id) == (etag, at):
                lost[instance_id] = at
        for instance_id, written in remembered:
            if (lost or asked_at - written[1] > _SAVED_AFTER) and self._written.get(instance_id) == written:
                del self._written[instance_id]
        if not lost:
            self._drop_saved(asked_at)
        return lost

    def _drop_saved(self, now: datetime) -> None:
        """Drop the starts and events that the storage has saved meanwhile.

        Only after a comparison: an outage may last longer than the storage needs to save, and what was acknowledged
        shortly before it is lost nevertheless.
        """
        for noted in (self._started, self._sent):
            for what in [what for what, at in noted.items() if now - at > _SAVED_AFTER]:
                del noted[what]

"""States of a lease on a blob or container, as pure functions.

Source: "Lease Blob" and "Lease Container" of the Azure Storage REST reference, the tables of states and outcomes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Literal

from emulator.storage.builtin.database import Refused
from emulator.storage.builtin.timestamps import SECOND
from emulator.storage.port import LeaseState

Kind = Literal["blob", "container"]

_MIN_SECONDS, _MAX_SECONDS = 15, 60


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A stored lease. `seconds` None: infinite. `ends_at` (microseconds): when it expires, or breaking it ends."""

    state: LeaseState = LeaseState.AVAILABLE
    id: str | None = None
    seconds: int | None = None
    ends_at: int | None = None

    @property
    def locked(self) -> bool:
        """Whether writing the blob, or deleting the container, needs the lease id."""
        return self.state in (LeaseState.LEASED, LeaseState.BREAKING)


# The lease of a new blob or container, and of one that was released.
FREE = LeaseRecord()


def lease_at(lease: LeaseRecord, now: int) -> LeaseRecord:
    """Return the state of a stored lease at this time."""
    # Expiry is not stored when it happens. It follows from the time at which the lease is read.
    if lease.ends_at is None or now < lease.ends_at:
        return lease
    match lease.state:
        case LeaseState.LEASED:
            return replace(lease, state=LeaseState.EXPIRED, ends_at=None)
        case LeaseState.BREAKING:
            return replace(lease, state=LeaseState.BROKEN, ends_at=None)
        case _:
            return lease


# The functions below take a lease from `lease_at`. Each returns the new lease or raises Refused. Status, code and
# message of the refusals are those of the service.


def acquired(lease: LeaseRecord, lease_id: str, seconds: int | None, now: int) -> LeaseRecord:
    """Acquire the lease, or acquire it again under the same id."""
    lease_id = _checked_id(lease_id)
    if lease.state is LeaseState.BREAKING and lease.id == lease_id:
        raise Refused(
            409, "LeaseIsBreakingAndCannotBeAcquired", "There is already a breaking lease, and can't be acquired."
        )
    # An expired or broken lease may be acquired under any id.
    if lease.locked and lease.id != lease_id:
        raise Refused(409, "LeaseAlreadyPresent", "There is already a lease present.")
    if seconds is not None and not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
        raise Refused(
            400,
            "InvalidHeaderValue",
            f"The lease duration must be 15 to 60 seconds or infinite, not {seconds} s.",
        )
    return LeaseRecord(LeaseState.LEASED, lease_id, seconds, _end(now, seconds))


def renewed(lease: LeaseRecord, lease_id: str, now: int) -> LeaseRecord:
    """Renew the lease: its duration starts again. Works after its end, until it is acquired or the blob is written."""
    _check_held(lease, lease_id)
    # An expired lease may be renewed: its id is still stored, so it was not acquired since.
    if lease.state in (LeaseState.BREAKING, LeaseState.BROKEN):
        raise Refused(
            409,
            "LeaseIsBrokenAndCannotBeRenewed",
            "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.",
        )
    return replace(lease, state=LeaseState.LEASED, ends_at=_end(now, lease.seconds))


def changed(lease: LeaseRecord, lease_id: str, new_lease_id: str) -> LeaseRecord:
    """Change the id of the lease."""
    lease_id, new_lease_id = _checked_id(lease_id), _checked_id(new_lease_id)
    if not lease.locked:
        raise Refused(409, "LeaseNotPresentWithLeaseOperation", "There is currently no lease.")
    if lease.state is LeaseState.BREAKING and lease.id == lease_id:
        raise Refused(
            409,
            "LeaseIsBreakingAndCannotBeChanged",
            "The lease ID matched, but the lease is currently in breaking state and cannot be changed.",
        )
    # The new id is accepted as the current one, so that a repeated request succeeds.
    if lease.state is LeaseState.BREAKING or lease.id not in (lease_id, new_lease_id):
        raise _wrong_id()
    return replace(lease, id=new_lease_id)


def released(lease: LeaseRecord, lease_id: str) -> LeaseRecord:
    """Free the lease at once."""
    _check_held(lease, lease_id)
    return FREE


def broken(lease: LeaseRecord, after_seconds: int | None, now: int) -> LeaseRecord:
    """End the lease without its id."""
    if after_seconds is not None and not 0 <= after_seconds <= _MAX_SECONDS:
        raise Refused(400, "InvalidHeaderValue", f"The break period must be 0 to 60 seconds, not {after_seconds}.")
    match lease.state:
        case LeaseState.AVAILABLE:
            raise Refused(409, "LeaseNotPresentWithLeaseOperation", "There is currently no lease.")
        # The id stays, so that the holder gets LeaseIsBroken… from its next renewal.
        case LeaseState.LEASED | LeaseState.BREAKING:
            # The lease ends after the break period, but not later than it would have expired. Without a break period it
            # ends when it would have expired; an infinite lease ends at once.
            ends = [lease.ends_at, None if after_seconds is None else now + after_seconds * SECOND]
            ends_at = min((end for end in ends if end is not None), default=now)
            if ends_at > now:
                return LeaseRecord(LeaseState.BREAKING, lease.id, ends_at=ends_at)
            return LeaseRecord(LeaseState.BROKEN, lease.id)
        case _:
            return LeaseRecord(LeaseState.BROKEN, lease.id)


def check_access(lease: LeaseRecord, lease_id: str | None, kind: Kind) -> None:
    """Check the lease id of a request that writes the blob or deletes the container. Raises Refused."""
    scope = kind.capitalize()
    if lease.locked:
        if lease_id is None:
            raise Refused(
                412, "LeaseIdMissing", f"There is currently a lease on the {kind} and no lease ID was specified."
            )
        if _checked_id(lease_id) != lease.id:
            raise Refused(
                412,
                f"LeaseIdMismatchWith{scope}Operation",
                f"The lease ID specified did not match the lease ID for the {kind}.",
            )
    # A writer that gives an id relies on the lease. Without a lease, it must get an error instead of writing.
    elif lease_id is not None:
        raise Refused(
            412,
            f"LeaseNotPresentWith{scope}Operation",
            f"A lease ID was specified, but the lease for the {kind} has expired.",
        )


def after_write(lease: LeaseRecord) -> LeaseRecord:
    """Return the lease after a write to the blob."""
    # No holder can renew an expired or broken lease any more. It would assume that the blob is unchanged.
    return lease if lease.locked else FREE


def _check_held(lease: LeaseRecord, lease_id: str) -> None:
    if lease.id is None or lease.id != _checked_id(lease_id):
        raise _wrong_id()


def _checked_id(lease_id: str) -> str:
    """Return a lease id in its usual spelling. The service accepts GUIDs in all spellings."""
    try:
        return str(uuid.UUID(lease_id))
    except (ValueError, AttributeError, TypeError):
        raise Refused(400, "InvalidHeaderValue", f"The lease id {lease_id!r} is not a GUID.") from None


def _wrong_id() -> Refused:
    return Refused(
        409, "LeaseIdMismatchWithLeaseOperation", "The lease ID specified did not match the lease ID that is held."
    )


def _end(now: int, seconds: int | None) -> int | None:
    return None if seconds is None else now + seconds * SECOND

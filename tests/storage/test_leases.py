"""Leases of blobs and containers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emulator.storage.port import (
    AlreadyExists,
    BlobContainer,
    InvalidRequest,
    Lease,
    LeaseState,
    NotFound,
    PreconditionFailed,
)
from tests.storage.bench import LONG_ON_AZURITE, Bench, all_of, azurite_differs

OURS = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
THEIRS = "0f8fad5b-d9cb-469f-a165-70867728950e"
MINUTE = timedelta(seconds=60)
SHORTEST = timedelta(seconds=15)


@pytest.fixture
async def container(bench: Bench) -> BlobContainer:
    container = await bench.new_container()
    await container.write("blob", b"0")
    return container


@pytest.fixture(params=["blob", "container"])
def lease(request: pytest.FixtureRequest, container: BlobContainer) -> Lease:
    return container.lease("blob" if request.param == "blob" else None)


async def test_held_lease_cannot_be_acquired_under_another_id(lease: Lease) -> None:
    await lease.acquire(OURS, duration=MINUTE)
    with pytest.raises(AlreadyExists) as refused:
        await lease.acquire(THEIRS, duration=MINUTE)
    assert (refused.value.status, refused.value.code) == (409, "LeaseAlreadyPresent")
    await lease.acquire(OURS, duration=MINUTE)
    await lease.renew(OURS)


async def test_a_released_lease_is_free_at_once(lease: Lease) -> None:
    await lease.acquire(OURS, duration=None)
    await lease.release(OURS)
    await lease.acquire(THEIRS, duration=MINUTE)


async def test_only_the_holder_renews_and_releases(lease: Lease) -> None:
    await lease.acquire(OURS, duration=MINUTE)
    for call in (lease.renew(THEIRS), lease.release(THEIRS)):
        with pytest.raises(AlreadyExists) as refused:
            await call
        assert refused.value.code == "LeaseIdMismatchWithLeaseOperation"


async def test_free_lease_cannot_be_renewed(lease: Lease) -> None:
    for call in (lease.renew(OURS), lease.release(OURS)):
        with pytest.raises(AlreadyExists):
            await call


async def test_a_lease_is_handed_over_by_changing_its_id(lease: Lease) -> None:
    await lease.acquire(OURS, duration=MINUTE)
    await lease.change(OURS, new_lease_id=THEIRS)
    with pytest.raises(AlreadyExists):
        await lease.renew(OURS)
    await lease.renew(THEIRS)
    await lease.change(OURS, new_lease_id=THEIRS)  # again: it is theirs already
    with pytest.raises(AlreadyExists):
        await lease.change(OURS, new_lease_id=OURS)


async def test_free_lease_cannot_be_changed(lease: Lease) -> None:
    with pytest.raises(AlreadyExists) as refused:
        await lease.change(OURS, new_lease_id=THEIRS)
    assert refused.value.code == "LeaseNotPresentWithLeaseOperation"


async def test_breaking_at_once_frees_it(lease: Lease) -> None:
    await lease.acquire(OURS, duration=None)
    await lease.break_(after=timedelta(0))
    with pytest.raises(AlreadyExists):
        await lease.renew(OURS)
    await lease.acquire(THEIRS, duration=MINUTE)


async def test_breaking_lease_cannot_be_acquired_until_its_end(bench: Bench, lease: Lease) -> None:
    await lease.acquire(OURS, duration=MINUTE)
    await lease.break_(after=timedelta(seconds=2))
    with pytest.raises(AlreadyExists):
        await lease.acquire(THEIRS, duration=MINUTE)
    with pytest.raises(AlreadyExists):
        await lease.renew(OURS)
    await bench.passes(3)
    await lease.acquire(THEIRS, duration=MINUTE)


@pytest.mark.parametrize("seconds", [14, 61, 0])
async def test_a_lease_lasts_15_to_60_seconds(lease: Lease, seconds: int) -> None:
    with pytest.raises(InvalidRequest):
        await lease.acquire(OURS, duration=timedelta(seconds=seconds))


async def test_one_of_many_concurrent_acquisitions_succeeds(lease: Lease) -> None:
    ids = [f"{number:08}-0000-0000-0000-000000000000" for number in range(6)]
    results = await all_of(*(lease.acquire(lease_id, duration=MINUTE) for lease_id in ids))
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 5


@LONG_ON_AZURITE
async def test_expired_lease_can_be_acquired_under_any_id(bench: Bench, container: BlobContainer) -> None:
    lost, whole = container.lease("blob"), container.lease()
    kept, back = container.lease("kept"), container.lease("back")
    await container.write("kept", b"")
    await container.write("back", b"")
    for lease in (lost, whole, kept, back):
        await lease.acquire(OURS, duration=SHORTEST)
    await bench.passes(8)
    await kept.renew(OURS)
    await bench.passes(8)
    assert (await container.properties("blob")).lease_state is LeaseState.EXPIRED
    # Others may take it,
    await lost.acquire(THEIRS, duration=MINUTE)
    await whole.acquire(THEIRS, duration=MINUTE)
    # its old holder may have it back,
    await back.renew(OURS)
    assert (await container.properties("back")).lease_state is LeaseState.LEASED
    # and one that was renewed in time has not expired.
    with pytest.raises(AlreadyExists):
        await kept.acquire(THEIRS, duration=MINUTE)


async def test_a_leased_blob_is_written_and_deleted_only_with_the_id(container: BlobContainer) -> None:
    lease = container.lease("blob")
    await lease.acquire(OURS, duration=MINUTE)
    for call, code in (
        (container.write("blob", b"1"), "LeaseIdMissing"),
        (container.write("blob", b"1", lease_id=THEIRS), "LeaseIdMismatchWithBlobOperation"),
        (container.delete("blob"), "LeaseIdMissing"),
        (container.delete("blob", lease_id=THEIRS), "LeaseIdMismatchWithBlobOperation"),
    ):
        with pytest.raises(PreconditionFailed) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (412, code)
    assert await container.read("blob") == b"0"
    await container.write("blob", b"1", lease_id=OURS)
    properties = await container.properties("blob")
    assert properties.lease_state is LeaseState.LEASED
    assert await container.delete("blob", lease_id=OURS)


async def test_a_lease_id_on_a_blob_without_lease_is_refused(container: BlobContainer) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        await container.write("blob", b"1", lease_id=OURS)
    assert refused.value.code == "LeaseNotPresentWithBlobOperation"


async def test_writing_keeps_the_lease(container: BlobContainer) -> None:
    lease = container.lease("blob")
    await lease.acquire(OURS, duration=MINUTE)
    await container.write("blob", b"1", lease_id=OURS)
    await lease.renew(OURS)


async def test_lease_operations_keep_the_etag(container: BlobContainer) -> None:
    before = (await container.properties("blob")).etag
    await container.lease("blob").acquire(OURS, duration=MINUTE)
    assert (await container.properties("blob")).etag == before


async def test_a_leased_container_is_deleted_only_with_the_id(container: BlobContainer) -> None:
    await container.lease().acquire(OURS, duration=None)
    await container.write("free", b"blobs are not concerned")
    with pytest.raises(PreconditionFailed):
        await container.drop()
    with pytest.raises(PreconditionFailed):
        await container.drop(lease_id=THEIRS)
    assert await container.drop(lease_id=OURS)


async def test_lease_of_a_missing_blob_raises_not_found(container: BlobContainer) -> None:
    for call in (container.lease("no").acquire(OURS, duration=MINUTE), container.lease("no").renew(OURS)):
        with pytest.raises(NotFound) as refused:
            await call
        assert refused.value.code == "BlobNotFound"


async def test_a_lease_id_must_be_a_guid(bench: Bench, lease: Lease) -> None:
    azurite_differs(bench, "takes any text as a lease id")
    with pytest.raises(InvalidRequest):
        await lease.acquire("not a guid", duration=MINUTE)

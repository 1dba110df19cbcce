"""Containers and block blobs: content, conditions, listing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from emulator.storage.port import AlreadyExists, InvalidRequest, LeaseState, NotFound, PreconditionFailed
from tests.storage.bench import Bench, all_of, collected, unique


async def test_content_is_read_as_written(bench: Bench) -> None:
    container = await bench.new_container()
    content = bytes(range(256)) * 3
    await container.write("a.bin", content)
    assert await container.read("a.bin") == content
    await container.write("a.bin", b"")
    assert await container.read("a.bin") == b""


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_large_content_is_read_as_written(bench: Bench) -> None:
    container = await bench.new_container()
    content = bytes(range(251)) * 40_000
    await container.write("large", content)
    assert hashlib.md5(await container.read("large")).digest() == hashlib.md5(content).digest()


async def test_properties_of_a_blob(bench: Bench) -> None:
    container = await bench.new_container()
    before = bench.clock.now() - timedelta(seconds=1)
    written = await container.write("a.txt", b"hello", content_type="text/plain", metadata={"Author": "ada", "n": "1"})
    properties = await container.properties("a.txt")
    assert (properties.name, properties.size, properties.content_type) == ("a.txt", 5, "text/plain")
    assert properties.metadata == {"Author": "ada", "n": "1"}
    assert properties.etag == written.etag
    assert properties.lease_state is LeaseState.AVAILABLE
    assert before <= properties.last_modified <= bench.clock.now()
    assert properties.created_at is not None
    assert properties.content_md5 == hashlib.md5(b"hello").digest()


async def test_the_default_content_type_and_no_metadata(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"x")
    properties = await container.properties("a")
    assert (properties.content_type, dict(properties.metadata)) == ("application/octet-stream", {})


async def test_writing_again_replaces_everything(bench: Bench) -> None:
    container = await bench.new_container()
    first = await container.write("a", b"long content", content_type="text/plain", metadata={"k": "v"})
    second = await container.write("a", b"x")
    properties = await container.properties("a")
    assert second.etag != first.etag
    assert (properties.size, properties.content_type, dict(properties.metadata)) == (1, "application/octet-stream", {})


async def test_compressed_content_is_not_decompressed(bench: Bench) -> None:
    import gzip

    container = await bench.new_container()
    content = gzip.compress(b"x" * 1000)
    await container.write("a.json.gz", content)
    assert await container.read("a.json.gz") == content


async def test_a_blob_can_be_written_only_if_it_is_new(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"first", only_if_new=True)
    with pytest.raises(AlreadyExists) as refused:
        await container.write("a", b"second", only_if_new=True)
    assert (refused.value.status, refused.value.code) == (409, "BlobAlreadyExists")
    assert await container.read("a") == b"first"


async def test_one_of_two_concurrent_writes_only_if_new_succeeds(bench: Bench) -> None:
    container = await bench.new_container()
    results = await all_of(*(container.write("a", b"%d" % number, only_if_new=True) for number in range(5)))
    assert sum(isinstance(result, AlreadyExists) for result in results) == 4


async def test_a_blob_can_be_written_only_if_it_is_unchanged(bench: Bench) -> None:
    container = await bench.new_container()
    first = await container.write("a", b"1")
    second = await container.write("a", b"2", if_match=first.etag)
    with pytest.raises(PreconditionFailed) as refused:
        await container.write("a", b"3", if_match=first.etag)
    assert (refused.value.status, refused.value.code) == (412, "ConditionNotMet")
    assert (await container.properties("a")).etag == second.etag
    assert await container.read("a") == b"2"


async def test_one_of_two_concurrent_writes_with_one_etag_succeeds(bench: Bench) -> None:
    container = await bench.new_container()
    first = await container.write("a", b"0")
    results = await all_of(*(container.write("a", b"%d" % number, if_match=first.etag) for number in range(1, 5)))
    assert sum(isinstance(result, PreconditionFailed) for result in results) == 3


async def test_a_blob_is_deleted_once(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"x")
    assert await container.delete("a")
    assert not await container.delete("a")
    with pytest.raises(NotFound) as refused:
        await container.read("a")
    assert (refused.value.status, refused.value.code) == (404, "BlobNotFound")
    with pytest.raises(NotFound):
        await container.properties("a")


NAMES = [
    "a",
    "a/b/c.txt",
    "A",
    "a b",
    "ä€😀",
    "it's",
    "100%",
    "a+b",
    "a?b",
    "a#b",
    "@x@y/message-1.json.gz",
    "a%2Fb",
    "~x",
]


async def test_any_blob_name(bench: Bench) -> None:
    container = await bench.new_container()
    for name in NAMES:
        await container.write(name, name.encode())
    assert sorted([blob.name async for blob in container.list()]) == sorted(NAMES)
    for name in NAMES:
        assert await container.read(name) == name.encode()
        assert (await container.properties(name)).name == name
        assert await container.delete(name)


async def test_blobs_are_listed_by_name_with_their_properties(bench: Bench) -> None:
    container = await bench.new_container()
    for name in ("b", "a/2", "a/1", "B", "a", "c"):
        await container.write(name, name.encode(), content_type="text/plain", metadata={"name": "x"})
    blobs = await collected(container.list())
    assert [blob.name for blob in blobs] == ["B", "a", "a/1", "a/2", "b", "c"]
    for blob in blobs:
        assert blob == await container.properties(blob.name)


async def test_blobs_are_listed_by_prefix(bench: Bench) -> None:
    container = await bench.new_container()
    for name in ("i1/x", "i1/y", "i10/x", "i", "I1/x"):
        await container.write(name, b"")
    assert [blob.name async for blob in container.list("i1/")] == ["i1/x", "i1/y"]
    assert [blob.name async for blob in container.list("i1")] == ["i1/x", "i1/y", "i10/x"]
    assert [blob.name async for blob in container.list("zzz")] == []


async def test_a_container_is_created_once_and_dropped_once(bench: Bench) -> None:
    container = bench.account.container(unique("container"))
    assert not await container.exists()
    assert await container.create()
    assert not await container.create()
    assert await container.exists()
    assert await container.drop()
    assert not await container.drop()
    assert not await container.exists()


async def test_missing_container_raises_not_found(bench: Bench) -> None:
    container = bench.account.container(unique("absent"))
    for call in (
        container.write("a", b""),
        container.read("a"),
        collected(container.list()),
        container.delete("a"),
        container.lease().acquire("3f2504e0-4f89-41d3-9a0c-0305e82c3301", duration=None),
        container.lease("a").acquire("3f2504e0-4f89-41d3-9a0c-0305e82c3301", duration=None),
    ):
        with pytest.raises(NotFound) as refused:
            await call
        assert refused.value.code == "ContainerNotFound"
    with pytest.raises(NotFound):
        await container.properties("a")


@pytest.mark.parametrize("name", ["ab", "a" * 64, "UPPER", "under_score", "-lead", "trail-", "two--dashes"])
async def test_invalid_container_names_are_refused(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await bench.account.container(name).create()


async def test_urls_are_escaped_by_segment(bench: Bench) -> None:
    container = await bench.new_container()
    assert container.url("@counter@k/x y.json.gz").endswith(f"/{container.name}/%40counter%40k/x%20y.json.gz")
    assert container.url("a-b_c.d~e/ä").endswith("/a-b_c.d~e/%C3%A4")
    assert "://" in container.url("a")


async def test_blanks_around_metadata_are_not_part_of_it(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"", metadata={"note": " two words\t"})
    assert dict((await container.properties("a")).metadata) == {"note": "two words"}


async def test_empty_content_type_means_the_default(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"", content_type="")
    assert (await container.properties("a")).content_type == "application/octet-stream"


@pytest.mark.parametrize("character", ["\x01", "\t", "\x7f", "\x85", "\uffff"])
async def test_a_blob_name_has_no_control_characters(bench: Bench, character: str) -> None:
    """Azurite would take such a name, and then refuse to list the container."""

    async def blocks() -> AsyncIterator[bytes]:
        yield b"x"

    container = await bench.new_container()
    message = re.escape(f"has the character U+{ord(character):04X} at position 2")
    with pytest.raises(InvalidRequest, match=message):
        await container.write(f"a{character}b", b"")
    with pytest.raises(InvalidRequest, match=message):
        await container.write_blocks(f"a{character}b", blocks())
    assert [blob.name async for blob in container.list()] == []


async def test_a_blob_name_has_no_half_of_a_surrogate_pair(bench: Bench) -> None:
    container = await bench.new_container()
    with pytest.raises(InvalidRequest):
        await container.write("a\ud800b", b"")


async def test_metadata_names_must_be_identifiers(bench: Bench) -> None:
    container = await bench.new_container()
    with pytest.raises(InvalidRequest):
        await container.write("a", b"", metadata={"not-a-name": "x"})


async def test_metadata_are_replaced_and_give_a_new_version(bench: Bench) -> None:
    container = await bench.new_container()
    written = await container.write("a", b"content", content_type="text/plain", metadata={"Old": "1"})
    await container.set_metadata("a", {"New": " 2 "})
    properties = await container.properties("a")
    assert (properties.metadata, properties.content_type) == ({"New": "2"}, "text/plain")
    assert properties.etag != written.etag
    assert properties.created_at is not None
    assert await container.read("a") == b"content"
    await container.set_metadata("a", {})
    assert (await container.properties("a")).metadata == {}


async def test_metadata_of_a_leased_blob_need_its_lease(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"")
    lease_id = "11111111-2222-3333-4444-555555555555"
    await container.lease("a").acquire(lease_id, duration=timedelta(seconds=15))
    with pytest.raises(PreconditionFailed):
        await container.set_metadata("a", {"n": "1"})
    await container.set_metadata("a", {"n": "1"}, lease_id=lease_id)
    properties = await container.properties("a")
    assert (properties.metadata, properties.lease_state) == ({"n": "1"}, LeaseState.LEASED)


async def test_metadata_of_what_does_not_exist(bench: Bench) -> None:
    container = await bench.new_container()
    with pytest.raises(NotFound):
        await container.set_metadata("missing", {})
    with pytest.raises(NotFound):
        await bench.account.container(unique("missing")).set_metadata("a", {})
    await container.write("a", b"")
    with pytest.raises(InvalidRequest):
        await container.set_metadata("a", {"no identifier": "1"})


async def test_the_kind_of_a_blob_and_missing_properties(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"x")
    [listed] = await collected(container.list())
    for properties in (await container.properties("a"), listed):
        assert properties.blob_type == "BlockBlob"
        assert (properties.content_encoding, properties.cache_control) == (None, None)

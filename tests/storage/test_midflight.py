"""The recorded hubs can be loaded, under any name, into any store."""

from __future__ import annotations

import gzip

import pytest

from emulator.instant import Instant
from emulator.storage.paging import query_rows
from tests.recordings import GOLDEN_3_19
from tests.recordings.loading import load_hub
from tests.storage.bench import Bench, bodies, collected, keys, unique


@pytest.mark.parametrize("name", GOLDEN_3_19.midflight_names)
async def test_a_recorded_hub_arrives_whole(bench: Bench, name: str) -> None:
    recorded = GOLDEN_3_19.midflight(name)
    old, storage = recorded["hub"], recorded["storage"]
    hub = unique("Hub")
    loaded = await load_hub(bench.account, recorded, hub)
    assert loaded.expect == recorded["expect"]
    for name, rows in storage["tables"].items():
        assert len(await keys(query_rows(bench.account.table(name.replace(old, hub))))) == len(rows)
    for name, messages in storage["queues"].items():
        assert await bench.account.queue(name.replace(old.lower(), hub.lower())).count() == len(messages)
    for name, blobs in storage["blobs"].items():
        found = await collected(bench.account.container(name.replace(old.lower(), hub.lower())).list())
        assert len(found) == len(blobs)


async def test_names_inside_move_with_the_hub(bench: Bench) -> None:
    hub = unique("Hub")
    await load_hub(bench.account, GOLDEN_3_19.midflight("large_payload_kept"), hub)
    rows = [row async for row in query_rows(bench.account.table(f"{hub}Instances"))]
    assert {row.properties["TaskHubName"] for row in rows} == {hub}
    assert isinstance(rows[0].properties["CreatedTime"], Instant)
    container = bench.account.container(f"{hub.lower()}-largemessages")
    blobs = await collected(container.list())
    assert blobs
    for blob in blobs:
        assert "gmid" not in gzip.decompress(await container.read(blob.name)).decode().lower()
    leases = await keys(query_rows(bench.account.table(f"{hub}Partitions")))
    assert [row_key for _, row_key in leases] == [f"{hub.lower()}-control-{number:02}" for number in range(4)]


async def test_what_the_dead_host_had_taken_is_visible_and_a_timer_is_not(bench: Bench) -> None:
    taken, timer = unique("Hub"), unique("Hub")
    await load_hub(bench.account, GOLDEN_3_19.midflight("started_but_never_seen"), taken)
    await load_hub(bench.account, GOLDEN_3_19.midflight("waiting_for_timer"), timer)
    queues = [name async for name in bench.account.queues(taken.lower())]
    assert any([await bodies(bench.account.queue(name)) for name in queues])
    hidden = [bench.account.queue(name) async for name in bench.account.queues(timer.lower())]
    assert sum([await queue.count() for queue in hidden]) == 1
    assert not any([await bodies(queue) for queue in hidden])

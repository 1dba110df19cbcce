"""Blob triggers in virtual time on the built-in store: which blobs start which function, and how often.

Each test names the recording that it follows. Not compared are how often storage is only looked at (azemu needs fewer
requests), the intervals of scans, and what `blob_hybrid_logs` and `blob_hybrid_no_logs` show of the container $logs,
which azemu does not read. Other modules: `blob_patterns`, `blob_bad_paths` (test_trigger_path.py), values of all
scenarios and `blob_types` (test_trigger_values.py), `blob_eventgrid*` (test_event_webhook.py), `blob_hybrid`
(test_account_scan.py).
"""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.accounts import open_connection
from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection, parse_connection
from emulator.extensions.blobs.trigger_messages import TriggerMessage, stored_text
from emulator.storage import rest
from emulator.storage.builtin import open_builtin
from emulator.storage.port import NotFound, Queue, QueueMessage
from emulator.virtual_time import VirtualClock
from tests.extensions.blobs.blob_apps import RECEIVING, STORAGE, BlobApp, read_received, run_blob_app, trigger
from tests.processes import started
from tests.running_apps import write_app
from tests.storage.bench import unique
from tests.storage_calls import StorageCalls
from tests.waiting import eventually, eventually_sync, logged

HOST_ID = "golden-1"
SAME_HOST = {"AzureFunctionsWebHost__hostid": HOST_ID}
QUEUE = f"azure-webjobs-blobtrigger-{HOST_ID}"
POISON = "webjobs-blobtrigger-poison"


async def test_each_version_of_a_blob_runs_once_and_leaves_a_receipt(tmp_path: Path, clock: VirtualClock) -> None:
    """Old blobs, new ones, the same again, other metadata, an empty one: the recording `blob_first`."""
    storage = f"builtin:{tmp_path / 'storage.db'}"
    options: dict[str, Any] = {"clock": clock, "storage": storage, "settings": SAME_HOST}
    etags = []
    async with run_blob_app(tmp_path, trigger("other", "elsewhere/{name}"), **options) as app:
        etags.append(await app.upload("c-work/a.txt", "one", {"Colour": "red"}))
        etags.append(await app.upload("c-work/empty.txt", ""))
        await app.upload("c-work/noext", "not matched")
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}.{ext}"), **options) as app:
        lines = await app.wait_for_runs(2)
        by_name = {line["name"]: line for line in lines}
        first = by_name["c-work/a.txt"]
        assert (bytes.fromhex(first["content"]), first["length"], first["metadata"]) == (b"one", 3, {"Colour": "red"})
        assert first["uri"].endswith("/devstoreaccount1/c-work/a.txt")
        assert first["properties"]["ContentLength"] == 3
        assert by_name["c-work/empty.txt"]["length"] is None
        etags.append(await app.upload("c-work/later.txt", "l"))
        await app.wait_for_runs(3)
        etags.append(await app.upload("c-work/a.txt", "two"))
        await app.wait_for_runs(4)
        await app.account.container("c-work").set_metadata("later.txt", {"n": "1"})
        await app.wait_for_runs(5)
        etags.append((await app.account.container("c-work").properties("later.txt")).etag)
        names = ["a.txt", "empty.txt", "later.txt", "a.txt", "later.txt"]
        expected = {f"Host.Functions.f/{etag}/c-work/{name}" for etag, name in zip(etags, names, strict=True)}
        assert await app.receipts() == {name: {} for name in expected}
        await eventually(lambda: _is_empty(app.account.queue(QUEUE)), "an empty queue", clock=clock)
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}.{ext}"), **options) as app:
        await app.upload("c-work/while.up", "u")
        await app.wait_for_runs(6)
        await clock.sleep(30)
    contents = [bytes.fromhex(line["content"]) for line in app.received]
    assert (sorted(contents[:2]), contents[2:]) == ([b"", b"one"], [b"l", b"two", b"l", b"u"])


async def _is_empty(queue: Queue) -> bool:
    return await queue.count() == 0


async def test_changes_of_storage_come_in_the_recorded_order(tmp_path: Path, clock: VirtualClock) -> None:
    calls = StorageCalls()
    async with run_blob_app(
        tmp_path, trigger("BBytes", "c-work/{name}.{ext}"), clock=clock, settings=SAME_HOST, around_account=calls.around
    ) as app:
        etag = await app.upload("c-work/a.txt", "one")
        await app.wait_for_runs(1)
        await eventually(lambda: calls.of(QUEUE)[-1].operation == "delete", "the deleted message", clock=clock)
    receipt = f"azure-webjobs-hosts/blobreceipts/{HOST_ID}/Host.Functions.BBytes/{etag}/c-work/a.txt"
    changes = [change for change in calls.changes if change.target in (receipt, QUEUE)]
    # As in the recording `blob_first`: the queue is created when the first message is put.
    assert [change.operation for change in changes] == [
        "put blob",
        "lease acquire",
        "create",
        "put",
        "set metadata",
        "lease release",
        "delete",
    ]
    made, leased, _, put, completed = changes[:5]
    assert (made.arguments["content"], made.arguments["metadata"]) == (b"", {"Incomplete": "Incomplete"})
    assert made.arguments["only_if_new"] is True
    assert leased.arguments["duration"] == timedelta(seconds=30)
    assert base64.b64decode(put.arguments["body"]).decode() == (
        '{\n  "Type": "BlobTrigger",\n  "FunctionId": "Host.Functions.BBytes",\n  "BlobType": "BlockBlob",\n'
        f'  "ContainerName": "c-work",\n  "BlobName": "a.txt",\n  "ETag": {json.dumps(etag)}\n}}'
    )
    assert completed.arguments["metadata"] == {}
    locked = [change for change in calls.changes if change.target.endswith("/WebJobs.Internal.Blobs.Listener")]
    assert [change.operation for change in locked] == ["put blob", "lease acquire", "lease release"]
    assert locked[1].arguments["duration"] == timedelta(seconds=60)
    assert locked[1].target == f"azure-webjobs-hosts/locks/{HOST_ID}/WebJobs.Internal.Blobs.Listener"


async def test_functions_of_one_container_are_independent_and_one_that_joins_gets_old_blobs(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The recording `blob_two_functions`, situation 23."""
    storage = f"builtin:{tmp_path / 'storage.db'}"
    two = (trigger("first", "c-work/{name}"), trigger("second", "c-work/{name}.txt"))
    async with run_blob_app(tmp_path, *two, clock=clock, storage=storage) as app:
        for number in range(5):
            await app.upload(f"c-work/{number}.txt", "x")
        await app.upload("c-work/6.csv", "x")
        await app.wait_for_runs(11)
    await clock.sleep(2)
    assert "from before this start" not in caplog.text
    third = trigger("third", "c-work/{name}")
    async with run_blob_app(tmp_path, *two, third, clock=clock, storage=storage) as app:
        await app.wait_for_runs(17)
        await clock.sleep(10)
        assert [name for function, name in app.runs if function == "third"] == [
            *(f"c-work/{number}.txt" for number in range(5)),
            "c-work/6.csv",
        ]
        assert len(app.received) == 17
    assert (
        "Container 'c-work' has 6 blobs for function 'third' from before this start, which are processed" in caplog.text
    )
    assert "for function 'first' from before" not in caplog.text


async def test_outputs_of_one_function_start_another(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_copy`: trigger, input and output with one capture, and a function that watches the output."""
    copying = f"""
@app.blob_trigger(arg_name="blob", path="c-work/in/{{name}}", connection="{STORAGE}")
@app.blob_input(arg_name="beside", path="c-work/beside/{{name}}", connection="{STORAGE}")
@app.blob_output(arg_name="copy", path="c-copies/{{name}}", connection="{STORAGE}")
def copying(blob: func.InputStream, beside: bytes, copy: func.Out[bytes]):
    copy.set(blob.read() + (beside or b" alone"))
"""
    async with run_blob_app(tmp_path, copying, trigger("copies", "c-copies/{name}"), clock=clock) as app:
        await app.upload("c-work/beside/a/b.txt", " and two")
        await app.upload("c-work/in/a/b.txt", "one")
        await app.upload("c-work/in/c.txt", "three")
        lines = await app.wait_for_runs(2)
        copies = {line["name"]: bytes.fromhex(line["content"]) for line in lines}
        assert copies == {"c-copies/a/b.txt": b"one and two", "c-copies/c.txt": b"three alone"}
        await clock.sleep(10)
        assert len(app.received) == 2


async def test_a_container_may_come_later_go_and_come_again(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_missing_container`."""
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), clock=clock) as app:
        await clock.sleep(10)
        await app.upload("c-work/a", "1")
        await app.wait_for_runs(1)
        await app.account.container("c-work").drop()
        await clock.sleep(10)
        await app.upload("c-work/a", "2")
        await app.wait_for_runs(2)
        await clock.sleep(10)
        assert [bytes.fromhex(line["content"]) for line in app.received] == [b"1", b"2"]


@pytest.mark.parametrize("threshold", [5, 2, 1])
async def test_a_blob_that_fails_goes_to_the_poison_queue(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, threshold: int
) -> None:
    """The recordings `blob_fails` and `blob_threshold_2`; options of queues have no effect."""
    host = {
        "extensions": {
            "blobs": {"poisonBlobThreshold": threshold, "maxDegreeOfParallelism": 1},
            "queues": {"visibilityTimeout": "00:10:00", "maxDequeueCount": 9},
        }
    }
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), clock=clock, host=host) as app:
        began = clock.now()
        etag = await app.upload("c-work/bad", "fail")
        [poison] = await eventually(lambda: app.messages(POISON), "a poison message", clock=clock)
        assert clock.now() - began < timedelta(seconds=30)
        await clock.sleep(30)
        assert len(app.received) == threshold
        content = json.loads(base64.b64decode(poison.body))
        assert (content["FunctionId"], content["BlobName"], content["ETag"]) == ("Host.Functions.f", "bad", etag)
        text = f"Message has reached MaxDequeueCount of {threshold}. Moving message to queue '{POISON}'."
        assert caplog.messages.count(text) == 1
        # Only a new version runs again.
        await app.upload("c-work/bad", "good")
        await app.wait_for_runs(threshold + 1)


async def test_a_retry_policy_applies_to_each_delivery(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_retry`."""
    function = '@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:02")'
    host = {"extensions": {"blobs": {"poisonBlobThreshold": 2}}}
    app_with_retry = trigger("f", "c-work/{name}").replace("@app.blob", f"{function}\n@app.blob")
    async with run_blob_app(tmp_path, app_with_retry, clock=clock, host=host) as app:
        began = clock.now()
        await app.upload("c-work/bad", "fail")
        await eventually(lambda: app.messages(POISON), "a poison message", clock=clock)
        assert len(app.received) == 2 * 3
        assert clock.now() - began >= timedelta(seconds=8)


async def test_a_blob_that_changes_while_it_waits_runs_with_its_new_content(tmp_path: Path) -> None:
    """The recording `blob_changes_while_queued`, situation 25; in real time, for virtual time waits for functions."""
    host = {"extensions": {"blobs": {"maxDegreeOfParallelism": 1}}}
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), host=host) as app:
        await app.upload("c-work/slow", "sleep:1.5")
        await app.wait_for_runs(1)
        container = app.account.container("c-work")
        await app.upload("c-work/deleted", "d")
        old = await app.upload("c-work/overwritten", "old")
        await eventually(lambda: _has_receipt(app, f"Host.Functions.f/{old}/c-work/overwritten"), "queued blobs")
        assert len(app.received) == 1
        await container.delete("deleted")
        await app.upload("c-work/overwritten", "new")
        await app.wait_for_runs(2)
        # Overwritten and deleted while its own function runs.
        await app.upload("c-work/running", "sleep:0.3")
        await app.wait_for_runs(3)
        await app.upload("c-work/running", "again")
        await app.wait_for_runs(4)
        await app.upload("c-work/gone", "sleep:0.3")
        await app.wait_for_runs(5)
        await container.delete("gone")
        await app.upload("c-work/last", "x")
        await app.wait_for_runs(6)
        contents = [(line["name"], bytes.fromhex(line["content"])) for line in app.received]
        assert contents == [
            ("c-work/slow", b"sleep:1.5"),
            ("c-work/overwritten", b"new"),
            ("c-work/running", b"sleep:0.3"),
            ("c-work/running", b"again"),
            ("c-work/gone", b"sleep:0.3"),
            ("c-work/last", b"x"),
        ]
        assert await app.messages(POISON) == []


async def _has_receipt(app: BlobApp, name: str) -> bool:
    return (await app.receipts()).get(name) == {}


async def test_no_blob_of_the_same_second_is_missed(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_same_second`, situation 24: the extension loses some of them."""
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), clock=clock) as app:
        await clock.sleep(5)
        for number in range(50):
            await app.upload(f"c-work/{number}", "x")
            await clock.sleep(0.2)
        await app.wait_for_runs(50)
        await clock.sleep(10)
        assert sorted(app.runs) == sorted(("f", f"c-work/{number}") for number in range(50))


async def test_many_blobs_run_beside_each_other_up_to_the_limit(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_many`."""
    counting = """
running = most = 0

@app.blob_trigger(arg_name="blob", path="c-work/{name}", connection="AzureWebJobsStorage")
def f(blob: func.InputStream):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    time.sleep(0.005)
    with lock:
        running -= 1
    received("f", blob, most=most)
"""
    host = {"extensions": {"blobs": {"maxDegreeOfParallelism": 6}}}
    settings = {"PYTHON_THREADPOOL_THREAD_COUNT": "32"}
    async with run_blob_app(tmp_path, counting, clock=clock, host=host, settings=settings) as app:
        container = await app.container("c-work")
        for number in range(150):
            await container.write(str(number), b"x")
        lines = await app.wait_for_runs(150)
        assert len({line["name"] for line in lines}) == 150
        assert 1 < max(line["most"] for line in lines) <= 6


async def test_a_receipt_that_a_killed_host_left_is_completed(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_kill`: one that is free at once, one that is leased when its lease is over."""
    storage = f"builtin:{tmp_path / 'storage.db'}"
    options: dict[str, Any] = {"clock": clock, "storage": storage, "settings": SAME_HOST}
    async with run_blob_app(tmp_path, trigger("other", "elsewhere/{name}"), **options) as app:
        receipts = await app.container("azure-webjobs-hosts")
        for name, is_leased in (("free", False), ("leased", True)):
            etag = await app.upload(f"c-work/{name}", "x")
            receipt = f"blobreceipts/{HOST_ID}/Host.Functions.f/{etag}/c-work/{name}"
            await receipts.write(receipt, b"", metadata={"Incomplete": "Incomplete"})
            if is_leased:
                lease_id = "11111111-2222-3333-4444-555555555555"
                await receipts.lease(receipt).acquire(lease_id, duration=timedelta(seconds=60))
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), **options) as app:
        [line] = await app.wait_for_runs(1)
        assert line["name"] == "c-work/free"
        before = clock.now()
        await app.wait_for_runs(2, every=2)
        assert clock.now() - before < timedelta(seconds=65)
        await clock.sleep(30)
        assert app.runs == [("f", "c-work/free"), ("f", "c-work/leased")]
        assert all(metadata == {} for metadata in (await app.receipts()).values())


async def test_a_stop_lets_running_functions_end_and_leaves_the_rest(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_stop`, situation 23: what was not begun runs at the next start, nothing twice."""
    storage = f"builtin:{tmp_path / 'storage.db'}"
    host = {"extensions": {"blobs": {"maxDegreeOfParallelism": 2}}}
    options: dict[str, Any] = {"clock": clock, "storage": storage, "host": host}
    # Before the start: on a busy machine, the functions could be as fast as the uploads.
    async with open_builtin(tmp_path / "storage.db", clock) as account:
        container = account.container("c-work")
        await container.create()
        for number in range(30):
            await container.write(str(number), b"sleep:0.05")
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), **options) as app:
        # In real time: virtual time would not advance before all functions have ended.
        await eventually(lambda: len(app.received) >= 3, "three runs", every=0.01)
    begun = len(app.received)
    assert begun < 30
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), **options) as app:
        await app.wait_for_runs(30)
        await clock.sleep(30)
    assert sorted(app.runs) == sorted(("f", f"c-work/{number}") for number in range(30))


async def test_an_outage_of_storage_loses_nothing(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = StorageCalls()
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), clock=clock, around_account=calls.around) as app:
        await app.upload("c-work/before", "x")
        await app.wait_for_runs(1)
        container = app.account.container("c-work")
        await container.write("last", b"x")
        calls.cut_off = True
        with clock.running(upkeep=True):
            await logged(caplog, "Storage does not respond.", clock=clock)
            await clock.sleep(30)
            calls.cut_off = False
            await app.upload("c-work/after", "x")
            await app.wait_for_runs(3)
        assert app.runs == [("f", "c-work/after"), ("f", "c-work/before"), ("f", "c-work/last")]
    assert caplog.text.count("Storage does not respond.") == 1
    assert f"Moving message to queue '{POISON}'" not in caplog.text


async def test_blobs_of_another_account_have_their_poison_queue_there(tmp_path: Path, clock: VirtualClock) -> None:
    settings = {"Photos": f"builtin:{tmp_path / 'photos.db'}", **SAME_HOST}
    function = trigger("f", "c-work/{name}").replace(f'connection="{STORAGE}"', 'connection="Photos"')
    async with run_blob_app(tmp_path, function, clock=clock, settings=settings) as app:
        photos = app.running.app.accounts("Photos")
        await photos.container("c-work").create()
        etag = (await photos.container("c-work").write("bad", b"fail")).etag
        await eventually(lambda: _peeked(photos.queue(POISON)), "a poison message", clock=clock)
        assert await app.receipts() == {f"Host.Functions.f/{etag}/c-work/bad": {}}
        assert await app.messages(POISON) == []


async def _peeked(queue: Queue) -> list[QueueMessage]:
    try:
        return await queue.peek(limit=1)
    except NotFound:
        return []


async def test_one_of_two_hosts_scans_and_both_process(tmp_path: Path, clock: VirtualClock) -> None:
    """The recording `blob_two_hosts`: after an orderly stop the other host scans."""
    storage = f"builtin:{tmp_path / 'storage.db'}"
    options: dict[str, Any] = {"clock": clock, "storage": storage, "settings": SAME_HOST}
    async with run_blob_app(tmp_path / "one", trigger("f", "c-work/{name}"), **options) as one:
        async with run_blob_app(tmp_path / "two", trigger("f", "c-work/{name}"), **options) as two:
            for number in range(40):
                await one.upload(f"c-work/{number}", "sleep:0.01")
            await eventually(lambda: len(one.received) + len(two.received) >= 40, "40 runs", clock=clock)
            await clock.sleep(10)
            assert sorted(one.runs + two.runs) == sorted(("f", f"c-work/{number}") for number in range(40))
        await one.upload("c-work/last", "x")
        await eventually(lambda: ("f", "c-work/last") in one.runs, "a run after the stop", clock=clock)


async def test_a_bad_path_leaves_the_other_functions_alone(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    bad = (trigger("bad", "{box}/{name}"), trigger("unset", "%NONE%/{name}"))
    async with run_blob_app(tmp_path, trigger("good", "c-work/{name}"), *bad, clock=clock) as app:
        await app.upload("c-work/a", "x")
        await app.wait_for_runs(1)
    assert (
        "Error indexing method 'Functions.bad'. Invalid blob trigger path '{box}/{name}'. Container paths"
        in caplog.text
    )
    assert "Error indexing method 'Functions.unset'. '%NONE%' does not resolve to a value." in caplog.text


async def test_a_connection_that_is_not_set_leaves_the_other_functions_alone(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    lonely = trigger("lonely", "c-work/{name}").replace(f'connection="{STORAGE}"', 'connection="Orders"')
    async with run_blob_app(tmp_path, trigger("good", "c-work/{name}"), lonely, clock=clock) as app:
        await app.upload("c-work/a", "x")
        await app.wait_for_runs(1)
    assert "The listener for function 'Functions.lonely' was unable to start." in caplog.text
    assert "'AzureWebJobsOrders' does not exist" in caplog.text


@pytest.mark.parametrize(
    ("trigger_path", "output_path", "loops"),
    [
        ("images/{name}", "images/small/{name}", True),
        ("images/{name}.png", "images/{name}.jpg", False),
        ("images/{name}.png", "images/small/{name}.png", True),
        ("images/in/{name}", "images/out/{name}", False),
        ("images", "images/{rand-guid}", True),
        ("images/{name}", "small/{name}", False),
        ("images/{name}", "{blobTrigger}.bak", True),
        ("%BOX%/{name}", "images/x-{datetime:yyyy}", True),
        ("images/{name}", "images/{other}", False),
    ],
)
async def test_an_output_that_starts_its_own_function_is_reported(
    tmp_path: Path,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    trigger_path: str,
    output_path: str,
    loops: bool,
) -> None:
    """Situation 21."""
    function = f"""
@app.blob_trigger(arg_name="blob", path={trigger_path!r}, connection="{STORAGE}")
@app.blob_output(arg_name="small", path={output_path!r}, connection="{STORAGE}")
def f(blob: func.InputStream, small: func.Out[bytes]):
    pass
"""
    async with run_blob_app(tmp_path, function, clock=clock, settings={"BOX": "images"}):
        pass
    assert ("The output 'small' of function 'f' writes blobs that its own trigger matches" in caplog.text) is loops


async def test_a_message_for_a_function_that_is_gone_is_reported(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    storage = f"builtin:{tmp_path / 'storage.db'}"
    options: dict[str, Any] = {"clock": clock, "storage": storage, "settings": SAME_HOST}
    async with run_blob_app(tmp_path, trigger("f", "c-work/{name}"), **options) as app:
        queue = app.account.queue(QUEUE)
        await queue.create()
        await queue.put(stored_text(TriggerMessage(function="old", container="c-work", blob="a", etag='"1"')))
        await queue.put("bm8gSlNPTg==")
        await logged(caplog, "Blob 'c-work/a' was found for function 'old', which the app does not have", clock=clock)
        [poison] = await eventually(lambda: app.messages(POISON), "a poison message", clock=clock)
        assert poison.body == "bm8gSlNPTg=="
        await eventually(lambda: _is_empty(queue), "an empty queue", clock=clock)


@pytest.mark.azurite
async def test_blobs_of_azurite_run_once_each(tmp_path: Path, azurite: str) -> None:
    """In real time, with a large blob that is read while the function reads it."""
    container = unique("work")
    reading = f"""
@app.blob_trigger(arg_name="blob", path="{container}/large/{{name}}", connection="{STORAGE}")
def large(blob: func.InputStream):
    size = 0
    while part := blob.read(1_000_000):
        size += len(part)
    received("large", blob, size=size)
"""
    options: dict[str, Any] = {"storage": azurite}
    functions = (trigger("f", f"{container}/in/{{name}}"), reading)
    async with run_blob_app(tmp_path, *functions, **options) as app:
        await app.upload(f"{container}/in/ü ö%20.txt", "one", {"Colour": "red"})
        [first] = await app.wait_for_runs(1)
        assert (first["name"], first["metadata"]["Colour"]) == (f"{container}/in/ü ö%20.txt", "red")
        await app.upload(f"{container}/in/ü ö%20.txt", "two")
        await app.upload(f"{container}/large/x", bytes(9_000_001))
        lines = await app.wait_for_runs(3)
        assert {line["function"]: line.get("size") for line in lines[1:]} == {"f": None, "large": 9_000_001}
    async with run_blob_app(tmp_path, *functions, **options) as app:
        await app.upload(f"{container}/in/later", "l")
        await app.wait_for_runs(4)
        assert [bytes.fromhex(line["content"]) for line in app.received if line["function"] == "f"] == [
            b"one",
            b"two",
            b"l",
        ]


async def test_sdk_types_need_a_storage_server(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    function = f"""
import azurefunctions.extensions.bindings.blob as blobs

@app.blob_trigger(arg_name="client", path="c-work/{{name}}", connection="{STORAGE}")
def f(client: blobs.BlobClient):
    pass
"""
    async with run_blob_app(tmp_path, function, trigger("g", "c-work/{name}"), clock=clock) as app:
        await app.upload("c-work/a", "x")
        await app.wait_for_runs(1)
    assert "takes a client of the Azure SDK, which needs a storage server" in caplog.text


# The lock of the scanner lasts 60 s after a kill, and Azurite needs its time.
_LOCK_SECONDS = 180


@pytest.mark.soak
@pytest.mark.azurite
@pytest.mark.timeout(2 * _LOCK_SECONDS)
def test_kills_lose_no_blob(tmp_path: Path, azurite: str, azurite_connection: StorageConnection) -> None:
    """Kill -9 in the middle: each blob runs at least once."""
    folder = write_app(tmp_path / "app", RECEIVING, trigger("f", "kills/{name}"), settings={STORAGE: azurite})
    file = tmp_path / "received.jsonl"
    settings = {"RECEIVED": str(file)}

    async def upload(numbers: range) -> None:
        async with rest.open_account(azurite_connection, SystemClock()) as account:
            container = account.container("kills")
            await container.create()
            for number in numbers:
                await container.write(str(number), b"sleep:0.05")

    def names() -> set[str]:
        return {line["name"] for line in read_received(file)}

    with started(folder, "--no-reload", env=settings) as host:
        asyncio.run(upload(range(100)))
        eventually_sync(lambda: len(names()) > 20, "runs before the kill", within=_LOCK_SECONDS)
        host.process.kill()
        host.wait()
    assert len(names()) < 100
    with started(folder, "--no-reload", env=settings):
        asyncio.run(upload(range(100, 120)))
        expected = {f"kills/{number}" for number in range(120)}
        eventually_sync(lambda: expected <= names(), "all blobs", within=_LOCK_SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("store", ["builtin", pytest.param("azurite", marks=pytest.mark.azurite)])
async def test_many_blobs_run_once_each(tmp_path: Path, store: str, request: pytest.FixtureRequest) -> None:
    """On the built-in store with a kill in the middle: what was in work then runs a second time."""
    is_builtin = store == "builtin"
    connection = f"builtin:{tmp_path / 'storage.db'}" if is_builtin else str(request.getfixturevalue("azurite"))
    # Azurite needs minutes to delete the messages of a long queue (tests/extensions/queues/test_hosts.py). Both numbers
    # are multiples of the eight blobs that are written at once.
    count, in_work = (10_000, 64) if is_builtin else (1000, 0)
    counting = f"""
@app.blob_trigger(arg_name="blob", path="many/{{name}}", connection="{STORAGE}")
def count(blob: func.InputStream):
    with lock, open(os.environ["RECEIVED"], "a") as file:
        file.write(blob.name + "\\n")
"""
    folder = write_app(tmp_path / "app", RECEIVING, counting, settings={STORAGE: connection})
    file = tmp_path / "received.txt"
    file.touch()

    def runs() -> list[str]:
        return file.read_text().split()

    async with open_connection(parse_connection(connection, setting="test"), SystemClock()) as account:
        container = account.container("many")
        await container.create()
        for first in range(0, count, 8):
            await asyncio.gather(*(container.write(str(number), b"x") for number in range(first, first + 8)))
    if is_builtin:
        with started(folder, "--no-reload", env={"RECEIVED": str(file)}) as host:
            await eventually(lambda: len(runs()) > count / 3, "runs before the kill", within=600, every=0.2)
            host.process.kill()
            host.process.wait()
        assert len(runs()) < count
    expected = {f"many/{number}" for number in range(count)}
    with started(folder, "--no-reload", env={"RECEIVED": str(file)}):
        await eventually(lambda: expected <= set(runs()), "all blobs", within=600, every=1)
    assert set(runs()) == expected
    assert len(runs()) <= count + in_work


async def test_damaged_messages_of_found_blobs_do_not_keep_others_from_their_blobs(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = ["é", "====", "", *(base64.b64encode(text).decode() for text in (b"\xff", b"{}", b"null", b"[" * 20_000))]
    host = {"extensions": {"blobs": {"maxDegreeOfParallelism": 1}}}
    options: dict[str, Any] = {"clock": clock, "host": host, "settings": SAME_HOST}
    async with run_blob_app(tmp_path, trigger("each", "boxes/{name}"), **options) as app:
        queue = app.account.queue(QUEUE)
        await queue.create()
        for text in damaged:
            await queue.put(text)
        await app.upload("boxes/a.txt", "hello")
        await app.wait_for_runs(1)
        poison = await app.messages(POISON)
    assert sorted(message.body for message in poison) == sorted(damaged)
    assert caplog.text.count("of the queue of found blobs cannot be read") == len(damaged)
    assert "Traceback" not in caplog.text


# Members that replace those of a message of the function `each`; None: without it.
UNUSUAL: list[dict[str, Any]] = [
    {"BlobName": "\ud800"},
    {"BlobName": "a\x00b"},
    {"BlobName": ""},
    {"BlobName": "../../x"},
    {"BlobName": "n" * 20_000},
    {"BlobName": None},
    {"BlobName": 5},
    {"ContainerName": ""},
    {"ContainerName": "../UPPER case"},
    {"ContainerName": "\ud800\x00"},
    {"ContainerName": []},
    {"ETag": ""},
    {"ETag": '"\ud800'},
    {"ETag": None},
    {"BlobType": 5},
    {"Type": "Other"},
    {"FunctionId": "Host.Functions.\ud800"},
    {"FunctionId": {}},
]


async def test_unusual_messages_of_found_blobs_end_somewhere(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    usual = TriggerMessage(function="each", container="boxes", blob="gone.txt", etag='"1"')
    members = json.loads(base64.b64decode(stored_text(usual)))
    options: dict[str, Any] = {"clock": clock, "settings": SAME_HOST}
    async with run_blob_app(tmp_path, trigger("each", "boxes/{name}"), **options) as app:
        queue = app.account.queue(QUEUE)
        await queue.create()
        for changes in UNUSUAL:
            changed = {name: value for name, value in {**members, **changes}.items() if value is not None}
            await queue.put(base64.b64encode(json.dumps(changed).encode()).decode())
        await app.upload("boxes/a.txt", "hello")
        await app.wait_for_runs(1)
        await eventually(lambda: _is_empty(queue), "an empty queue", clock=clock)
    assert "Traceback" not in caplog.text

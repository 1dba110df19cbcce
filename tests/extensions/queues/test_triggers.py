"""Queue triggers as their users see them: encodings, metadata, limits, retries, names, connections, outages."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.storage.port import StorageAccount, StorageError
from emulator.virtual_time import VirtualClock
from tests.running_apps import run_app
from tests.storage_calls import StorageCalls
from tests.waiting import eventually

from .apps import QUEUE_APP, Queues, encoded, notes


def host_json(**queues: Any) -> dict[str, Any]:
    return {"extensions": {"queues": queues}}


async def noted(folder: Path, count: int, clock: VirtualClock, *, every: float = 0.05) -> Any:
    """Wait until functions have noted so much, and return it."""
    return await eventually(
        lambda: found if len(found := notes(folder)) >= count else None,
        f"{count} notes",
        clock=clock,
        within=7200,
        every=every,
    )


ECHO = """
@app.queue_trigger(arg_name="msg", queue_name="incoming", connection=STORAGE)
@app.queue_output(arg_name="out", queue_name="done", connection=STORAGE)
def echo(msg: func.QueueMessage, out: func.Out[str]):
    note(msg.get_body().decode(), msg.dequeue_count)
    out.set("done")
"""


async def test_messages_as_plain_text(tmp_path: Path, clock: VirtualClock) -> None:
    texts = ['{"order": 7}', "aGVsbG8=", "", '<a>&"é€']
    async with run_app(tmp_path, QUEUE_APP, ECHO, host=host_json(messageEncoding="none"), clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming", *texts)
        assert sorted(await noted(tmp_path, 4, clock)) == sorted([text, 1] for text in texts)
        await eventually(lambda: _is_empty(queues, "incoming"), "empty queue", clock=clock)
        assert await queues.left("done") == ["done"] * 4


async def _is_empty(queues: Queues, name: str) -> bool:
    return not await queues.left(name)


FACTS = """
def facts(msg):
    times = [msg.insertion_time, msg.expiration_time, msg.time_next_visible]
    return [msg.id, msg.get_body().hex(), msg.dequeue_count, msg.pop_receipt, [str(time) for time in times]]


@app.queue_trigger(arg_name="msg", queue_name="text", connection=STORAGE)
def text(msg: func.QueueMessage):
    note("text", *facts(msg))


@app.queue_trigger(arg_name="msg", queue_name="bytes", connection=STORAGE, data_type=func.DataType.BINARY)
def binary(msg: func.QueueMessage):
    note("bytes", *facts(msg))
"""


async def test_a_message_has_its_facts(tmp_path: Path, clock: VirtualClock) -> None:
    async with run_app(tmp_path, QUEUE_APP, FACTS, clock=clock) as site:
        await Queues(site).create("text", "bytes")
        account = site.app.accounts("AzureWebJobsStorage")
        put = await account.queue("text").put(encoded("hé"), lives_for=timedelta(days=7))
        [[_, message_id, body, count, receipt, [inserted, expires, next_visible]]] = await noted(tmp_path, 1, clock)
        assert (message_id, bytes.fromhex(body).decode(), count) == (put.id, "hé", 1)
        assert receipt not in ("", put.pop_receipt)
        assert put.expires_at is not None
        assert inserted == str(put.inserted_at)
        assert expires == str(put.expires_at.replace(microsecond=0))
        locked_for = datetime.fromisoformat(next_visible) - put.inserted_at
        assert timedelta(minutes=10, seconds=-1) < locked_for <= clock.now() - put.inserted_at + timedelta(minutes=10)
        # A message that never expires; bytes that are not text.
        await account.queue("bytes").put(encoded(b"\xff\x00"))
        [_, _, body, _, _, [_, expires, _]] = (await noted(tmp_path, 2, clock))[1]
        assert (body, expires) == ("ff00", "9999-12-31 23:59:59+00:00")


async def test_members_of_the_message_replace_its_facts(tmp_path: Path, clock: VirtualClock) -> None:
    app = """
    @app.queue_trigger(arg_name="msg", queue_name="incoming", connection=STORAGE)
    def fail(msg: func.QueueMessage):
        note(msg.id, msg.dequeue_count)
        raise RuntimeError("database is down")
    """
    async with run_app(tmp_path, QUEUE_APP, app, host=host_json(maxDequeueCount=3), clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming", encoded('{"dequeueCount": 99, "ID": "x"}'))
        await eventually(lambda: queues.left("incoming-poison"), "poison message", clock=clock)
        assert notes(tmp_path) == [["x", 99]] * 3
        real = await site.app.accounts("AzureWebJobsStorage").queue("incoming").put(encoded('{"id": null}'))
        assert (await noted(tmp_path, 6, clock))[3:] == [[real.id, 1], [real.id, 2], [real.id, 3]]


SLOW = """
running = 0


@app.queue_trigger(arg_name="msg", queue_name="incoming", connection=STORAGE)
async def slow(msg: func.QueueMessage):
    global running
    running += 1
    note("begin", running)
    await asyncio.sleep(0.2)
    running -= 1
    note("end", running)
"""


@pytest.mark.parametrize(("queues", "at_most"), [({"batchSize": 1}, 1), ({"batchSize": 2, "newBatchThreshold": 0}, 2)])
async def test_no_more_messages_run_at_once_than_host_json_allows(
    tmp_path: Path, clock: VirtualClock, queues: dict[str, int], at_most: int
) -> None:
    async with run_app(tmp_path, QUEUE_APP, SLOW, host=host_json(**queues), clock=clock) as site:
        await Queues(site).put("incoming", *[encoded(str(number)) for number in range(6)])
        found = await noted(tmp_path, 12, clock)
    assert max(count for _, count in found) == at_most


FAIL = """
@app.queue_trigger(arg_name="msg", queue_name="incoming", connection=STORAGE)
def fail(msg: func.QueueMessage):
    note(msg.dequeue_count, time.time())
    if msg.dequeue_count < 2 or "always" in msg.get_body().decode():
        raise RuntimeError("not yet")
"""


async def test_a_failed_message_is_tried_again_later(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = StorageCalls()
    host = host_json(visibilityTimeout="00:00:03", maxDequeueCount=3)
    async with run_app(tmp_path, QUEUE_APP, FAIL, host=host, clock=clock, around_account=calls.around) as site:
        account = site.app.accounts("AzureWebJobsStorage")
        await account.queue("incoming").create()
        began_at = clock.now()
        await account.queue("incoming").put(encoded("always"))
        await eventually(lambda: account.queue("incoming-poison").name in _names(calls), "poison queue", clock=clock)
        assert timedelta(seconds=6) <= clock.now() - began_at < timedelta(seconds=8)
        assert [count for count, _ in notes(tmp_path)] == [1, 2, 3]
        assert "Message has reached MaxDequeueCount of 3. Moving message to queue 'incoming-poison'." in caplog.messages
        [poison] = [change for change in calls.of("incoming-poison") if change.operation == "put"]
        assert poison.arguments["body"] == encoded("always")
        # The second run succeeds.
        await account.queue("incoming").put(encoded("once"))
        await noted(tmp_path, 5, clock)
        await eventually(lambda: _has_none(account, "incoming"), "empty queue", clock=clock)
        assert len([change for change in calls.of("incoming-poison") if change.operation == "put"]) == 1


def _names(calls: StorageCalls) -> set[str]:
    return {change.target for change in calls.changes if change.operation == "put"}


async def _has_none(account: StorageAccount, name: str) -> bool:
    return await account.queue(name).count() == 0


POISON = """
@app.queue_trigger(arg_name="msg", queue_name="orders-poison", connection=STORAGE)
def handle(msg: func.QueueMessage):
    note(msg.dequeue_count)
    if msg.dequeue_count <= 8:
        raise RuntimeError("database is down")
"""


async def test_a_failing_handler_of_poison_messages_gets_them_every_ten_minutes(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    began_at = clock.now()
    async with run_app(tmp_path, QUEUE_APP, POISON, clock=clock) as site:
        queues = Queues(site)
        await queues.put("orders-poison", encoded("order 7"))
        assert await noted(tmp_path, 9, clock, every=60) == [[count] for count in range(1, 10)]
        assert clock.now() - began_at >= timedelta(minutes=80)
        await eventually(lambda: _is_empty(queues, "orders-poison"), "empty queue", clock=clock)
        assert await queues.names() == ["orders-poison"]
    assert caplog.text.count("The queue has no poison queue") == 8


NAMES = """
def trigger(name, queue):
    @app.function_name(name)
    @app.queue_trigger(arg_name="msg", queue_name=queue, connection=STORAGE)
    def run(msg: func.QueueMessage):
        note(name)


queues = ["Orders", "a.b", "ab", "-abc", "%QUEUE%", "%NONE%", "%EMPTY%", "a--b", "{x}-q", "a" * 64]
for number, queue in enumerate(queues):
    trigger(f"f{number}", queue)
"""


async def test_a_bad_name_concerns_one_function(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The errors are those recorded in `queue_names`."""
    settings = {"QUEUE": "from-setting", "EMPTY": ""}
    async with run_app(tmp_path, QUEUE_APP, NAMES, settings=settings, clock=clock) as site:
        queues = Queues(site)
        await queues.put("orders", encoded("1"))
        await queues.put("from-setting", encoded("2"))
        assert sorted(await noted(tmp_path, 2, clock)) == [["f0"], ["f4"]]
        assert [function.name for function in site.app.host.catalog.functions] == ["f0", "f4"]
        errors = {problem.function: problem.message for problem in site.app.host.catalog.problems}
    assert errors == {
        "f1": "A queue name can contain only letters, numbers, and dash(-) characters - \"a.b\" (Parameter 'name')",
        "f2": "A queue name must be from 3 to 63 characters long - \"ab\" (Parameter 'name')",
        "f3": "The dash (-) character may not be the first or last letter - \"-abc\" (Parameter 'name')",
        "f5": "'%NONE%' does not resolve to a value.",
        "f6": "'%EMPTY%' does not resolve to a value.",
        "f7": "A queue name cannot contain consecutive dash(-) characters. (Parameter 'name')",
        "f8": "A queue name can contain only letters, numbers, and dash(-) characters - \"{x}-q\" (Parameter 'name')",
        "f9": f"A queue name must be from 3 to 63 characters long - \"{'a' * 64}\" (Parameter 'name')",
    }
    assert "Error indexing method 'Functions.f2'." in caplog.text


CONNECTIONS = """
def trigger(name, connection):
    @app.function_name(name)
    @app.queue_trigger(arg_name="msg", queue_name=name, connection=connection)
    @app.queue_output(arg_name="out", queue_name="out", connection=connection)
    def run(msg: func.QueueMessage, out: func.Out[str]):
        if msg.get_body() == b"fail":
            raise RuntimeError
        out.set(name)


trigger("own", "Orders")
trigger("named", "%WHICH%")
trigger("prefixed", "Bills")
trigger("missing", "Nowhere")
"""


async def test_a_connection_of_its_own(tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    settings = {
        "Orders": f"builtin:{tmp_path / 'orders.db'}",
        "WHICH": "Orders",
        "AzureWebJobsBills": f"builtin:{tmp_path / 'bills.db'}",
        "Bills": "nothing that could be opened",
    }
    async with run_app(tmp_path / "app", QUEUE_APP, CONNECTIONS, settings=settings, clock=clock) as site:
        orders, bills = Queues(site, "Orders"), Queues(site, "Bills")
        await orders.put("own", encoded("1"), encoded("fail"))
        await orders.put("named", encoded("2"))
        await bills.put("prefixed", encoded("3"))
        await eventually(lambda: orders.left("own-poison"), "poison message", clock=clock)
        assert await eventually(lambda: bills.left("out"), "output", clock=clock) == [encoded("prefixed")]
        await eventually(lambda: _has(orders, "out", 2), "two outputs", clock=clock)
        assert sorted(await orders.left("out")) == sorted([encoded("own"), encoded("named")])
        assert await Queues(site).names() == []
    assert "The listener for function 'Functions.missing' was unable to start." in caplog.text
    assert "Storage account connection string 'AzureWebJobsNowhere' does not exist." in caplog.text
    assert 'Add "Nowhere" to "Values" in local.settings.json' in caplog.text


async def _has(queues: Queues, name: str, count: int) -> bool:
    return len(await queues.left(name)) == count


async def test_an_outage_is_one_line_and_loses_nothing(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = StorageCalls()
    calls.cut_off = True
    async with run_app(tmp_path, QUEUE_APP, ECHO, clock=clock, around_account=calls.around) as site:
        await clock.sleep(40)
        assert len([line for line in caplog.messages if line.startswith("Storage does not respond.")]) == 1
        calls.cut_off = False
        account = site.app.accounts("AzureWebJobsStorage")
        await account.queue("incoming").create()
        for number in range(20):
            await account.queue("incoming").put(encoded(str(number)))
        await clock.sleep(0.1)
        for _ in range(5):
            calls.cut_off = not calls.cut_off
            await clock.sleep(7)
        calls.cut_off = False
        found = await noted(tmp_path, 20, clock)
        await eventually(lambda: _has_none(account, "incoming"), "empty queue", clock=clock)
        assert sorted(text for text, _ in found) == sorted(str(number) for number in range(20))


async def test_a_text_that_is_not_utf8_fails_every_run(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(tmp_path, QUEUE_APP, ECHO, clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming", "test", "not base64!", "aGVs bG8=")
        await eventually(lambda: _has(queues, "incoming-poison", 2), "poison messages", clock=clock)
        assert sorted(await queues.left("incoming-poison")) == ["not base64!", "test"]
        assert await noted(tmp_path, 1, clock) == [["hello", 1]]
    assert caplog.text.count("Exception binding parameter 'msg'. Unable to translate bytes [B5] at index 0") == 5
    assert caplog.text.count("Message decoding has failed! Check MessageEncoding settings. MessageId=") == 1


TAKE = """
@app.queue_trigger(arg_name="msg", queue_name="incoming", connection=STORAGE)
def take(msg: func.QueueMessage):
    note(len(msg.get_body()))
"""

DEEP = '{"a": ' * 5_000 + "1" + "}" * 5_000
DIGITS = "9" * 40_000
UNUSUAL = [
    encoded(text) for text in (DEEP, f'{{"a": {DIGITS}}}', DIGITS, "\0" * 1000, '{"a": "\\ud800"}', "", "[" * 48_000)
]
NOT_BASE64 = ["=", "a", "aGVs\u00e9", "aGVsbG8", "\U0001f600"]
NOT_UTF8 = [encoded(content) for content in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80")]


async def test_unusual_messages_are_taken_and_unreadable_ones_set_aside(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(tmp_path, QUEUE_APP, TAKE, clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming", *UNUSUAL, *NOT_BASE64, *NOT_UTF8)
        await eventually(
            lambda: _has(queues, "incoming-poison", len(NOT_BASE64 + NOT_UTF8)), "poison messages", clock=clock
        )
        found = await noted(tmp_path, len(UNUSUAL), clock)
        assert sorted(await queues.left("incoming-poison")) == sorted(NOT_BASE64 + NOT_UTF8)
    assert sorted(length for [length] in found) == sorted(len(base64.b64decode(text)) for text in UNUSUAL)
    assert caplog.text.count("Message decoding has failed!") == len(NOT_BASE64)
    assert "Traceback" not in caplog.text


async def test_a_message_that_the_poison_queue_refuses_is_reported_once(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = StorageCalls()
    calls.failing["put", "incoming-poison"] = StorageError("not allowed", status=403, code="AuthorizationFailure")
    async with run_app(tmp_path, QUEUE_APP, TAKE, clock=clock, around_account=calls.around) as site:
        queue = site.app.accounts("AzureWebJobsStorage").queue("incoming")
        await queue.create()
        await queue.put("not base64!")
        await eventually(lambda: calls.failed >= 4, "attempts", clock=clock, within=7200, every=60)
        assert await queue.count() == 1
    assert caplog.text.count("could not be stored. The message will be processed again.") == 1
    assert "Traceback" not in caplog.text


async def test_a_listener_of_an_account_in_azure_warns_that_it_competes(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = """
    @app.queue_trigger(arg_name="msg", queue_name="orders", connection="Deployed")
    def real(msg: func.QueueMessage):
        pass
    """
    key = "a2V5" * 16
    settings = {"Deployed": f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={key}"}
    calls = StorageCalls()
    calls.cut_off = True  # No request leaves this machine.
    around = calls.around
    async with run_app(tmp_path, QUEUE_APP, ECHO, app, settings=settings, clock=clock, around_account=around):
        pass
    warnings = [line for line in caplog.messages if "both compete" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("Function 'real' reads queue 'orders' of the storage account \"acme\"")
    assert key not in caplog.text


async def test_a_misspelled_option_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_app(tmp_path, QUEUE_APP, ECHO, host=host_json(batchSizes=2)):
        pass
    assert '"extensions.queues.batchSizes" is not a known option and has no effect.' in caplog.text


@pytest.mark.parametrize("member", [{"expirationTime": "2026-01-31T10:00:00Z"}, {"DequeueCount": "many"}])
async def test_a_member_that_hides_a_fact_is_explained(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, member: dict[str, str]
) -> None:
    async with run_app(tmp_path, QUEUE_APP, ECHO, host=host_json(maxDequeueCount=1), clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming", encoded(json.dumps(member)))
        await eventually(lambda: queues.left("incoming-poison"), "poison message", clock=clock)
    assert "Rename the member, or annotate the parameter with str" in caplog.text


async def test_a_member_that_a_binding_needs_is_named(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = """
    @app.generic_trigger(arg_name="msg", type="queueTrigger", queue_name="incoming", connection=STORAGE)
    def snake(msg: func.QueueMessage): pass

    @app.generic_trigger(arg_name="blob", type="blobTrigger", connection=STORAGE)
    def no_path(blob: func.InputStream): pass

    @app.queue_trigger(arg_name="msg", queue_name="incoming", connection=STORAGE)
    @app.generic_output_binding(arg_name="out", type="queue", queueNam="x", connection=STORAGE)
    def misspelt(msg: func.QueueMessage, out: func.Out[str]): pass
    """
    async with run_app(tmp_path, QUEUE_APP, app, clock=clock):
        pass
    assert "Functions.snake" not in caplog.text
    assert "The binding 'blob' needs the member \"path\"." in caplog.text
    assert "(Parameter 'name'). The binding 'out' needs the member \"queueName\"." in caplog.text

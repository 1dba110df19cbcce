"""Storage of an app in tests: app.put_message, upload, insert and what reads them; app.fire and app.send_event."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from emulator.config.connections import ConnectionNotConfigured
from emulator.errors import EmulatorError
from emulator.testing import NotInvoked, NotStorable, SyncAppUnderTest, start, start_sync
from tests.running_apps import HTTP_APP, write_app

APP = """
@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "hello"

@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
@app.generic_output_binding(arg_name="$return", type="acme")
def nightly(timer: func.TimerRequest):
    return "late" if timer.past_due else "in time"

@app.blob_trigger(arg_name="blob", path="scans/{name}", connection="AzureWebJobsStorage")
def scanned(blob: func.InputStream): ...
"""


@pytest.fixture(scope="module")
def app_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_app(tmp_path_factory.mktemp("app"), HTTP_APP, APP)


@pytest.fixture(scope="module")
def shared(app_folder: Path) -> Iterator[SyncAppUnderTest]:
    with start_sync(app_folder) as app:
        yield app


def test_messages_are_put_and_read_in_the_encoding_of_the_app(shared: SyncAppUnderTest) -> None:
    assert shared.messages("Orders") == []
    for content in ("text", b"bytes", {"id": 7}, "", b"\xff\x00"):
        shared.put_message("Orders", content)
    shared.put_message("orders", "later", hidden=timedelta(minutes=1))
    assert sorted(map(repr, shared.messages("orders"))) == sorted(
        map(repr, ["text", "bytes", '{"id": 7}', "", b"\xff\x00"])
    )
    shared.advance(minutes=1)
    assert "later" in shared.messages("orders")


def test_messages_without_encoding_are_stored_as_they_are(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path / "app", HTTP_APP, APP, host={"extensions": {"queues": {"messageEncoding": "none"}}}
    )
    with start_sync(app_folder) as app:
        app.put_message("plain", "aGVsbG8=")
        assert app.messages("plain") == ["aGVsbG8="]
        with pytest.raises(EmulatorError, match="The bytes of the message are not UTF-8 text"):
            app.put_message("plain", b"\xff")


def test_blobs_are_uploaded_and_read(shared: SyncAppUnderTest) -> None:
    assert (shared.blob("files/a.txt"), shared.blobs("files")) == (None, [])
    shared.upload("files/sub/a b.txt", "ü", content_type="text/plain", metadata={"colour": "red"})
    shared.upload("files/b.json", [1, 2])
    shared.upload("/files/c.bin", b"\xff")
    assert shared.blobs("files") == ["b.json", "c.bin", "sub/a b.txt"]
    assert [shared.blob(f"files/{name}") for name in shared.blobs("files")] == [b"[1, 2]", b"\xff", "ü".encode()]
    for path in ("files", "files/", "/x"):
        with pytest.raises(NotStorable, match=r"is not the path of a blob\. Write container/name"):
            shared.upload(path, "x")


def test_rows_are_inserted_replaced_and_read(shared: SyncAppUnderTest) -> None:
    assert shared.rows("People") == []
    row = {
        "PartitionKey": "p",
        "RowKey": "2",
        "Text": "t",
        "Small": 7,
        "Large": 3_000_000_000,
        "Real": 1.5,
        "Yes": True,
        "At": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "Id": UUID(int=1),
        "Raw": b"\x00",
    }
    shared.insert("People", {**row, "Nothing": None})
    shared.insert("People", {"PartitionKey": "p", "RowKey": "1", "Old": 1})
    shared.insert("People", {"PartitionKey": "p", "RowKey": "1", "New": 2})
    assert shared.rows("People") == [{"PartitionKey": "p", "RowKey": "1", "New": 2}, row]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"PartitionKey": "p"}, r'needs PartitionKey and RowKey, both texts. This one has \["p", null\]'),
        ({"PartitionKey": "p", "RowKey": 1}, "needs PartitionKey and RowKey, both texts"),
        ({"PartitionKey": "p", "RowKey": "1", "List": [1]}, "Property 'List' of a row of table 'People' is"),
        ({"PartitionKey": "p", "RowKey": "1", "Huge": 2**63}, "numbers up to 64 bits"),
    ],
)
def test_a_row_that_cannot_be_stored_is_explained(
    shared: SyncAppUnderTest, row: dict[str, object], message: str
) -> None:
    with pytest.raises(NotStorable, match=message):
        shared.insert("People", row)


def test_a_connection_that_is_not_set_is_explained(shared: SyncAppUnderTest) -> None:
    with pytest.raises(ConnectionNotConfigured, match="'AzureWebJobsMissing' does not exist"):
        shared.upload("files/x", "x", connection="Missing")


async def test_a_timer_is_run_now_and_other_functions_are_not(app_folder: Path) -> None:
    async with start(app_folder) as app:
        begin = app.now
        assert (await app.fire("Nightly")).outputs == {"$return": "in time"}
        assert app.now == begin
        with pytest.raises(NotInvoked, match=r"The function 'hello' has a httpTrigger, and app\.fire runs timer"):
            await app.fire("hello")
        with pytest.raises(NotInvoked, match=r"The app has no function 'nigthly'\. Did you mean 'nightly'"):
            await app.fire("nigthly")
        with pytest.raises(
            NotInvoked, match=r"Function 'scanned' has a blobTrigger\. Only functions with an Event Grid"
        ):
            await app.send_event("scanned", {})
        with pytest.raises(NotInvoked, match="The app has no function 'x'"):
            await app.send_event("x", {})


async def test_an_app_without_work_has_settled_after_ten_seconds(app_folder: Path) -> None:
    async with start(app_folder) as app:
        begin = app.now
        await app.settle()
        assert app.now - begin == timedelta(seconds=10)


async def test_settle_works_in_real_time(app_folder: Path) -> None:
    async with start(app_folder, clock="real") as app:
        await app.upload("files/a.txt", "a")
        await app.settle()
        assert await app.blob("files/a.txt") == b"a"

"""Table inputs and outputs of an app, over HTTP: on the built-in store, and where it matters on Azurite."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import Int64, Operation, Row, Table, TableOperation, Value
from tests.running_apps import HTTP_APP, RunningApp, run_app

# %TABLE%: every test on Azurite has a table of its own.
APP = """
import typing

def rows_of(**members):
    return app.table_input(arg_name="rows", connection="AzureWebJobsStorage", table_name="%TABLE%", **members)

def writes(**members):
    return app.table_output(
        arg_name="out", **{"connection": "AzureWebJobsStorage", "table_name": "%TABLE%", **members}
    )

@app.route(route="orders/{id}")
@rows_of(partition_key="orders", row_key="{id}")
def order(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="partition")
@rows_of(partition_key="{Query.key}")
def partition(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="missing")
@app.table_input(arg_name="rows", connection="AzureWebJobsStorage", table_name="Missing{Query.x}")
def missing(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="dotted")
@rows_of(filter="Name eq '{Query.name}'")
def dotted(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="find")
@rows_of(filter="Name eq '{name}'")
def find(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="older")
@rows_of(partition_key="people", filter="Age ge {min}")
def older(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="any")
@rows_of(filter="{filter}")
def any_filter(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="write", methods=["POST"])
@writes()
def write(req: func.HttpRequest, out: func.Out[str]) -> str:
    out.set(req.get_body().decode())
    return "written"

@app.route(route="write-json", methods=["POST"])
@writes()
def write_json(req: func.HttpRequest, out) -> str:
    out.set(req.get_json())
    return "written"

@app.route(route="write-bytes", methods=["POST"])
@writes()
def write_bytes(req: func.HttpRequest, out: func.Out[bytes]) -> str:
    out.set(req.get_body())
    return "written"

@app.route(route="write-keys/{key}", methods=["POST"])
@writes(partition_key="%PARTITION%", row_key="{key}-{sub.name}")
def write_keys(req: func.HttpRequest, out: func.Out[str]) -> str:
    out.set('{"A": 1}')
    return "written"

@app.queue_trigger(arg_name="msg", queue_name="returns", connection="AzureWebJobsStorage")
@app.table_output(arg_name="$return", connection="AzureWebJobsStorage", table_name="%TABLE%", partition_key="returned")
def returned(msg: str):
    return [{"RowKey": "1", "text": msg}, {"RowKey": "2", "text": msg}]
"""


@pytest.fixture(params=["builtin", pytest.param("azurite", marks=pytest.mark.azurite)])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = {"TABLE": f"T{new_id()}", "PARTITION": "p"}
    storage = "builtin:memory" if request.param == "builtin" else request.getfixturevalue("azurite")
    async with run_app(tmp_path, HTTP_APP, APP, settings=settings, storage=storage) as site:
        yield site


@pytest.fixture
async def builtin(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """The same app where the store does not matter."""
    async with run_app(tmp_path, HTTP_APP, APP, settings={"TABLE": "People", "PARTITION": "p"}) as site:
        yield site


def table_of(site: RunningApp) -> Table:
    return site.app.accounts("AzureWebJobsStorage").table(site.app.configuration.settings["TABLE"])


async def fill(site: RunningApp, *rows: tuple[str, str, dict[str, Value]]) -> None:
    table = table_of(site)
    await table.create()
    for partition_key, row_key, properties in rows:
        await table.submit([TableOperation(Operation.INSERT, Row(partition_key, row_key, properties))])


async def stored(site: RunningApp) -> dict[str, dict[str, Any]]:
    """Properties by `partition/row`; {} if the table does not exist."""
    account = site.app.accounts("AzureWebJobsStorage")
    name = table_of(site).name
    if name not in [found async for found in account.tables()]:
        return {}
    return {f"{row.partition_key}/{row.row_key}": dict(row.properties) async for row in query_rows(table_of(site))}


async def written(site: RunningApp, content: object, path: str = "write") -> int:
    text = content if isinstance(content, str) else json.dumps(content)
    return (await site.post(f"/api/{path}", text)).status


async def found(site: RunningApp, path: str) -> list[str]:
    answer = await site.get(f"/api/{path}")
    assert answer.status == 200, answer.text
    return [row["RowKey"] for row in answer.json()]


# Inputs ------------------------------------------------------------------------------------------------------


async def test_an_input_is_a_list_of_the_rows_that_its_keys_select(site: RunningApp) -> None:
    rows: list[tuple[str, str, dict[str, Value]]] = [("orders", str(number), {"n": number}) for number in range(1, 10)]
    await fill(site, *rows, ("other", "7", {}))
    assert (await site.get("/api/orders/7")).json() == [{"PartitionKey": "orders", "RowKey": "7", "n": 7}]
    assert await found(site, "orders/77") == []
    assert await found(site, "partition?key=orders") == [str(number) for number in range(1, 10)]
    assert await found(site, "partition?key=none") == []


async def test_a_setting_gives_the_whole_partition_as_on_azure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = {"TABLE": "People", "PARTITION": "p", "AZEMU_TABLE_INPUT_WHOLE_PARTITION": "true"}
    async with run_app(tmp_path, HTTP_APP, APP, settings=settings) as site:
        await fill(site, ("orders", "1", {}), ("orders", "2", {}))
        assert await found(site, "orders/1") == ["1", "2"]
        assert await found(site, "orders/9") == ["1", "2"]
    assert "has a row key" not in caplog.text


async def test_a_row_key_is_announced_because_azure_ignores_it(
    builtin: RunningApp, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    async with run_app(tmp_path / "again", HTTP_APP, APP, settings={"TABLE": "People", "PARTITION": "p"}):
        pass
    assert "The table input 'rows' of function 'order' has a row key and reads that row." in caplog.text


async def test_an_empty_partition_key_means_the_whole_table(tmp_path: Path) -> None:
    app = """
@app.route(route="partition")
@app.table_input(arg_name="rows", connection="AzureWebJobsStorage", table_name="People", partition_key="{Headers.key}")
def partition(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)
"""
    async with run_app(tmp_path, HTTP_APP, app, settings={"TABLE": "People"}) as site:
        await fill(site, ("a", "1", {}), ("b", "2", {}))
        assert [row["RowKey"] for row in (await site.get("/api/partition", headers={"key": ""})).json()] == ["1", "2"]


async def test_a_missing_table_fails_the_run(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    assert (await site.get("/api/missing?x=Table")).status == 500
    assert "Exception binding parameter 'rows'. The table specified does not exist. Table 'MissingTable'" in caplog.text
    assert (await site.get("/api/missing?x=-Table")).status == 500
    assert (
        "Validation failed for property 'TableName', value 'Missing-Table'. The field TableName must match the regular "
        "expression '^[A-Za-z][A-Za-z0-9]{2,62}$'." in caplog.text
    )


async def test_values_keep_their_types_on_the_way_out(site: RunningApp) -> None:
    moment = Instant.of(datetime(2026, 1, 2, 3, 4, 5, 120000, UTC))
    await fill(
        site, ("orders", "1", {"whole": 1.0, "when": moment, "long": Int64(2**53 + 1), "yes": True, "b": b"\x00"})
    )
    text = (await site.get("/api/orders/1")).text
    assert '"whole":1.0' in text
    [row] = json.loads(text)
    assert row["when"] == "2026-01-02T03:04:05.12+00:00"
    assert (row["long"], row["yes"], row["b"]) == (2**53 + 1, True, "AA==")


async def test_more_rows_than_a_page_of_the_service_are_read(builtin: RunningApp) -> None:
    await fill(builtin)
    for start in range(0, 1100, 100):
        rows = [{"PartitionKey": "orders", "RowKey": f"{number:04}"} for number in range(start, start + 100)]
        assert await written(builtin, rows) == 200
    assert len(await found(builtin, "partition?key=orders")) == 1100


# Filters -----------------------------------------------------------------------------------------------------


async def test_a_text_in_quotes_cannot_leave_them(site: RunningApp) -> None:
    await fill(site, ("p", "1", {"Name": "o'neil"}), ("p", "2", {"Name": "x"}))
    assert await found(site, "find?name=x") == ["2"]
    assert await found(site, f"find?name={quote(chr(111) + chr(39) + 'neil')}") == ["1"]
    assert await found(site, f"find?name={quote(chr(120) + chr(39) + ' or Name ne ' + chr(39))}") == []


async def test_a_value_without_quotes_must_be_a_number_or_a_bool(
    site: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    people: list[tuple[str, str, dict[str, Value]]] = [
        ("people", "old", {"Age": Int64(30)}),
        ("people", "small", {"Age": 20}),
        ("people", "half", {"Age": 2.5}),
        ("other", "far", {"Age": 99}),
    ]
    await fill(site, *people)
    assert await found(site, "older?min=20") == ["old", "small"]
    assert await found(site, "older?min=2.5") == ["half", "old", "small"]
    assert (await site.get("/api/older?min=true")).status == 200
    for value in ("20 or 1 eq 1", "'a'", "Age", "1) or (Age ge 1", "20;"):
        caplog.clear()
        assert (await site.get(f"/api/older?min={quote(value)}")).status == 500
        assert "An invalid parameter value was specified for filter parameter 'min'." in caplog.text


async def test_names_with_dots_fail_in_every_run(builtin: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    await fill(builtin, ("p", "1", {"Name": "x"}))
    for query in ("?name=x", ""):
        caplog.clear()
        assert (await builtin.get(f"/api/dotted{query}")).status == 500
        assert "Error while accessing 'name': property doesn't exist. A filter cannot contain a name with a dot" in (
            caplog.text
        )


async def test_a_filter_that_is_one_expression_is_used_as_it_is(
    builtin: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(builtin, ("p", "1", {"Age": 1}), ("p", "2", {"Age": 2}), ("q", "3", {"Age": 2}))
    assert await found(builtin, f"any?filter={quote('Age gt 1 and PartitionKey eq ' + chr(39) + 'q' + chr(39))}") == [
        "3"
    ]
    assert (await builtin.get(f"/api/any?filter={quote('Age >> 1')}")).status == 500
    assert "The table filter 'Age >> 1' is invalid: expected" in caplog.text


# Outputs -----------------------------------------------------------------------------------------------------


async def test_keys_come_from_the_row_or_the_binding_in_any_spelling(
    site: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    assert await written(site, {"Name": "x"}) == 500
    assert (
        "'' is not a valid value for a partition key or row key. Ensure that the table entity contains" in caplog.text
    )
    assert await written(site, {"PartitionKey": "a/b", "RowKey": "1"}) == 500
    assert "'a/b' is not a valid value for a partition key or row key." in caplog.text
    assert await written(site, {"PartitionKey": "p", "RowKey": 3}) == 500
    assert "Cannot return System.String type for a System.Int64 typed property." in caplog.text
    assert await stored(site) == {}
    assert await written(site, {"partitionkey": "p", "ROWKEY": "2"}) == 200
    answer = await site.post("/api/write-keys/k", json.dumps({"sub": {"name": "n"}}))
    assert answer.status == 200
    assert await stored(site) == {"p/2": {}, "p/k-n": {"A": Int64(1)}}


@pytest.mark.parametrize("key", ["a/b", "a\\b", "a#b", "a?b", "a\tb", "a\x7fb"])
@pytest.mark.parametrize("name", ["PartitionKey", "RowKey"])
async def test_characters_that_keys_cannot_have(builtin: RunningApp, key: str, name: str) -> None:
    assert await written(builtin, {"PartitionKey": "p", "RowKey": "r", name: key}) == 500
    assert await stored(builtin) == {}


async def test_a_mistake_in_one_row_keeps_all_others_from_being_written(builtin: RunningApp) -> None:
    rows = [{"PartitionKey": "p", "RowKey": str(number)} for number in range(150)]
    assert await written(builtin, [*rows, {"PartitionKey": "p"}]) == 500
    assert await stored(builtin) == {}


async def test_types_of_values_on_the_way_in(site: RunningApp) -> None:
    row = {
        "PartitionKey": "orders",
        "RowKey": "1",
        "A": 1,
        "B": 1.0,
        "C": 3000000000,
        "D": True,
        "E": "2026-01-02T03:04:05Z",
        "F": [1, 2],
        "G": None,
        "H": "2026-01-02T03:04:05+02:00",
        "Timestamp": "x",
    }
    assert await written(site, row, "write-json") == 200
    [(_, properties)] = (await stored(site)).items()
    nested = properties.pop("F")
    assert json.loads(nested) == [1, 2]
    assert properties == {
        "A": Int64(1),
        "B": 1.0,
        "C": Int64(3000000000),
        "D": True,
        "E": "2026-01-02T03:04:05Z",
        "H": "2026-01-02T03:04:05+02:00",
    }
    assert type(properties["B"]) is float
    assert '"B":1.0' in (await site.get("/api/orders/1")).text


async def test_an_integer_beyond_int64_is_refused(builtin: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    assert await written(builtin, {"PartitionKey": "p", "RowKey": "1", "A": 2**63}) == 500
    assert "The value of A does not fit into Int64" in caplog.text


async def test_rows_of_a_partition_come_and_go_together(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    await fill(site, ("q", "1", {"old": True}))
    rows = [{"PartitionKey": partition, "RowKey": key} for partition, key in ("p1", "q1", "p2", "q2")]
    assert await written(site, rows) == 500
    assert "Error while handling parameter out after function returned: 0:The specified entity already exists." in (
        caplog.text
    )
    # The partition that came first was written, the other as a whole not.
    assert await stored(site) == {"p/1": {}, "p/2": {}, "q/1": {"old": True}}


async def test_250_rows_of_one_partition(site: RunningApp) -> None:
    assert await written(site, [{"PartitionKey": "p", "RowKey": f"{number:03}"} for number in range(250)]) == 200
    assert len(await stored(site)) == 250


async def test_a_row_key_that_occurs_twice(site: RunningApp) -> None:
    twice: list[dict[str, Any]] = [{"PartitionKey": "p", "RowKey": "1", "n": number} for number in (1, 2)]
    assert await written(site, twice) == 500
    assert await stored(site) == {"p/1": {"n": Int64(1)}}
    assert await written(site, [{**row, "ETag": "*"} for row in twice]) == 200
    assert await stored(site) == {"p/1": {"n": Int64(2)}}


async def test_an_etag_replaces_only_the_row_that_has_it(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    await fill(site, ("p", "1", {"old": True}))
    etag = (await table_of(site).read("p", "1")).etag
    assert await written(site, {"PartitionKey": "p", "RowKey": "1", "new": True, "etag": etag}) == 200
    assert await stored(site) == {"p/1": {"new": True}}
    assert await written(site, {"PartitionKey": "p", "RowKey": "1", "newer": True, "etag": etag}) == 500
    assert "0:The update condition specified in the request was not satisfied." in caplog.text
    assert await written(site, {"PartitionKey": "p", "RowKey": "2", "etag": etag}) == 500
    assert await stored(site) == {"p/1": {"new": True}}


async def test_bytes_and_return_values_are_rows_as_well(builtin: RunningApp) -> None:
    answer = await builtin.post("/api/write-bytes", b'{"PartitionKey": "b", "RowKey": "1"}')
    assert answer.status == 200
    answer = await builtin.request("POST", "/admin/azemu/functions/returned/invoke", json={"input": "hi"})
    assert answer.status == 200, answer.text
    assert await stored(builtin) == {"b/1": {}, "returned/1": {"text": "hi"}, "returned/2": {"text": "hi"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "Unexpected character encountered while parsing value: n. Path '', line 0, position 0."),
        ("[1]", "Deserialized JSON type 'Newtonsoft.Json.Linq.JValue' is not compatible with expected type"),
        ('{"PartitionKey": "p", ', "Unexpected"),
        ('{"PartitionKey": "p" "RowKey": 1}', "After parsing a value an unexpected character was encountered"),
    ],
)
async def test_what_is_no_row(builtin: RunningApp, caplog: pytest.LogCaptureFixture, text: str, message: str) -> None:
    assert await written(builtin, text) == 500
    assert message in caplog.text
    assert await stored(builtin) == {}


async def test_an_empty_list_writes_nothing(builtin: RunningApp) -> None:
    assert await written(builtin, "[]") == 200
    assert await stored(builtin) == {}


async def test_what_fails_in_every_run_is_said_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = """
@app.route(route="a")
@app.table_input(arg_name="rows", connection="AzureWebJobsStorage", table_name="a-b", filter="Age >> 1")
@app.table_output(arg_name="out", connection="AzureWebJobsStorage", table_name="x")
def a(req: func.HttpRequest, rows: str, out: func.Out[str]) -> str:
    return rows

@app.route(route="b")
@app.table_input(
    arg_name="few", connection="AzureWebJobsStorage", table_name="People", partition_key="p", filter="A eq 1 or B eq 2"
)
def b(req: func.HttpRequest, few: str) -> str:
    return few
"""
    async with run_app(tmp_path, HTTP_APP, app):
        fails = "will fail in every run:"
        assert f"The table binding 'rows' of function 'a' {fails} Validation failed for property" in caplog.text
        assert f"The table binding 'out' of function 'a' {fails}" in caplog.text
        assert f"The table input 'rows' of function 'a' {fails} The table filter 'Age >> 1' is invalid" in caplog.text
        assert "The filter of the table input 'few' of function 'b' has an `or` outside of" in caplog.text

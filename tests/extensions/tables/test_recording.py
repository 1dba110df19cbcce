"""The recording `tables` of the tables extension, repeated: answers, rows that functions get, rows at the end.

Differences: a row key selects its row (docs/compatibility.md), which `WHOLE_PARTITION` switches off for the recorded
reads. The item `[1]` reaches the recorded function as one item; a Functions host takes the text for a list of items.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import Int64, Operation, Row, TableOperation, Value
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import HTTP_APP, RunningApp, run_app
from tests.storage_calls import StorageCalls

APP = """
def table(direction, **members):
    decorator = app.table_output if direction == "out" else app.table_input
    return decorator(arg_name="rows", connection="AzureWebJobsStorage", **members)

@app.route(route="OutNoKeys/{table}", methods=["POST"])
@table("out", table_name="{table}")
def out_no_keys(req: func.HttpRequest, rows: func.Out[str]) -> str:
    rows.set(written(req))
    return "ok"

@app.route(route="Out/{table}/{pk}/{rk}", methods=["POST"])
@table("out", table_name="{table}", partition_key="{pk}", row_key="{rk}")
def out(req: func.HttpRequest, rows: func.Out[str]) -> str:
    rows.set(written(req))
    return "ok"

@app.route(route="OutFails/{table}", methods=["POST"])
@table("out", table_name="{table}")
def out_fails(req: func.HttpRequest, rows: func.Out[str]) -> str:
    rows.set(written(req))
    raise ValueError("after add")

def written(req):
    # JSON data and not text, in which the Functions host would rewrite dates.
    text = req.get_body().decode()
    return text if text == "nonsense" else json.loads(text)

@app.route(route="Missing")
@table("in", table_name="NoSuchTable")
def missing(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="Partition")
@table("in", table_name="People", partition_key="{Headers.p}")
def partition(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="Row")
@table("in", table_name="People", partition_key="{p}", row_key="{r}")
def row(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="Filtered")
@table("in", table_name="People", partition_key="{p}", filter="Age gt 20")
def filtered(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="FilterOnly")
@table("in", table_name="People", filter="Name eq 'b'")
def filter_only(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)

@app.route(route="Take")
@table("in", table_name="People", partition_key="{p}", take=2)
def take(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return func.HttpResponse(rows)
"""
WHOLE_PARTITION = {"AZEMU_TABLE_INPUT_WHOLE_PARTITION": "true"}
# Of the row that the recorded test wrote itself, with every type.
TYPED: dict[str, Value] = {
    "Dt": Instant.of(datetime(2026, 1, 2, 3, 4, 5, 120000, UTC)),
    "G": uuid.UUID("11111111-2222-3333-4444-555555555555"),
    "B": b"\xff\x00",
    "I32": 7,
    "I64": Int64(3000000000),
    "D": 2.0,
    "T": True,
    "S": "s",
}
HUNDRED = [("hundred", f"{number:03}") for number in range(100)]


async def repeated(site: RunningApp, step: dict[str, Any]) -> tuple[int, str]:
    """Do what a recorded step did; return status and text of the answer."""
    function = step["test"].split(" ")[0]
    if "items" in step:
        lines = step["items"].splitlines()
        # Lines of JSON are items that were added one after the other.
        items = step["items"] if len(lines) == 1 else f"[{','.join(lines)}]"
        keys = "".join(f"/{step[name]}" for name in ("pk", "rk") if name in step)
        answer = await site.post(f"/api/{function}/{step['table']}{keys}", items)
    else:
        parameters = {name: step[name] for name in ("p", "r") if name in step}
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        answer = await site.get(f"/api/{function}?{query}", headers=parameters)
    return answer.status, answer.text


def error_lines(text: str) -> list[str]:
    """The part of a recorded error that does not differ between runs: after the class, without request id and time."""
    messages = [line.partition(": ")[2] for line in text.splitlines() if line.startswith(("System.", "Newtonsoft."))]
    messages += [line.partition(": ")[2] for line in text.splitlines() if line.startswith("Azure.")]
    return [message for message in messages if message and not message.startswith("Exception while executing")]


async def test_the_recorded_calls_have_the_recorded_results(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls = TRIGGERS.steps("tables")
    storage = StorageCalls()
    async with run_app(tmp_path, HTTP_APP, APP, settings=WHOLE_PARTITION, around_account=storage.around) as site:
        table = site.app.accounts("AzureWebJobsStorage").table("People")
        for step, recorded in pairwise(calls):
            if step["test"].startswith("row written by the test"):
                await table.submit([TableOperation(Operation.INSERT, Row("typed", "1", TYPED))])
            if recorded["test"] != "answer":
                continue
            caplog.clear()
            status, text = await repeated(site, step)
            assert status == recorded["status"], step
            if "rows" in recorded:
                assert json.loads(text) == recorded["rows"], step
            elif status == 500 and step["test"] != "OutNoKeys array":
                for message in error_lines(recorded["text"]):
                    assert message.removeprefix("Exception binding parameter 'rows'") in caplog.text, step
        [at_the_end] = [step for step in calls if step["test"] == "rows at the end"]
        submitted = [
            [(operation.row.partition_key, operation.row.row_key) for operation in change.arguments["operations"]]
            for change in storage.changes
            if change.operation == "submit"
        ]
        stored = {(row.partition_key, row.row_key): row.properties async for row in query_rows(table)}
    # The last write is that of the test itself.
    assert submitted[:-1] == recorded_transactions()
    expected = {(row["PartitionKey"], row["RowKey"]): row for row in at_the_end["rows"]}
    # The recorded list leaves out the partition of 101 rows.
    assert len([key for key in stored if key[0] == "hundred"]) == 101
    assert {key for key in stored if key[0] != "hundred"} == set(expected)
    for key, row in expected.items():
        properties = stored[key]
        members = {name: value for name, value in row.items() if name in row["types"]}
        assert {name: recorded_form(value) for name, value in properties.items() if name not in TYPED} == {
            name: value for name, value in members.items() if name not in ("PartitionKey", "RowKey", *TYPED)
        }


def recorded_transactions() -> list[list[tuple[str, str]]]:
    """The keys of the rows in each recorded batch that succeeded, in order."""
    batches = []
    for request in TRIGGERS.requests("tables"):
        if request.get("table") != "$batch" or "HTTP/1.1 4" in request["answer"]:
            continue
        entities = [json.loads(text) for text in re.findall(r"\r\n\r\n(\{.*?\})\r\n--changeset", request["body"])]
        # The recording has only the beginning of the largest batch.
        batches.append([(row["PartitionKey"], row["RowKey"]) for row in entities] or HUNDRED)
    return batches


def recorded_form(value: Value) -> object:
    if isinstance(value, Int64):
        return f"EntityProperty(value={value.value}, edm_type=<EdmType.INT64: 'Edm.Int64'>)"
    return value

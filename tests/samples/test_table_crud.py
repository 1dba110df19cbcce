"""The sample with rows of a table: on the built-in store, and with the SDK on Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.ids import new_id
from emulator.testing import AppUnderTest, start

SAMPLE = Path(__file__).parents[2] / "samples" / "table-crud"


@pytest.mark.azemu("samples/table-crud")
async def test_rows_are_created_read_and_replaced(azemu: AppUnderTest) -> None:
    assert (await azemu.get("/api/teams/red/people")).status == 500
    added = await azemu.post("/api/teams/red/people/ada", json={"age": 36, "city": "London"})
    assert (added.status, added.json()) == (201, {"added": "ada"})
    assert (await azemu.post("/api/teams/red/people/ada", json={"age": 1})).status == 500
    assert (await azemu.post("/api/teams/red/people/bob", json={"age": 20})).status == 201
    assert (await azemu.get("/api/teams/red/people")).json() == ["ada", "bob"]
    assert (await azemu.get("/api/teams/blue/people")).json() == []
    person = {"PartitionKey": "red", "RowKey": "ada", "age": 36, "city": "London"}
    assert (await azemu.get("/api/teams/red/people/ada")).json() == person
    assert (await azemu.request("PUT", "/api/teams/red/people/ada", json={"age": 37})).json() == {"replaced": "ada"}
    assert (await azemu.get("/api/teams/red/people/ada")).json() == {"PartitionKey": "red", "RowKey": "ada", "age": 37}
    assert (await azemu.get("/api/teams/red/older-than/30")).json() == ["ada"]
    assert (await azemu.get("/api/teams/red/older-than/old")).status == 500
    assert (await azemu.get("/api/teams/red/people/eve")).status == 404


@pytest.mark.azurite
async def test_rows_are_deleted_with_the_sdk_on_azurite(azurite: str) -> None:
    async with start(SAMPLE, storage=None, clock="real", settings={"AzureWebJobsStorage": azurite}) as app:
        team = f"/api/teams/{new_id()}/people"
        assert (await app.post(f"{team}/ada", json={"age": 36})).status == 201
        assert (await app.request("DELETE", f"{team}/ada")).status == 204
        assert (await app.get(team)).json() == []

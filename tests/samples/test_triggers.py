"""Samples of triggers and bindings: generic bindings, retry policies, blueprints, folders with a function.json."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from emulator.testing import start
from tests.samples.web import Asked, web_service
from tests.sdk_releases import FUNCTIONS, needs

SAMPLES = Path(__file__).parents[2] / "samples"


@needs(FUNCTIONS, "1.13.3")
async def test_generic_bindings_take_an_order_from_http_to_blob_and_table() -> None:
    async with start(SAMPLES / "generic-bindings") as app:
        assert (await app.post("/api/orders", json={"number": 1})).status == 400
        placed = await app.post("/api/orders", json={"number": 7, "customer": "ada", "total": 12.5})
        assert (placed.status, placed.text) == (202, "Order 7 is accepted.")
        await app.put_message("orders", {"number": 8, "customer": "bob", "total": 3})
        await app.settle()
        assert (await app.get("/api/orders/7")).text == "ada pays 12.50."
        assert (await app.get("/api/orders/9")).status == 404
        assert await app.rows("Orders") == [
            {"PartitionKey": "ada", "RowKey": "7", "Total": 12.5, "Paid": False},
            {"PartitionKey": "bob", "RowKey": "8", "Total": 3, "Paid": False},
        ]
        await app.fire("count_orders")
        assert app.logs[-1].message == "2 orders so far."


@needs(FUNCTIONS, "1.18.0")
async def test_retry_policies_wait_for_a_web_service() -> None:
    answers = iter([(202, {}), (202, {}), (200, {"USD": 1.1})])

    def answer(asked: Asked) -> tuple[int, Any]:
        return next(answers)

    with web_service(answer) as rates:
        async with start(SAMPLES / "retry-policies", settings={"RATES_URL": rates.url}) as app:
            begin = app.now
            await app.fire("fetch_rates")
            assert app.now - begin == timedelta(minutes=10)
            attempts = [line.message for line in app.logs if line.message.startswith("Attempt")]
            assert attempts == ["Attempt 1 of 4.", "Attempt 2 of 4.", "Attempt 3 of 4."]
            assert await app.blob("rates/latest.json") == b'{"USD": 1.1}'

            await app.put_message("conversions", {"amount": 10, "currency": "USD"})
            await app.put_message("conversions", {"amount": 10, "currency": "XXX"})
            await app.settle()
            assert await app.messages("converted") == ["11.00 USD"]
            assert await app.messages("conversions-poison") == ['{"amount": 10, "currency": "XXX"}']
            assert app.console.count("Exception: KeyError: 'XXX'") == 6


@needs(FUNCTIONS, "1.12.0")
async def test_functions_of_blueprints_work_together() -> None:
    async with start(SAMPLES / "blueprint-app") as app:
        assert (await app.get("/api/pictures/cat.png")).status == 404
        assert (await app.request("PUT", "/api/pictures/cat.png", data=b"\x89PNG\r\n\x1a\n")).status == 202
        await app.settle()
        assert (await app.get("/api/pictures/cat.png")).text == "PNG, 8 bytes"
        assert await app.blob("pictures/cat.png") == b"\x89PNG\r\n\x1a\n"
        await app.fire("nightly-report")
        assert app.logs[-1].message == "The report is in time."


async def test_functions_in_folders_work_together() -> None:
    async with start(SAMPLES / "function-json-app", settings={"CLEANUP_IS_OFF": "1"}) as app:
        assert (await app.post("/api/documents/a1", data=" ")).status == 400
        assert (await app.post("/api/documents/a1", data="New desks,\nmade of oak")).status == 202
        await app.settle()
        assert await app.blob("summaries/a1.txt") == b"5 words: New desks,"
        assert (await app.get("/admin/functions/cleanup")).json()["isDisabled"]
        # A disabled function can be run by hand.
        await app.fire("cleanup")
        assert app.logs[-1].message == "Cleaned up."

"""Every sample on every store. Time is real with Azurite, so the waits are as short as the samples allow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from emulator.ids import new_id
from emulator.testing import AppUnderTest, start
from tests.samples.web import web_service
from tests.waiting import eventually

SAMPLES = Path(__file__).parents[2] / "samples"


async def output(app: AppUnderTest, path: str, body: Any) -> Any:
    """What becomes of an instance that a request starts."""
    answer = await app.post(path, json=body)
    assert answer.status == 202, answer.text
    status = await app.wait(answer.json()["id"])
    assert status.runtime_status.value == "Completed", status.output
    return status.output


async def chaining(app: AppUnderTest) -> None:
    answer = await app.post("/api/releases", data="New desks, made of oak. Order now")
    assert (await app.wait(answer.json()["id"])).output["headline"] == "New Desks"


async def fan_out(app: AppUnderTest) -> None:
    counted = await output(app, "/api/word-counts", [f"word{number} and more" for number in range(40)])
    assert (counted["texts"], counted["words"]) == (40, 120)


async def http_api(app: AppUnderTest) -> None:
    report = await app.post("/api/reports", json={"sales": {"jan": [1, 2]}})
    assert (report.status, report.json()["total"]) == (200, 3)


async def human_interaction(app: AppUnderTest) -> None:
    answer = await app.post("/api/documents", json={"title": "Budget", "approver": "ada", "manager": "grace"})
    document = answer.json()["id"]

    async def custom_status() -> object:
        return (await app.client.get_status(document)).custom_status

    await eventually(custom_status, "request for approval")
    decided = await app.post(f"/api/documents/{document}/decision", json={"by": "ada", "approved": True})
    assert decided.status == 202
    assert (await app.wait(document)).output == {"title": "Budget", "result": "approved", "by": "ada"}


async def monitor(app: AppUnderTest) -> None:
    states = iter([503, 200, 503])
    with web_service(lambda asked: (next(states, 200), {})) as site:
        result = await output(app, "/api/monitors", {"url": site.url, "every_seconds": 1})
        assert result == {"result": "healthy", "looks": 6}


async def retries(app: AppUnderTest) -> None:
    result = await output(app, "/api/trips", {"traveller": "ada", "city": "Oslo"})
    assert result == {"booked": True, "bookings": ["r1", "r1", "r1"]}


async def sub_orchestrations(app: AppUnderTest) -> None:
    devices = [{"serial": "a1", "kind": "sensor"}, {"serial": "b2", "kind": "toaster"}]
    site = await output(app, "/api/sites/oslo", devices)
    assert (site["ready"], list(site["failed"])) == (["a1"], ["b2"])


async def entities(app: AppUnderTest) -> None:
    await app.post("/api/carts/ada/put", json={"sku": "book", "quantity": 2})
    assert (await app.post("/api/carts/ada/checkout")).json() == {"receipt": "ada: 2 x book"}


async def aggregator(app: AppUnderTest) -> None:
    readings = [{"id": f"r{number}", "sensor": "roof", "celsius": 20 + number} for number in range(5)]
    assert (await app.post("/api/readings", json=readings)).status == 202

    async def all_are_added() -> bool:
        return bool((await app.get("/api/sensors/roof")).json().get("count") == len(readings))

    await eventually(all_are_added, "statistics of the sensor")
    assert await output(app, "/api/comparisons", ["roof"]) == {"means": {"roof": 22}, "warmest": "roof"}


async def versioning(app: AppUnderTest) -> None:
    for order in ("old?version=1.0", "new"):
        assert (await app.post(f"/api/orders/{order}")).status == 202
    for order, steps in (("old", 2), ("new", 3)):
        assert (await app.post(f"/api/orders/{order}/paid")).status == 202
        assert len((await app.wait(order)).output["steps"]) == steps


async def streaming(app: AppUnderTest) -> None:
    assert (await app.get("/api/export/1")).text == "number,celsius\n0,20\n"
    assert (await app.post("/api/import", data="1,20\n2,22")).json() == {"measurements": 2, "mean": 21}


async def notes(app: AppUnderTest) -> None:
    assert (await app.post("/notes", json={"text": "milk"})).status == 201


async def table_crud(app: AppUnderTest) -> None:
    team = f"/api/teams/{new_id()}/people"
    assert (await app.post(f"{team}/ada", json={"age": 36})).status == 201
    assert (await app.get(f"{team}/ada")).json()["age"] == 36


async def event_grid(app: AppUnderTest) -> None:
    order = (await app.post("/api/orders", json={"item": "tea"})).json()["id"]

    async def is_recorded() -> bool:
        answer = await app.get("/api/orders")
        return answer.status == 200 and order in [recorded["id"] for recorded in answer.json()]

    await eventually(is_recorded, "recorded order")


async def blob_thumbnails(app: AppUnderTest) -> None:
    name = new_id()
    await app.upload(f"images/{name}.ppm", b"P6 128 64 255\n" + bytes(range(256)) * 96)
    await eventually(lambda: app.blob(f"thumbnails/{name}.ppm"), "thumbnail")


async def blueprint(app: AppUnderTest) -> None:
    picture = f"/api/pictures/{new_id()}.png"
    assert (await app.request("PUT", picture, data=b"\x89PNG\r\n\x1a\n")).status == 202

    async def is_described() -> bool:
        return (await app.get(picture)).text == "PNG, 8 bytes"

    await eventually(is_described, "description of the picture")


async def function_json(app: AppUnderTest) -> None:
    document = new_id()
    assert (await app.post(f"/api/documents/{document}", data="New desks,\nmade of oak")).status == 202
    await eventually(lambda: app.blob(f"summaries/{document}.txt"), "summary")


async def generic(app: AppUnderTest) -> None:
    order = {"number": 7, "customer": new_id(), "total": 12.5}
    assert (await app.post("/api/orders", json=order)).status == 202

    async def is_billed() -> bool:
        return (await app.get("/api/orders/7")).text == f"{order['customer']} pays 12.50."

    await eventually(is_billed, "receipt")


async def order_processing(app: AppUnderTest) -> None:
    order = new_id()
    await app.put_message("incoming-orders", {"id": order, "item": "tea", "amount": 2})

    async def is_answered() -> bool:
        return any(order in str(message) for message in await app.messages("processed-orders"))

    await eventually(is_answered, "answer")


async def queue_to_blob(app: AppUnderTest) -> None:
    order = new_id()
    assert (await app.post("/api/orders", json={"id": order, "item": "tea", "price": 3.5})).status == 202
    await eventually(lambda: app.blob(f"receipts/{order}.txt"), "receipt")


async def conversions(app: AppUnderTest) -> None:
    await app.upload("rates/latest.json", {"USD": 1.1})
    await app.put_message("conversions", {"amount": 10, "currency": "USD"})

    async def is_converted() -> bool:
        return "11.00 USD" in await app.messages("converted")

    await eventually(is_converted, "converted amount")


async def payments(app: AppUnderTest) -> None:
    order = {"item": "desk", "card": new_id(), "amount": 300}
    answer = await app.post("/api/orders", json=order)
    assert (await app.wait(answer.json()["id"])).output.startswith("desk shipped")


async def timer_report(app: AppUnderTest) -> None:
    assert (await app.post("/api/sales", json={"product": "tea", "amount": 4.5})).status == 202
    await app.fire("morning")
    await eventually(lambda: [line for line in app.logs if line.message.startswith("Sales")], "report")


SCENARIOS: dict[str, Callable[[AppUnderTest], Awaitable[None]]] = {
    "aggregator": aggregator,
    "async-http-api": http_api,
    "blob-thumbnails": blob_thumbnails,
    "blueprint-app": blueprint,
    "entities": entities,
    "event-grid": event_grid,
    "fan-out-fan-in": fan_out,
    "fastapi": notes,
    "flask": notes,
    "function-chaining": chaining,
    "function-json-app": function_json,
    "generic-bindings": generic,
    "human-interaction": human_interaction,
    "monitor": monitor,
    "order-processing": order_processing,
    "payments": payments,
    "queue-to-blob": queue_to_blob,
    "retries-and-compensation": retries,
    "retry-policies": conversions,
    "streaming": streaming,
    "sub-orchestrations": sub_orchestrations,
    "table-crud": table_crud,
    "timer-report": timer_report,
    "versioning": versioning,
}


def test_no_sample_is_forgotten() -> None:
    assert sorted(folder.name for folder in SAMPLES.iterdir() if (folder / "host.json").is_file()) == sorted(SCENARIOS)


@pytest.fixture
def booking() -> Iterator[str]:
    """The provider behind the trips; once it is down."""
    states = iter([200, 503])
    with web_service(lambda asked: (next(states, 200), {"reference": "r1"})) as service:
        yield service.url


Open = Callable[[Path], AbstractAsyncContextManager[AppUnderTest]]


@pytest.fixture(params=["file", pytest.param("azurite", marks=pytest.mark.azurite)])
def open_on_store(request: pytest.FixtureRequest, booking: str, tmp_path: Path) -> Open:
    settings = {"BOOKING_URL": booking, "PAYMENTS_FILE": str(tmp_path / "payments.jsonl")}
    if request.param == "file":
        return lambda folder: start(folder, storage=tmp_path / "store.db", settings=settings)
    hub = {"AzureFunctionsJobHost__extensions__durableTask__hubName": f"Sample{new_id()}"}
    settings |= {"AzureWebJobsStorage": request.getfixturevalue("azurite"), **hub}
    return lambda folder: start(folder, storage=None, clock="real", settings=settings)


@pytest.mark.soak
@pytest.mark.parametrize("sample", SCENARIOS)
async def test_every_sample_runs_on_every_store(sample: str, open_on_store: Open) -> None:
    async with open_on_store(SAMPLES / sample) as app:
        await SCENARIOS[sample](app)

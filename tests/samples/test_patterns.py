"""The durable patterns, each over HTTP as its users would call it."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.testing import Answer, AppUnderTest, start
from tests.samples.web import Asked, WebService, web_service
from tests.sdk_releases import DURABLE, needs

SAMPLES = Path(__file__).parents[2] / "samples"


async def started(app: AppUnderTest, path: str, body: Any) -> str:
    """The id of the instance that an accepted request started."""
    answer = await app.post(path, json=body)
    assert answer.status == 202, answer.text
    assert answer.headers["Retry-After"] == "10"
    return str(answer.json()["id"])


async def output(app: AppUnderTest, instance_id: str) -> Any:
    status = await app.wait(instance_id)
    assert status.runtime_status.value == "Completed"
    return status.output


async def test_function_chaining_hands_each_result_on() -> None:
    async with start(SAMPLES / "function-chaining") as app:
        answer = await app.post("/api/releases", data="  New desks,   made of oak. Order\nnow")
        assert await output(app, answer.json()["id"]) == {
            "headline": "New Desks",
            "teaser": "New desks, made of oak. Order now.",
            "text": "New desks, made of oak. Order now.",
        }
        assert (await app.post("/api/releases", data=" ")).status == 400


async def test_fan_out_counts_all_texts() -> None:
    texts = ["the cat", "The dog and the cat", "a dog", ""]
    async with start(SAMPLES / "fan-out-fan-in") as app:
        assert await output(app, await started(app, "/api/word-counts", texts)) == {
            "texts": 4,
            "words": 9,
            "most frequent": {"the": 3, "cat": 2, "dog": 2, "a": 1, "and": 1},
        }
        refused = await app.post("/api/word-counts", json={"text": "no list"})
        assert (refused.status, refused.json()) == (400, {"error": "The body must be a JSON list of texts."})


async def test_a_quick_report_comes_back_at_once_and_has_a_status_page() -> None:
    async with start(SAMPLES / "async-http-api") as app:
        report = await app.post("/api/reports", json={"sales": {"feb": [10.5, 2], "jan": [1]}})
        assert (report.status, report.json()) == (
            200,
            {
                "lines": [{"month": "jan", "sales": 1, "total": 1}, {"month": "feb", "sales": 2, "total": 12.5}],
                "total": 13.5,
            },
        )
        assert (await app.get("/api/reports/unknown")).status == 404
        assert (await app.post("/api/reports", json={"sales": {"nonember": []}})).json() == {
            "error": "Not a month: nonember."
        }


async def test_a_report_can_be_followed_and_cancelled() -> None:
    async with start(SAMPLES / "async-http-api") as app:
        unhurried = {"Prefer": "respond-async"}
        asked = await app.post("/api/reports", json={"sales": {"mar": [1, 2]}}, headers=unhurried)
        assert asked.status == 202
        instance = asked.json()["id"]
        await app.wait(instance)
        page = (await app.get(f"/api/reports/{instance}")).json()
        assert (page["state"], page["report"]["total"]) == ("Completed", 3)
        assert (await app.request("DELETE", f"/api/reports/{instance}")).status == 202
        assert (await app.request("DELETE", "/api/reports/unknown")).status == 404


@pytest.fixture
def flaky_site() -> Iterator[WebService]:
    """Answers 503 twice, then 200."""
    states = iter([503, 503])
    with web_service(lambda asked: (next(states, 200), {})) as site:
        yield site


async def test_the_monitor_ends_when_the_site_was_healthy_three_times(flaky_site: WebService) -> None:
    async with start(SAMPLES / "monitor") as app:
        begin = app.now
        watch = await started(app, "/api/monitors", {"url": flaky_site.url, "every_seconds": 3600})
        assert await output(app, watch) == {"result": "healthy", "looks": 5}
        assert len(flaky_site.asked) == 5
        assert timedelta(hours=4) <= app.now - begin < timedelta(hours=5)


async def test_the_monitor_gives_up_at_its_deadline() -> None:
    with web_service(lambda asked: (500, {})) as site:
        async with start(SAMPLES / "monitor") as app:
            watch = await started(app, "/api/monitors", {"url": site.url, "every_seconds": 600, "for_hours": 2})
            assert (await output(app, watch))["result"] == "gave up"
            assert len(site.asked) == 13


async def test_the_monitor_can_be_stopped() -> None:
    with web_service(lambda asked: (500, {})) as site:
        async with start(SAMPLES / "monitor") as app:
            watch = await started(app, "/api/monitors", {"url": site.url})
            await app.advance(minutes=5)
            await app.client.raise_event(watch, "stop", None)
            assert (await output(app, watch))["result"] == "stopped"


async def test_booking_a_trip_survives_a_provider_that_is_down_for_a_minute() -> None:
    down = iter([503, 503])
    booked: list[str] = []

    def provider(asked: Asked) -> tuple[int, Any]:
        if asked.path == "/hotels" and (status := next(down, None)):
            return status, {}
        booked.append(asked.path)
        return 200, {"reference": f"{asked.body['what']}-1"}

    with web_service(provider) as service:
        async with start(SAMPLES / "retries-and-compensation", settings={"BOOKING_URL": service.url}) as app:
            trip = await started(app, "/api/trips", {"traveller": "ada", "city": "Oslo"})
            assert await output(app, trip) == {"booked": True, "bookings": ["flight-1", "hotel-1", "car-1"]}
    assert booked == ["/flights", "/hotels", "/cars"]


async def test_a_trip_that_cannot_be_booked_as_a_whole_is_undone_in_reverse_order() -> None:
    def provider(asked: Asked) -> tuple[int, Any]:
        if asked.path == "/cars":
            return 409, {}
        return 200, {"reference": "r1"}

    with web_service(provider) as service:
        async with start(SAMPLES / "retries-and-compensation", settings={"BOOKING_URL": service.url}) as app:
            trip = await started(app, "/api/trips", {"traveller": "ada", "city": "Oslo"})
            result = await output(app, trip)
    assert (result["booked"], result["failed"], result["undone"]) == (False, "car", ["flight", "hotel"])
    assert "POST cars was answered with 409" in result["why"]
    assert [asked.path for asked in service.asked if asked.method == "DELETE"] == ["/hotels/r1", "/flights/r1"]
    assert [asked.path for asked in service.asked].count("/cars") == 3


async def test_the_stand_in_for_the_provider() -> None:
    script = SAMPLES / "retries-and-compensation" / "booking_provider.py"
    words = [sys.executable, str(script), "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as provider:
        try:
            assert provider.stdout is not None
            url = provider.stdout.readline().rpartition(" ")[2].strip()
            async with start(SAMPLES / "retries-and-compensation", settings={"BOOKING_URL": url}) as app:
                oslo = await started(app, "/api/trips", {"traveller": "ada", "city": "Oslo"})
                assert await output(app, oslo) == {"booked": True, "bookings": ["flight-1", "hotel-2", "car-3"]}
                atlantis = await started(app, "/api/trips", {"traveller": "ada", "city": "Atlantis"})
                assert (await output(app, atlantis))["undone"] == ["flight", "hotel"]
        finally:
            provider.kill()


async def test_a_site_is_provisioned_device_by_device() -> None:
    devices = [
        {"serial": "a1", "kind": "sensor"},
        {"serial": "b2", "kind": "toaster"},
        {"serial": "c3", "kind": "camera"},
    ]
    async with start(SAMPLES / "sub-orchestrations") as app:
        site = await started(app, "/api/sites/oslo", devices)
        result = await output(app, site)
        assert (result["site"], result["ready"]) == ("oslo", ["a1", "c3"])
        assert "no firmware for a toaster" in result["failed"]["b2"]
        child = await app.client.get_status(f"{site}-a1")
        assert (child.runtime_status.value, child.output["identity"]) == ("Completed", "sensor/a1@2.4.1")


async def shop(app: AppUnderTest, operation: str, body: Any = None) -> Answer:
    return await app.post(f"/api/carts/ada/{operation}", **({} if body is None else {"json": body}))


async def test_a_cart_is_filled_emptied_and_counted() -> None:
    async with start(SAMPLES / "entities") as app:
        await shop(app, "put", {"sku": "book", "quantity": 2})
        await shop(app, "put", {"sku": "lamp", "quantity": 1})
        assert (await shop(app, "take_out", "desk")).json() == {"error": "'desk is not in the cart'"}
        assert (await shop(app, "take_out", "lamp")).json() == {"items": {"book": 2}}
        assert (await shop(app, "show")).json() == {"items": {"book": 2}}
        assert (await shop(app, "checkout")).json() == {"receipt": "ada: 2 x book"}
        assert (await shop(app, "checkout")).json() == {"error": "The cart is empty."}
        await app.run_until_idle()
        assert (await app.get("/api/counters/checkouts")).json() == {"value": 1}
        assert (await app.post("/api/carts/ada/steal")).status == 404


async def test_a_counter_counts_all_signals() -> None:
    async with start(SAMPLES / "entities") as app:
        for amount in (1, 2, 39):
            assert (await app.post("/api/counters/visits", data=str(amount))).status == 202
        await app.run_until_idle()
        assert (await app.get("/api/counters/visits")).json() == {"value": 42}
        assert (await app.get("/api/counters/never")).json() == {"value": 0}
        assert (await app.post("/api/counters/visits", data="many")).status == 400


async def test_readings_of_many_devices_are_aggregated_once_each() -> None:
    readings = [{"id": f"r{number}", "sensor": "roof", "celsius": 20 + number} for number in range(5)]
    async with start(SAMPLES / "aggregator") as app:
        for body in (readings, readings[:2], [{"id": "r0", "sensor": "cellar", "celsius": 12}]):
            assert (await app.post("/api/readings", json=body)).status == 202
        await app.run_until_idle()
        assert (await app.get("/api/sensors/roof")).json() == {"count": 5, "mean": 22, "lowest": 20, "highest": 24}
        assert (await app.get("/api/sensors/cellar")).json()["count"] == 1
        comparison = await started(app, "/api/comparisons", ["roof", "cellar", "garden"])
        assert await output(app, comparison) == {"means": {"roof": 22, "cellar": 12}, "warmest": "roof"}
        assert (await app.get("/api/sensors/garden")).status == 404
        assert (await app.post("/api/readings", json=[{"id": "r9", "sensor": "roof"}])).status == 400
        assert (await app.post("/api/comparisons", json={"sensor": "roof"})).status == 400


DEFAULT_VERSION = "AzureFunctionsJobHost__extensions__durableTask__defaultVersion"


@needs(DURABLE, "1.7.0")
async def test_an_order_continues_with_the_version_with_which_it_was_placed(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    async with start(SAMPLES / "versioning", storage=store, settings={DEFAULT_VERSION: "1.0"}) as app:
        for order, version in (("old", ""), ("future", "?version=2.0")):
            assert (await app.post(f"/api/orders/{order}{version}")).status == 202
        await app.run_until_idle(limit=timedelta(0))
        # A host of version 1.0 leaves newer instances to others.
        assert (await app.client.get_status("future")).runtime_status.value == "Pending"
    async with start(SAMPLES / "versioning", storage=store) as app:
        assert (await app.post("/api/orders/new")).status == 202
        assert (await app.post("/api/orders/new")).status == 409
        for order in ("old", "future", "new"):
            assert (await app.post(f"/api/orders/{order}/paid")).status == 202
        assert await output(app, "old") == {"version": "1.0", "steps": ["reserved old", "shipped old"]}
        for order in ("future", "new"):
            steps = [f"reserved {order}", f"checked the address of {order}", f"shipped {order}"]
            assert await output(app, order) == {"version": "2.0", "steps": steps}

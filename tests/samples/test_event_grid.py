"""The sample with Event Grid: an order is published, delivered and recorded."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emulator.testing import AppUnderTest

pytestmark = pytest.mark.azemu("samples/event-grid")


async def test_an_order_is_published_delivered_and_recorded(azemu: AppUnderTest) -> None:
    answer = await azemu.post("/api/orders", json={"item": "tea"})
    assert answer.status == 202
    await azemu.run_until_idle(limit=timedelta(0))
    assert (await azemu.get("/api/orders")).json() == [{"id": answer.json()["id"], "item": "tea"}]


async def test_event_grid_may_deliver_an_event_twice(azemu: AppUnderTest) -> None:
    event = {
        "id": "1",
        "topic": "t",
        "subject": "s",
        "eventType": "Orders.Placed",
        "dataVersion": "1.0",
        "eventTime": "2026-01-31T08:00:00Z",
        "data": {"id": "7", "item": "milk"},
    }
    for _ in range(2):
        answer = await azemu.post(
            "/runtime/webhooks/EventGrid?functionName=on_order",
            json=[event],
            headers={"aeg-event-type": "Notification"},
        )
        assert answer.status == 202
    assert (await azemu.get("/api/orders")).json() == [{"id": "7", "item": "milk"}]

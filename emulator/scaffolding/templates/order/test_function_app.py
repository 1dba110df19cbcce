from datetime import timedelta

from emulator.testing import SyncAppUnderTest


def placed(azemu: SyncAppUnderTest, **order: object) -> str:
    """Place an order and let it run for some minutes: a large one waits for its approval then. Return its id."""
    answer = azemu.post("/api/orders", json={"item": "book", "quantity": 2, "price": 30, **order})
    assert answer.status == 202
    azemu.advance(minutes=15)
    return str(answer.json()["id"])


def left(azemu: SyncAppUnderTest, item: str) -> int:
    # With pytest --azemu-chaos, an orchestration may get the response of the entity before the state is stored.
    azemu.advance(minutes=15)
    return int(azemu.get(f"/api/stock/{item}").json()["left"])


def test_a_small_order_is_shipped_at_once(azemu: SyncAppUnderTest) -> None:
    output = azemu.wait(placed(azemu)).output
    assert output == {"status": "shipped", "total": 60, "receipt": "receipt for 60.00", "parcel": "2 x book"}
    assert left(azemu, "book") == 8


def test_a_large_order_waits_for_an_approval(azemu: SyncAppUnderTest) -> None:
    order = placed(azemu, item="desk", price=100)
    assert azemu.client.get_status(order).custom_status == "waiting for an approval"
    assert azemu.post(f"/api/orders/{order}/approval", json={"approved": True}).status == 202
    assert azemu.wait(order).output["status"] == "shipped"


def test_an_order_that_nobody_approves_expires_after_a_day(azemu: SyncAppUnderTest) -> None:
    begin = azemu.now
    order = placed(azemu, item="lamp", price=100)
    assert left(azemu, "lamp") == 8
    assert azemu.wait(order).output["status"] == "expired"
    assert azemu.now - begin >= timedelta(hours=24)
    assert left(azemu, "lamp") == 10


def test_a_charge_is_tried_three_times(azemu: SyncAppUnderTest) -> None:
    azemu.fail("charge", times=2)
    assert azemu.wait(placed(azemu, item="pen")).output["status"] == "shipped"


def test_goods_go_back_when_the_charge_fails(azemu: SyncAppUnderTest) -> None:
    # More often than it is tried: with --azemu-chaos, an activity may run twice.
    azemu.fail("charge", times=10, error=ConnectionError("no route to the bank"))
    output = azemu.wait(placed(azemu, item="chair")).output
    assert output["status"] == "not paid"
    assert left(azemu, "chair") == 10


def test_what_is_not_in_stock_is_not_sold(azemu: SyncAppUnderTest) -> None:
    assert azemu.wait(placed(azemu, item="globe", quantity=11)).output["status"] == "out of stock"


def test_an_order_without_an_item_is_refused(azemu: SyncAppUnderTest) -> None:
    assert azemu.post("/api/orders", json={"quantity": 1}).status == 400

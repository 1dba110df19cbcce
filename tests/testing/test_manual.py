"""Manual invocations in tests: app.invoke, app.outputs and app.supply."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from emulator.testing import InvocationFailed, NotInvoked, start, start_sync
from tests.running_apps import HTTP_APP, write_app

APP = """
from datetime import timedelta

@app.service_bus_queue_trigger(arg_name="msg", queue_name="orders", connection="C")
@app.cosmos_db_input(arg_name="customer", connection="C", database_name="d", container_name="c", id="{customer}")
@app.service_bus_queue_output(arg_name="bill", queue_name="bills", connection="C")
def charge(msg: func.ServiceBusMessage, customer: func.DocumentList, bill: func.Out[str]):
    if msg.delivery_count > 5:
        raise ValueError("too often")
    order = json.loads(msg.get_body())
    bill.set(json.dumps({"to": customer[0]["mail"], "sum": order["sum"]}))

@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="01:00:00")
@app.event_hub_output(arg_name="$return", event_hub_name="h", connection="C")
def nightly(timer: func.TimerRequest, context: func.Context):
    if context.retry_context.retry_count < 3:
        raise ConnectionError("down")
    return "late" if timer.past_due else "in time"

@app.generic_trigger(arg_name="message", type="acmeTrigger", data_type="BINARY")
def size(message: bytes):
    return {"size": len(message)}

@app.route(route="orders", methods=["POST"])
@app.service_bus_queue_output(arg_name="msg", queue_name="orders", connection="C")
def order(req: func.HttpRequest, msg: func.Out[str]):
    msg.set(req.get_body().decode())
    return "accepted"
"""


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app", HTTP_APP, APP)


async def test_a_message_is_passed_from_one_function_to_the_next(app_folder: Path) -> None:
    async with start(app_folder) as app:
        await app.post("/api/orders", json={"customer": "ada", "sum": 7})
        [message] = app.outputs("order")
        app.supply("charge", "customer", [{"mail": "ada@example.com"}])
        charged = await app.invoke("charge", message.value)
        assert charged.outputs == {"bill": '{"to": "ada@example.com", "sum": 7}'}
        assert [output.function for output in app.outputs()] == ["order", "charge"]
        assert app.outputs("charge", "bill")[0].properties["queueName"] == "bills"
        assert app.outputs("charge", "other") == []


async def test_data_may_be_anything_that_a_trigger_takes(app_folder: Path) -> None:
    async with start(app_folder) as app:
        assert (await app.invoke("size", b"\xff\xff")).value == {"size": 2}
        assert (await app.invoke("SIZE", {"a": 1})).value == {"size": 8}
        customer = {"customer": {"mail": "m"}}
        charged = await app.invoke("charge", {"sum": 1, "customer": "x"}, inputs=customer)
        assert charged.outputs["bill"] == '{"to": "m", "sum": 1}'


async def test_retries_take_virtual_time(app_folder: Path) -> None:
    async with start(app_folder) as app:
        begin = app.now
        done = await app.invoke("nightly", {"IsPastDue": True})
        assert (done.value, done.outputs) == ("late", {"$return": "late"})
        assert app.now - begin == timedelta(hours=3)


async def test_a_failure_and_a_wrong_call_are_explained(app_folder: Path) -> None:
    async with start(app_folder) as app:
        with pytest.raises(InvocationFailed, match=r"The function 'charge' has failed(.|\n)*ValueError: too often"):
            await app.invoke("charge", '{"customer": "x"}', metadata={"DeliveryCount": 6}, inputs={"customer": "[]"})
        with pytest.raises(InvocationFailed, match="no value is supplied for 'customer' of function 'charge'"):
            await app.invoke("charge", {"customer": "x"})
        with pytest.raises(NotInvoked, match="An HttpRequest is required"):
            await app.invoke("order", "{}")
        with pytest.raises(NotInvoked, match=r"The app has no function 'chrage'. Did you mean 'charge'"):
            await app.invoke("chrage")
        with pytest.raises(NotInvoked, match="has no input binding 'msg' whose value can be supplied"):
            app.supply("charge", "msg", "x")


def test_plain_tests_have_the_same_methods(app_folder: Path) -> None:
    with start_sync(app_folder) as app:
        app.supply("charge", "customer", {"mail": "m"})
        assert app.invoke("charge", {"sum": 2, "customer": "x"}).outputs == {"bill": '{"to": "m", "sum": 2}'}
        assert [output.value for output in app.outputs("charge")] == ['{"to": "m", "sum": 2}']

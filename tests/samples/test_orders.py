"""The app at the top of the repository: orders and greetings."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.ids import new_id
from emulator.testing import AppUnderTest, events, start
from tests.samples.web import Asked, WebService, web_service

ROOT = Path(__file__).parents[2]
ORDER = {"id": "o-1", "customer": "ada@example.com", "items": [{"sku": "book", "quantity": 1, "price": 12.5}]}


async def outcome(app: AppUnderTest, order: dict[str, Any]) -> Any:
    answer = await app.post("/api/orders", json=order)
    assert answer.status == 202, answer.text
    assert answer.headers["Retry-After"] == "10"
    assert answer.headers["Location"] == answer.json()["statusQueryGetUri"]
    status = await app.wait(answer.json()["id"])
    assert status.runtime_status.value == "Completed"
    return status.output


@pytest.fixture(params=["memory", "file", pytest.param("azurite", marks=pytest.mark.azurite)])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AppUnderTest]:
    """The app on each store; only the built-in one lives by virtual time."""
    if request.param == "azurite":
        hub = {"AzureFunctionsJobHost__extensions__durableTask__hubName": f"Orders{new_id()}"}
        settings = {"AzureWebJobsStorage": request.getfixturevalue("azurite"), **hub}
        opened = start(ROOT, storage=None, clock="real", settings=settings)
    else:
        opened = start(ROOT, storage="memory" if request.param == "memory" else tmp_path / "store.db")
    async with opened as app:
        yield app


async def test_an_order_is_confirmed_and_its_status_can_be_polled(shop: AppUnderTest) -> None:
    assert await outcome(shop, ORDER) == {
        "status": "confirmed",
        "order": "o-1",
        "charged": "12.50",
        "confirmation": "Your order o-1 is confirmed: 1 x book. 12.50 was charged.",
    }
    polled = await shop.get("/runtime/webhooks/durabletask/instances/order-o-1")
    assert (polled.status, polled.json()["runtimeStatus"]) == (200, "Completed")
    again = await shop.post("/api/orders", json=ORDER)
    assert (again.status, again.json()["error"]) == (409, 'Order "o-1" was placed already.')


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([{"sku": "unicorn", "quantity": 1, "price": 1}], '"unicorn" is not sold here.'),
        ([{"sku": "desk", "quantity": 9, "price": 1}], 'Only 3 of "desk" are in stock, 9 were ordered.'),
        ([{"sku": "desk", "quantity": 3, "price": "1999.99"}], "The card was declined for 5999.97."),
    ],
)
async def test_an_order_that_cannot_be_fulfilled_says_why(items: list[dict[str, Any]], reason: str) -> None:
    async with start(ROOT) as app:
        assert await outcome(app, {**ORDER, "items": items}) == {
            "status": "rejected",
            "order": "o-1",
            "reasons": [reason],
        }


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("no json", "The body is not valid JSON."),
        ("[]", "The body must be a JSON object with id, customer and items."),
        ('{"id": "a b"}', '"id" must be 1 to 64 letters, digits, dots, dashes or underscores.'),
        ('{"customer": "ada"}', '"customer" must be an e-mail address.'),
        ('{"items": []}', '"items" must be a list with at least one item.'),
        (
            '{"items": [{"sku": "book", "quantity": true, "price": 1}]}',
            'Item 1: "quantity" must be a whole number from 1.',
        ),
        ('{"items": [{"sku": "book", "quantity": 1, "price": "x"}]}', 'Item 1: "price" must be a number from 0.'),
    ],
)
async def test_what_is_no_order_is_answered_with_400_and_the_problem(body: str, problem: str) -> None:
    async with start(ROOT) as app:
        answer = await app.post("/api/orders", data=body)
        assert answer.status == 400
        assert problem in answer.json()["problems"]


@pytest.fixture
def provider() -> Iterator[WebService]:
    """A payment provider that is down twice."""
    down = iter([503, 503])

    def answer(asked: Asked) -> tuple[int, Any]:
        return next(down, 200), {"reference": "p-1"}

    with web_service(answer) as service:
        yield service


async def test_payment_is_tried_again_while_the_provider_is_down(provider: WebService) -> None:
    async with start(ROOT, settings={"PAYMENT_URL": provider.url}) as app:
        assert (await outcome(app, ORDER))["status"] == "confirmed"
        assert [asked.body["amount"] for asked in provider.asked] == ["12.50"] * 3


async def test_a_provider_that_stays_down_ends_the_order_in_words() -> None:
    async with start(ROOT) as app:
        app.fail("process_payment", times=4, error=ConnectionError("no route to the bank"))
        assert (await outcome(app, ORDER))["reasons"] == [
            "The payment provider could not be reached. Nothing was charged."
        ]


async def test_the_confirmation_comes_last_and_names_what_was_charged() -> None:
    charged: list[str] = []

    def confirm(confirmed: dict[str, Any]) -> str:
        charged.append(confirmed["payment"]["amount"])
        return "thank you"

    async with start(ROOT) as app:
        app.replace("send_confirmation", confirm)
        assert (await outcome(app, ORDER))["confirmation"] == "thank you"
        history = await app.history("order-o-1")
        steps = [event.name for event in history if isinstance(event, events.TaskScheduled)]
        assert steps == ["validate_order", "check_inventory", "process_payment", "send_confirmation"]
    assert charged == ["12.50"]


async def test_the_log_tells_of_an_order() -> None:
    async with start(ROOT) as app:
        await outcome(app, ORDER)
        said = [(line.function, line.message) for line in app.logs]
        assert ("start_order", "Order o-1 of ada@example.com accepted, total 12.50.") in said
        assert "Executed 'Functions.start_order' (Succeeded" in app.console


async def test_a_payment_is_tried_again_after_two_seconds() -> None:
    async with start(ROOT) as app:
        begin = app.now
        app.fail("process_payment", times=2)
        assert (await outcome(app, ORDER))["status"] == "confirmed"
        assert app.now - begin == timedelta(seconds=4)


@pytest.mark.parametrize(
    ("path", "options", "text"),
    [
        ("/api/greet?name=Ada", {}, "Hello, Ada. This HTTP triggered function executed successfully."),
        ("/api/greet", {"json": {"name": "Ada"}}, "Hello, Ada. This HTTP triggered function executed successfully."),
        ("/api/greet", {"data": "no json"}, "This HTTP triggered function executed successfully. Pass a name in "),
        ("/api/greet", {}, "This HTTP triggered function executed successfully. Pass a name in "),
    ],
)
async def test_greetings(path: str, options: dict[str, Any], text: str) -> None:
    async with start(ROOT) as app:
        answer = await app.post(path, **options)
        assert (answer.status, answer.text[: len(text)]) == (200, text)

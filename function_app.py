"""Order processing: an HTTP request starts a durable workflow that validates, reserves, charges and confirms.

    POST /api/orders    starts an order, answers 202 with the URLs to follow it
    GET|POST /api/greet says hello

The workflow's steps are activities. A step that cannot succeed (unknown article, declined card) is an outcome, not an
error; a step that may succeed later (the payment provider is down) is retried.
"""

from __future__ import annotations

import json
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

# What the shop has. A real one would ask its inventory service here.
STOCK: Mapping[str, int] = {"book": 40, "lamp": 12, "desk": 3, "chair": 8}

# Above this amount the card issuer wants the customer to confirm, which this shop does not offer.
CARD_LIMIT = Decimal("5000")

PAYMENT_RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=2_000, max_number_of_attempts=4)
PAYMENT_TIMEOUT = timedelta(seconds=20)

ORDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


# The domain ----------------------------------------------------------------------------------------------------


class InvalidOrder(Exception):
    """The request is not an order. `problems`: one sentence per mistake, for the caller."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int
    price: str  # a decimal number as text, so that JSON cannot round it

    @property
    def total(self) -> Decimal:
        return Decimal(self.price) * self.quantity


@dataclass(frozen=True)
class Order:
    id: str
    customer: str
    items: list[Item]

    @property
    def total(self) -> Decimal:
        return sum((item.total for item in self.items), Decimal(0)).quantize(Decimal("0.01"))

    @classmethod
    def from_request(cls, body: object) -> Order:
        """Read the body of POST /api/orders. Raises InvalidOrder with all mistakes at once."""
        if not isinstance(body, dict):
            raise InvalidOrder(["The body must be a JSON object with id, customer and items."])
        problems: list[str] = []
        if not (isinstance(body.get("id"), str) and ORDER_ID.fullmatch(body["id"])):
            problems.append('"id" must be 1 to 64 letters, digits, dots, dashes or underscores.')
        if not (isinstance(body.get("customer"), str) and EMAIL.fullmatch(body["customer"])):
            problems.append('"customer" must be an e-mail address.')
        items = _items(body.get("items"), problems)
        if problems:
            raise InvalidOrder(problems)
        return cls(body["id"], body["customer"], items)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Order:
        """The inverse of `asdict`: what the workflow passes between its steps."""
        return cls(data["id"], data["customer"], [Item(**item) for item in data["items"]])


def _items(found: object, problems: list[str]) -> list[Item]:
    if not isinstance(found, list) or not found:
        problems.append('"items" must be a list with at least one item.')
        return []
    items = (_item(number, item, problems) for number, item in enumerate(found, start=1))
    return [item for item in items if item is not None]


def _item(number: int, found: object, problems: list[str]) -> Item | None:
    if not isinstance(found, dict):
        problems.append(f"Item {number} must be an object with sku, quantity and price.")
        return None
    sku, quantity, price = found.get("sku"), found.get("quantity"), _price(found.get("price"))
    if not (isinstance(sku, str) and sku):
        problems.append(f'Item {number}: "sku" must be a text.')
    if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
        problems.append(f'Item {number}: "quantity" must be a whole number from 1.')
    if price is None:
        problems.append(f'Item {number}: "price" must be a number from 0.')
    if isinstance(sku, str) and sku and isinstance(quantity, int) and quantity >= 1 and price is not None:
        return Item(sku, quantity, str(price))
    return None


def _price(found: object) -> Decimal | None:
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        price = Decimal(str(found))
    except InvalidOperation:
        return None
    return price if price.is_finite() and price >= 0 else None


# HTTP ----------------------------------------------------------------------------------------------------------


@app.route(route="orders", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_order(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start the workflow of an order; the order's id makes a repeated request harmless."""
    try:
        order = Order.from_request(_json_body(req))
    except InvalidOrder as invalid:
        return _json_response({"error": "This is not an order.", "problems": invalid.problems}, 400)
    instance_id = f"order-{order.id}"
    existing = await client.get_status(instance_id)
    if existing:
        return _json_response({"error": f'Order "{order.id}" was placed already.', "instance": instance_id}, 409)
    await client.start_new("process_order", instance_id, asdict(order))
    logging.info("Order %s of %s accepted, total %s.", order.id, order.customer, order.total)
    return client.create_check_status_response(req, instance_id)


@app.route(route="greet", methods=["GET", "POST"], auth_level=func.AuthLevel.FUNCTION)
def greet(req: func.HttpRequest) -> func.HttpResponse:
    """Say hello to the name in the query string or in the JSON body."""
    name = req.params.get("name")
    if not name:
        try:
            body = _json_body(req)
        except InvalidOrder:
            body = None
        name = body.get("name") if isinstance(body, dict) else None
    if name:
        return func.HttpResponse(f"Hello, {name}. This HTTP triggered function executed successfully.")
    return func.HttpResponse(
        "This HTTP triggered function executed successfully. Pass a name in the query string or in the request body "
        "for a personalized response."
    )


def _json_body(req: func.HttpRequest) -> object:
    try:
        return req.get_json()
    except ValueError as error:
        raise InvalidOrder(["The body is not valid JSON."]) from error


def _json_response(body: object, status: int) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")


# The workflow --------------------------------------------------------------------------------------------------


@app.orchestration_trigger(context_name="context")
def process_order(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    """Validate, check inventory, charge, confirm. Ends with what became of the order, in words."""
    order = context.get_input()

    context.set_custom_status("validating")
    problems = yield context.call_activity("validate_order", order)
    if problems:
        return _rejected(order, problems)

    context.set_custom_status("checking inventory")
    missing = yield context.call_activity("check_inventory", order)
    if missing:
        return _rejected(order, missing)

    context.set_custom_status("charging")
    try:
        payment = yield context.call_activity_with_retry("process_payment", PAYMENT_RETRY, order)
    except Exception:
        return _rejected(order, ["The payment provider could not be reached. Nothing was charged."])
    if not payment["approved"]:
        return _rejected(order, [payment["reason"]])

    context.set_custom_status("confirming")
    message = yield context.call_activity("send_confirmation", {"order": order, "payment": payment})
    return {"status": "confirmed", "order": order["id"], "charged": payment["amount"], "confirmation": message}


def _rejected(order: Mapping[str, Any], reasons: list[str]) -> dict[str, Any]:
    return {"status": "rejected", "order": order["id"], "reasons": reasons}


@app.activity_trigger(input_name="order")
def validate_order(order: dict) -> list[str]:
    """Business rules that need no other system. Gives the problems, none for a good order."""
    problems = []
    skus = [item.sku for item in Order.from_json(order).items]
    problems += [f'"{sku}" is listed more than once.' for sku in sorted(set(skus)) if skus.count(sku) > 1]
    problems += [f'"{sku}" is not sold here.' for sku in skus if sku not in STOCK]
    return problems


@app.activity_trigger(input_name="order")
def check_inventory(order: dict) -> list[str]:
    """What is missing, in words; nothing when all is in stock."""
    wanted = Order.from_json(order).items
    return [
        f'Only {STOCK[item.sku]} of "{item.sku}" are in stock, {item.quantity} were ordered.'
        for item in wanted
        if item.quantity > STOCK[item.sku]
    ]


@app.activity_trigger(input_name="order")
def process_payment(order: dict) -> dict[str, Any]:
    """Charge the customer. Raises when the provider cannot be reached, so that the workflow tries again.

    With the setting PAYMENT_URL the provider is asked there; the order's id is the idempotency key, so an attempt that
    succeeded without our knowing is not charged twice. Without it the shop approves by its own limit.
    """
    placed = Order.from_json(order)
    amount = str(placed.total)
    url = os.environ.get("PAYMENT_URL")
    if url:
        return _ask_provider(url, placed.id, placed.customer, amount)
    if placed.total > CARD_LIMIT:
        return {"approved": False, "amount": amount, "reason": f"The card was declined for {amount}."}
    return {"approved": True, "amount": amount, "reference": f"pay-{placed.id}"}


def _ask_provider(url: str, order_id: str, customer: str, amount: str) -> dict[str, Any]:
    request = urllib.request.Request(
        url,
        data=json.dumps({"customer": customer, "amount": amount}).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": order_id},
    )
    try:
        with urllib.request.urlopen(request, timeout=PAYMENT_TIMEOUT.total_seconds()) as answer:
            return {"approved": True, "amount": amount, "reference": json.load(answer)["reference"]}
    except urllib.error.HTTPError as refused:
        refused.close()
        if refused.code == 402:
            return {"approved": False, "amount": amount, "reason": f"The card was declined for {amount}."}
        raise


@app.activity_trigger(input_name="confirmed")
def send_confirmation(confirmed: dict) -> str:
    """Tell the customer. Gives the message that went out."""
    order = Order.from_json(confirmed["order"])
    lines = ", ".join(f"{item.quantity} x {item.sku}" for item in order.items)
    message = f"Your order {order.id} is confirmed: {lines}. {confirmed['payment']['amount']} was charged."
    logging.info("Confirmation to %s: %s", order.customer, message)
    return message

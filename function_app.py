"""Order processing: an HTTP request starts an orchestration that validates, checks stock, charges and confirms.

    POST /api/orders    accepts an order and returns 202 with URLs for its status
    GET|POST /api/greet says hello

Each step is an activity. A step that cannot succeed (unknown article, declined card) returns the reason, and the order
is rejected. A step that may succeed later (the payment provider is down) raises an error and is retried.
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

# Articles in stock. A real shop would ask its inventory service.
STOCK: Mapping[str, int] = {"book": 40, "lamp": 12, "desk": 3, "chair": 8}

# Above this amount the card issuer requires a confirmation by the customer, which this shop does not support.
CARD_LIMIT = Decimal("5000")

PAYMENT_RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=2_000, max_number_of_attempts=4)
PAYMENT_TIMEOUT = timedelta(seconds=20)

ORDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


# The domain ----------------------------------------------------------------------------------------------------


class InvalidOrder(Exception):
    """Request that is not an order. `problems`: one sentence per mistake, for the client."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int
    price: str  # a decimal number as text, because JSON numbers may be rounded

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
    """Start the orchestration of an order. The instance id contains the order's id, so no order is placed twice."""
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
    """Validate, check the inventory, charge, confirm. Return whether the order was confirmed, or why not."""
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
    """Check the rules that need no other system. Return the problems; an empty list for a valid order."""
    problems = []
    skus = [item.sku for item in Order.from_json(order).items]
    problems += [f'"{sku}" is listed more than once.' for sku in sorted(set(skus)) if skus.count(sku) > 1]
    problems += [f'"{sku}" is not sold here.' for sku in skus if sku not in STOCK]
    return problems


@app.activity_trigger(input_name="order")
def check_inventory(order: dict) -> list[str]:
    """Return a sentence for each article that is not in stock."""
    wanted = Order.from_json(order).items
    return [
        f'Only {STOCK[item.sku]} of "{item.sku}" are in stock, {item.quantity} were ordered.'
        for item in wanted
        if item.quantity > STOCK[item.sku]
    ]


@app.activity_trigger(input_name="order")
def process_payment(order: dict) -> dict[str, Any]:
    """Charge the customer. Raises an error if the provider cannot be reached, so that the orchestration retries.

    With the setting PAYMENT_URL, the request is sent to a provider. The order's id is the idempotency key: if the host
    crashes after the payment, the activity runs again, but the customer is not charged twice. Without the setting,
    every amount up to CARD_LIMIT is approved.
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
    """Send the confirmation to the customer. Return its text."""
    order = Order.from_json(confirmed["order"])
    lines = ", ".join(f"{item.quantity} x {item.sku}" for item in order.items)
    message = f"Your order {order.id} is confirmed: {lines}. {confirmed['payment']['amount']} was charged."
    logging.info("Confirmation to %s: %s", order.customer, message)
    return message

"""Orders: an orchestration takes the goods from the stock, asks for an approval, charges, and ships.

POST /api/orders                 places an order: {"item": "book", "quantity": 2, "price": 30}
POST /api/orders/{id}/approval   approves an order of 100 or more, or rejects it: {"approved": true}
GET  /api/stock/{item}           shows how many pieces are left
"""

import json
import logging
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

APPROVAL_FROM = 100
APPROVAL_WITHIN = timedelta(hours=24)
PIECES_AT_THE_BEGINNING = 10


@app.route(route="orders", methods=["POST"])
@app.durable_client_input(client_name="client")
async def place_order(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an orchestration for an order: {"item": "book", "quantity": 2, "price": 30}. Respond with its URLs."""
    try:
        body = req.get_json()
        order = {"item": str(body["item"]), "quantity": int(body["quantity"]), "price": float(body["price"])}
    except (ValueError, KeyError, TypeError):
        return func.HttpResponse('Send {"item": "book", "quantity": 2, "price": 30}.', status_code=400)
    if order["quantity"] < 1 or order["price"] < 0:
        return func.HttpResponse("The quantity must be 1 or more, and the price not negative.", status_code=400)
    instance_id = await client.start_new("process_order", client_input=order)
    return client.create_check_status_response(req, instance_id)


@app.route(route="orders/{id}/approval", methods=["POST"])
@app.durable_client_input(client_name="client")
async def approve_order(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Raise the event that the orchestration of a large order waits for: {"approved": true}."""
    try:
        approved = req.get_json()["approved"] is True
    except (ValueError, KeyError, TypeError):
        return func.HttpResponse('Send {"approved": true}, or false.', status_code=400)
    await client.raise_event(req.route_params["id"], "approval", {"approved": approved})
    return func.HttpResponse(status_code=202)


@app.route(route="stock/{item}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def show_stock(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    state = await client.read_entity_state(df.EntityId("stock", req.route_params["item"]))
    left = state.entity_state if state.entity_exists else PIECES_AT_THE_BEGINNING
    return func.HttpResponse(json.dumps({"item": req.route_params["item"], "left": left}), mimetype="application/json")


@app.orchestration_trigger(context_name="context")
def process_order(context: df.DurableOrchestrationContext):
    """Take the goods, get an approval for large orders, charge, ship. What was taken goes back if a step fails.

    The input is the order: {"item": "book", "quantity": 2, "price": 30}
    """
    order = context.get_input()
    total = order["quantity"] * order["price"]
    stock = df.EntityId("stock", order["item"])

    context.set_custom_status("taking the goods")
    if not (yield context.call_entity(stock, "take", order["quantity"])):
        return {"status": "out of stock", "total": total}

    if total >= APPROVAL_FROM:
        context.set_custom_status("waiting for an approval")
        answer = yield from wait_for_approval(context)
        if answer != "approved":
            yield context.call_entity(stock, "put back", order["quantity"])
            return {"status": answer, "total": total}

    retry = df.RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=3)
    try:
        context.set_custom_status("charging")
        receipt = yield context.call_activity_with_retry(
            "charge", retry, {"order": context.instance_id, "amount": total}
        )
    except Exception as error:
        yield context.call_entity(stock, "put back", order["quantity"])
        return {"status": "not paid", "total": total, "reason": str(error)}

    context.set_custom_status("shipping")
    parcel = yield context.call_activity("ship", order)
    context.set_custom_status("done")
    return {"status": "shipped", "total": total, "receipt": receipt, "parcel": parcel}


def wait_for_approval(context: df.DurableOrchestrationContext):
    """Wait for the event "approval". Return "approved", "rejected", or "expired" if there is none in time."""
    approval = context.wait_for_external_event("approval")
    deadline = context.create_timer(context.current_utc_datetime + APPROVAL_WITHIN)
    first = yield context.task_any([approval, deadline])
    if first is deadline:
        return "expired"
    deadline.cancel()
    # The Python client sends the data of an event as JSON text, an HTTP request as a JSON value.
    answer = json.loads(approval.result) if isinstance(approval.result, str) else approval.result
    return "approved" if answer["approved"] else "rejected"


@app.activity_trigger(input_name="payment")
def charge(payment: dict) -> str:
    """Charge a customer. An activity may run twice, so a real one would send the order's id to the payment service."""
    logging.info("Charging %.2f for order %s.", payment["amount"], payment["order"])
    return f"receipt for {payment['amount']:.2f}"


@app.activity_trigger(input_name="order")
def ship(order: dict) -> str:
    logging.info("Shipping %d x %s.", order["quantity"], order["item"])
    return f"{order['quantity']} x {order['item']}"


@app.entity_trigger(context_name="context")
def stock(context: df.DurableEntityContext) -> None:
    """Keep the number of pieces of an item. "take" answers whether there were enough."""
    left = context.get_state(lambda: PIECES_AT_THE_BEGINNING)
    quantity = context.get_input()
    match context.operation_name:
        case "take":
            enough = left >= quantity
            context.set_state(left - quantity if enough else left)
            context.set_result(enough)
        case "put back":
            context.set_state(left + quantity)
        case other:
            raise ValueError(f"unknown operation {other!r}")

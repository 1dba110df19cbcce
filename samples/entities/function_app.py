"""Durable entities: a counter and a shopping cart.

An entity has a name and a state. It processes one operation at a time, so its code needs no locks.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


# Counter: signalled and read by HTTP functions -----------------------------------------------------------------


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
    elif context.operation_name == "reset":
        value = 0
    context.set_state(value)
    context.set_result(value)


@app.route(route="counters/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def count(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Body: the number to add. The response does not wait until it is added."""
    try:
        amount = int(req.get_body())
    except ValueError:
        return _json({"error": "Send a whole number."}, 400)
    if amount:  # the client library does not send the input 0
        await client.signal_entity(df.EntityId("counter", req.route_params["name"]), "add", amount)
    return func.HttpResponse(status_code=202)


@app.route(route="counters/{name}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def read_counter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    state = await client.read_entity_state(df.EntityId("counter", req.route_params["name"]))
    return _json({"value": state.entity_state if state.entity_exists else 0}, 200)


# Shopping cart: called by an orchestration, which also counts the checkouts -----------------------------------


@app.entity_trigger(context_name="context")
def cart(context: df.DurableEntityContext) -> None:
    items: dict[str, int] = context.get_state(dict)
    operation = context.operation_name
    if operation == "put":
        item = context.get_input()
        items[item["sku"]] = items.get(item["sku"], 0) + item["quantity"]
    elif operation == "take_out":
        sku = context.get_input()
        if sku not in items:
            raise KeyError(f"{sku} is not in the cart")
        del items[sku]
    elif operation == "empty":
        context.set_result(items)
        context.set_state({})
        return
    context.set_state(items)
    context.set_result(items)


@app.route(route="carts/{customer}/{operation:regex(^(put|take_out|show|checkout)$)}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def shop(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """put: {"sku": "book", "quantity": 2}; take_out: "book"; show and checkout: no body."""
    operation = req.route_params["operation"]
    try:
        argument = req.get_json() if req.get_body() else None
    except ValueError:
        return _json({"error": "The body is not valid JSON."}, 400)
    request = {"customer": req.route_params["customer"], "operation": operation, "argument": argument}
    instance_id = await client.start_new("checkout" if operation == "checkout" else "use_cart", client_input=request)
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, timeout_in_milliseconds=10_000, retry_interval_in_milliseconds=100
    )


@app.orchestration_trigger(context_name="context")
def use_cart(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    request = context.get_input()
    entity = df.EntityId("cart", request["customer"])
    try:
        items = yield context.call_entity(entity, request["operation"], request["argument"])
    except Exception as refused:
        return {"error": str(refused)}
    return {"items": items}


@app.orchestration_trigger(context_name="context")
def checkout(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    customer = context.get_input()["customer"]
    items = yield context.call_entity(df.EntityId("cart", customer), "empty")
    if not items:
        return {"error": "The cart is empty."}
    context.signal_entity(df.EntityId("counter", "checkouts"), "add", 1)
    receipt = yield context.call_activity("print_receipt", {"customer": customer, "items": items})
    return {"receipt": receipt}


@app.activity_trigger(input_name="sale")
def print_receipt(sale: dict) -> str:
    lines = [f"{quantity} x {sku}" for sku, quantity in sorted(sale["items"].items())]
    return f"{sale['customer']}: " + ", ".join(lines)


def _json(body: object, status: int) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")

"""Orchestration versioning: change an orchestrator while instances of the earlier version are waiting.

Every instance keeps the version with which it was started: `defaultVersion` in host.json at that time. Version 2.0 of
this app added a step between payment and delivery. Orders that were placed before continue without it, because a replay
must find the steps that are in their history.

POST /api/orders/{id}       places an order; ?version=1.0 places it as version 1.0 of the app did
POST /api/orders/{id}/paid  tells that it was paid
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orders/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def place_order(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    order = req.route_params["id"]
    if await client.get_status(order):
        return func.HttpResponse(
            json.dumps({"error": "This order was placed already."}), status_code=409, mimetype="application/json"
        )
    await client.start_new("fulfil_order", order, order, version=req.params.get("version"))
    return client.create_check_status_response(req, order)


@app.route(route="orders/{id}/paid", methods=["POST"])
@app.durable_client_input(client_name="client")
async def pay_order(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    await client.raise_event(req.route_params["id"], "paid", True)
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def fulfil_order(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    order = context.get_input()
    steps = [(yield context.call_activity("reserve", order))]
    yield context.wait_for_external_event("paid")
    if _version(context) >= (2, 0):
        steps.append((yield context.call_activity("check_address", order)))
    steps.append((yield context.call_activity("ship", order)))
    return {"version": context.version, "steps": steps}


def _version(context: df.DurableOrchestrationContext) -> tuple[int, ...]:
    """Return the version of the instance. One that was started before the app had versions counts as 1.0."""
    return tuple(int(part) for part in (context.version or "1.0").split("."))


@app.activity_trigger(input_name="order")
def reserve(order: str) -> str:
    return f"reserved {order}"


@app.activity_trigger(input_name="order")
def check_address(order: str) -> str:
    return f"checked the address of {order}"


@app.activity_trigger(input_name="order")
def ship(order: str) -> str:
    return f"shipped {order}"

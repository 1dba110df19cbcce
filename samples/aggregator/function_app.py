"""Aggregator: combine readings that arrive one by one, from many devices, into statistics per sensor.

Each sensor has an entity. It processes one reading at a time, so no reading is lost when many arrive together.

POST /api/readings          adds readings: [{"id": "r1", "sensor": "roof", "celsius": 21.5}]
GET  /api/sensors/{sensor}  returns the statistics of one sensor
POST /api/comparisons       compares sensors: ["roof", "cellar"]
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

# A device sends a reading again if it has received no response. So many ids of each sensor are kept to notice that.
REMEMBERED_IDS = 100


@app.route(route="readings", methods=["POST"])
@app.durable_client_input(client_name="client")
async def add_readings(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """The response does not wait until the readings are added."""
    try:
        readings = [
            {"id": str(each["id"]), "sensor": str(each["sensor"]), "celsius": float(each["celsius"])}
            for each in req.get_json()
        ]
    except (ValueError, KeyError, TypeError):
        return _json({"error": "Send a list of readings, each with id, sensor and celsius."}, 400)
    for reading in readings:
        await client.signal_entity(df.EntityId("sensor", reading["sensor"]), "add", reading)
    return func.HttpResponse(status_code=202)


@app.route(route="sensors/{sensor}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def read_sensor(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    state = await client.read_entity_state(df.EntityId("sensor", req.route_params["sensor"]))
    # A sensor that was only compared exists, too, but has no state.
    if not state.entity_state:
        return _json({"error": "There are no readings of this sensor."}, 404)
    return _json(_summary(state.entity_state), 200)


@app.entity_trigger(context_name="context")
def sensor(context: df.DurableEntityContext) -> None:
    state = context.get_state(lambda: {"count": 0, "sum": 0.0, "lowest": None, "highest": None, "ids": []})
    if context.operation_name == "add":
        reading = context.get_input()
        if reading["id"] in state["ids"]:
            return
        celsius = reading["celsius"]
        first = state["count"] == 0
        context.set_state(
            {
                "count": state["count"] + 1,
                "sum": state["sum"] + celsius,
                "lowest": celsius if first else min(celsius, state["lowest"]),
                "highest": celsius if first else max(celsius, state["highest"]),
                "ids": [*state["ids"], reading["id"]][-REMEMBERED_IDS:],
            }
        )
    elif context.operation_name == "summary":
        context.set_result(_summary(state))


@app.route(route="comparisons", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_comparison(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    try:
        sensors = req.get_json()
    except ValueError:
        sensors = None
    if not isinstance(sensors, list) or not sensors or not all(isinstance(name, str) for name in sensors):
        return _json({"error": "Send a list of names of sensors."}, 400)
    instance_id = await client.start_new("compare", client_input=sensors)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def compare(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    sensors = context.get_input()
    summaries = yield context.task_all(
        [context.call_entity(df.EntityId("sensor", name), "summary") for name in sensors]
    )
    means = {name: summary["mean"] for name, summary in zip(sensors, summaries, strict=True) if summary["count"]}
    return {"means": means, "warmest": max(means, key=means.get) if means else None}


def _summary(state: dict[str, Any]) -> dict[str, Any]:
    mean = round(state["sum"] / state["count"], 2) if state["count"] else None
    return {"count": state["count"], "mean": mean, "lowest": state["lowest"], "highest": state["highest"]}


def _json(body: object, status: int) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")

"""Async HTTP API: start long work over HTTP and return URLs for its status.

POST /api/reports        starts a report. If it is finished within three seconds, it is the response (200). Otherwise,
                         or with "Prefer: respond-async", the response is 202 with URLs for the status.
GET /api/reports/{id}    returns progress and result
DELETE /api/reports/{id} cancels a report
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@app.route(route="reports", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_report(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Body: {"sales": {"jan": [1200.5, 80], ...}}."""
    try:
        sales = req.get_json()["sales"]
        unknown = sorted(set(sales) - set(MONTHS))
    except (ValueError, KeyError, TypeError):
        return _json({"error": 'Send {"sales": {"jan": [12.5, …], …}}.'}, 400)
    if unknown:
        return _json({"error": f"Not a month: {', '.join(unknown)}."}, 400)
    instance_id = await client.start_new("build_report", client_input=sales)
    if "respond-async" in req.headers.get("Prefer", ""):
        return client.create_check_status_response(req, instance_id)
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, timeout_in_milliseconds=3_000, retry_interval_in_milliseconds=200
    )


@app.route(route="reports/{id}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def report_status(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    status = await client.get_status(req.route_params["id"])
    if not status:
        return _json({"error": "There is no such report."}, 404)
    return _json({"state": status.runtime_status.value, "progress": status.custom_status, "report": status.output}, 200)


@app.route(route="reports/{id}", methods=["DELETE"])
@app.durable_client_input(client_name="client")
async def cancel_report(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    report = req.route_params["id"]
    if not await client.get_status(report):
        return _json({"error": "There is no such report."}, 404)
    await client.terminate(report, "cancelled by the user")
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def build_report(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    sales = context.get_input()
    months = [month for month in MONTHS if month in sales]
    lines = []
    for done, month in enumerate(months):
        context.set_custom_status({"done": done, "of": len(months)})
        line = yield context.call_activity("summarise_month", {"month": month, "sales": sales[month]})
        lines.append(line)
    return {"lines": lines, "total": round(sum(line["total"] for line in lines), 2)}


@app.activity_trigger(input_name="work")
def summarise_month(work: dict) -> dict[str, Any]:
    amounts = work["sales"]
    return {"month": work["month"], "sales": len(amounts), "total": round(sum(amounts), 2)}


def _json(body: object, status: int) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")

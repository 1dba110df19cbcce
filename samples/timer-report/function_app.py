"""Timer report: a timer starts an orchestration that reports the sales of the day, every morning of a workday.

The schedule is a setting, so that it can differ between the developer's machine and Azure. A report that was missed
because the host was stopped is caught up at the next start, and says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

SALES = df.EntityId("sales", "today")


@app.route(route="sales", methods=["POST"])
@app.durable_client_input(client_name="client")
async def sell(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Body: {"product": "tea", "amount": 4.5}."""
    try:
        sale = req.get_json()
        valid = isinstance(sale["product"], str) and float(sale["amount"]) > 0
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        return func.HttpResponse('{"error": "Send product and amount, above 0."}', status_code=400)
    await client.signal_entity(SALES, "add", sale)
    return func.HttpResponse(status_code=202)


@app.timer_trigger(arg_name="timer", schedule="%REPORT_SCHEDULE%")
@app.durable_client_input(client_name="client")
async def morning(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    await client.start_new("report", client_input={"late": timer.past_due})


@app.orchestration_trigger(context_name="context")
def report(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    totals = yield context.call_entity(SALES, "take")
    summary = {"totals": totals, "late": context.get_input()["late"]}
    yield context.call_activity("publish", summary)
    return summary


@app.activity_trigger(input_name="summary")
def publish(summary: dict) -> None:
    # A real app sends a mail here.
    logging.info("Sales%s: %s", " (late)" if summary["late"] else "", json.dumps(summary["totals"]))


@app.entity_trigger(context_name="context")
def sales(context: df.DurableEntityContext) -> None:
    totals: dict[str, float] = context.get_state(dict)
    if context.operation_name == "add":
        sale = context.get_input()
        totals[sale["product"]] = totals.get(sale["product"], 0) + float(sale["amount"])
    else:
        context.set_result(totals)
        totals = {}
    context.set_state(totals)

"""Human interaction: wait for the approval of a document, and ask the manager if there is none after 72 hours.

POST /api/documents               starts the approval of a document
POST /api/documents/{id}/decision sends a decision: {"by": "ada", "approved": true}
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

FIRST_ANSWER_WITHIN = timedelta(hours=72)
MANAGER_ANSWERS_WITHIN = timedelta(hours=24)


@app.route(route="documents", methods=["POST"])
@app.durable_client_input(client_name="client")
async def submit_document(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    try:
        wanted = req.get_json()
        document = {name: str(wanted[name]) for name in ("title", "approver", "manager")}
    except (ValueError, KeyError, TypeError):
        return _json({"error": "Send title, approver and manager."}, 400)
    instance_id = await client.start_new("approve_document", client_input=document)
    return client.create_check_status_response(req, instance_id)


@app.route(route="documents/{id}/decision", methods=["POST"])
@app.durable_client_input(client_name="client")
async def decide(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    try:
        wanted = req.get_json()
        decision = {"by": str(wanted["by"]), "approved": wanted["approved"] is True}
    except (ValueError, KeyError, TypeError):
        return _json({"error": "Send by and approved."}, 400)
    status = await client.get_status(req.route_params["id"])
    if not status:
        return _json({"error": "There is no such document."}, 404)
    if status.runtime_status is not df.OrchestrationRuntimeStatus.Running:
        return _json({"error": "This document was decided already."}, 409)
    await client.raise_event(req.route_params["id"], "decision", decision)
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def approve_document(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    document = context.get_input()

    context.set_custom_status(f"waiting for {document['approver']}")
    yield context.call_activity("ask", {"whom": document["approver"], "title": document["title"]})
    decision = yield from _decision_within(context, FIRST_ANSWER_WITHIN)
    if decision is None:
        context.set_custom_status(f"waiting for {document['manager']}")
        yield context.call_activity("ask", {"whom": document["manager"], "title": document["title"]})
        decision = yield from _decision_within(context, MANAGER_ANSWERS_WITHIN)

    context.set_custom_status("decided")
    if decision is None:
        return {"title": document["title"], "result": "expired", "by": None}
    return {
        "title": document["title"],
        "result": "approved" if decision["approved"] else "rejected",
        "by": decision["by"],
    }


def _decision_within(
    context: df.DurableOrchestrationContext, limit: timedelta
) -> Generator[Any, Any, dict[str, Any] | None]:
    """Wait for the decision. Return None if there is none within `limit`."""
    decision = context.wait_for_external_event("decision")
    deadline = context.create_timer(context.current_utc_datetime + limit)
    first = yield context.task_any([decision, deadline])
    if first is deadline:
        return None
    deadline.cancel()
    # `raise_event` of the Python client sends the data as JSON text, an HTTP request as a JSON value.
    return json.loads(decision.result) if isinstance(decision.result, str) else decision.result


@app.activity_trigger(input_name="request")
def ask(request: dict) -> str:
    """Log the request. A real app would send a message."""
    message = f'{request["whom"]}, please decide on "{request["title"]}".'
    logging.info("%s", message)
    return message


def _json(body: object, status: int) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")

import json
import logging
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="approval", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def approval_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Ask for an approval. Body: {"title": "…"}."""
    instance_id = await client.start_new("approval", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.route(route="approval/{id}/decision", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def approval_decide(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Raise the event that the instance waits for. Body: true or false."""
    await client.raise_event(req.route_params["id"], "decision", req.get_json())
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def approval(context: df.DurableOrchestrationContext):
    """Wait for a person. Escalate after three days."""
    yield context.call_activity("approval_ask", context.get_input())
    decision = context.wait_for_external_event("decision")
    deadline = context.create_timer(context.current_utc_datetime + timedelta(days=3))
    first = yield context.task_any([decision, deadline])
    if first is deadline:
        return "escalated"
    # An open timer keeps the instance running, so it is cancelled.
    deadline.cancel()
    # The Python client sends the data of an event as JSON text, an HTTP request as a JSON value.
    approved = json.loads(decision.result) if isinstance(decision.result, str) else decision.result
    return "approved" if approved else "rejected"


@app.activity_trigger(input_name="request")
def approval_ask(request: dict) -> str:
    """Log the question. A real app would send a message."""
    question = f'Please decide on "{request["title"]}".'
    logging.info("%s", question)
    return question

"""Monitor: poll an HTTP endpoint until it is healthy.

An eternal orchestration sends a request at intervals and restarts itself after each one, so that its history stays
short. It ends when the endpoint was healthy three times in a row, at the event `stop`, or at its deadline.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

HEALTHY_IN_A_ROW = 3


@app.route(route="monitors", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_monitor(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Body: {"url": "http://…", "every_seconds": 60, "for_hours": 24}."""
    try:
        wanted = req.get_json()
        target = {
            "url": wanted["url"],
            "every": float(wanted.get("every_seconds", 60)),
            "hours": float(wanted.get("for_hours", 24)),
        }
        valid = urlsplit(target["url"]).scheme in ("http", "https") and target["every"] > 0 and target["hours"] > 0
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        return func.HttpResponse(
            json.dumps({"error": "Send url (http or https), every_seconds and for_hours, both above 0."}),
            status_code=400,
            mimetype="application/json",
        )
    instance_id = await client.start_new("watch", client_input=target)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def watch(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any] | None]:
    state = context.get_input()
    now = context.current_utc_datetime
    until = datetime.fromisoformat(state["until"]) if "until" in state else now + timedelta(hours=state["hours"])
    looks = state.get("looks", 0) + 1

    answer = yield context.call_http("GET", state["url"])
    healthy = state.get("healthy", 0) + 1 if answer["statusCode"] == 200 else 0
    context.set_custom_status({"looks": looks, "last": answer["statusCode"], "healthy in a row": healthy})

    if healthy >= HEALTHY_IN_A_ROW:
        yield context.call_activity("tell", f"{state['url']} is healthy.")
        return {"result": "healthy", "looks": looks}
    if now >= until:
        yield context.call_activity("tell", f"{state['url']} did not become healthy in time.")
        return {"result": "gave up", "looks": looks}

    stop = context.wait_for_external_event("stop")
    pause = context.create_timer(context.current_utc_datetime + timedelta(seconds=state["every"]))
    first = yield context.task_any([stop, pause])
    if first is stop:
        pause.cancel()
        return {"result": "stopped", "looks": looks}
    context.continue_as_new({**state, "until": until.isoformat(), "looks": looks, "healthy": healthy})
    return None


@app.activity_trigger(input_name="message")
def tell(message: str) -> str:
    """Log the outcome. A real app would send an alert."""
    return message

"""Retries and compensation: book all parts of a trip or none.

Flight, hotel and car are booked one after the other, each with retries. If one of them cannot be booked, the earlier
bookings are cancelled in reverse order (a saga), and the output says so.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

STEPS = ("flight", "hotel", "car")
PATIENT = df.RetryOptions(first_retry_interval_in_milliseconds=30_000, max_number_of_attempts=3)


@app.route(route="trips", methods=["POST"])
@app.durable_client_input(client_name="client")
async def book_trip(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Body: {"traveller": "ada", "city": "Oslo"}."""
    try:
        wanted = req.get_json()
        trip = {"traveller": str(wanted["traveller"]), "city": str(wanted["city"])}
    except (ValueError, KeyError, TypeError):
        return func.HttpResponse(
            json.dumps({"error": "Send traveller and city."}), status_code=400, mimetype="application/json"
        )
    instance_id = await client.start_new("travel", client_input=trip)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def travel(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    trip = context.get_input()
    booked: list[dict[str, str]] = []
    for step in STEPS:
        context.set_custom_status(f"booking the {step}")
        # After a crash the activity may run again. The key tells the provider that it is the same booking.
        request = {**trip, "what": step, "key": f"{context.instance_id}-{step}"}
        try:
            booking = yield context.call_activity_with_retry("book", PATIENT, request)
        except Exception as failure:
            context.set_custom_status("undoing")
            for done in reversed(booked):
                yield context.call_activity_with_retry("cancel", PATIENT, done)
            return {"booked": False, "failed": step, "why": _first_line(failure), "undone": [b["what"] for b in booked]}
        booked.append(booking)
    return {"booked": True, "bookings": [b["reference"] for b in booked]}


def _first_line(failure: Exception) -> str:
    return str(failure).splitlines()[0].strip()


@app.activity_trigger(input_name="request")
def book(request: dict) -> dict[str, str]:
    """Send a request to the provider at BOOKING_URL. Raises an error if it refuses or cannot be reached."""
    answer = _call("POST", f"{request['what']}s", request)
    return {"what": request["what"], "reference": answer["reference"]}


@app.activity_trigger(input_name="booking")
def cancel(booking: dict) -> str:
    _call("DELETE", f"{booking['what']}s/{booking['reference']}", None)
    return booking["reference"]


def _call(method: str, path: str, body: object) -> dict[str, str]:
    url = f"{os.environ['BOOKING_URL'].rstrip('/')}/{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as refused:
        refused.close()
        raise RuntimeError(f"{method} {path} was answered with {refused.code}") from refused

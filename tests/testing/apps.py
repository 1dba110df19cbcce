"""Small apps for the tests of `emulator.testing`."""

from __future__ import annotations

SHOP = """
@app.orchestration_trigger(context_name="context")
def order(context):
    item = context.get_input()
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=60_000, max_number_of_attempts=3)
    yield context.call_activity_with_retry("charge", retry, item)
    return (yield context.call_activity("send", item))


@app.activity_trigger(input_name="item")
def charge(item: dict) -> str:
    logging.info("charging %s", item["name"])
    return "charged"


@app.activity_trigger(input_name="item")
def send(item: dict) -> str:
    print("sending", item["name"])
    return f"{item['name']} sent"


@app.orchestration_trigger(context_name="context")
def reminder(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(days=3))
    return "reminded"


@app.orchestration_trigger(context_name="context")
def approval(context):
    return (yield context.wait_for_external_event("decision"))


@app.route(route="order/{name}")
@app.durable_client_input(client_name="client")
async def place(req: func.HttpRequest, client) -> func.HttpResponse:
    instance = await client.start_new("order", client_input={"name": req.route_params["name"]})
    return client.create_check_status_response(req, instance)
"""

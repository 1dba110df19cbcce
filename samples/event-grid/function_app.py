"""Orders are published as events. Another function gets the events and records them in a table."""

import json
import logging
import uuid
from datetime import UTC, datetime

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

STORAGE = "AzureWebJobsStorage"


@app.route(route="orders", methods=["POST"])
@app.event_grid_output(arg_name="event", topic_endpoint_uri="OrdersTopicEndpoint", topic_key_setting="OrdersTopicKey")
def order(req: func.HttpRequest, event: func.Out[func.EventGridOutputEvent]) -> func.HttpResponse:
    """Publish an order."""
    order_id = str(uuid.uuid4())
    event.set(
        func.EventGridOutputEvent(
            id=order_id,
            subject=f"orders/{order_id}",
            event_type="Orders.Placed",
            event_time=datetime.now(UTC),
            data_version="1.0",
            data={"id": order_id, "item": req.get_json()["item"]},
        )
    )
    return func.HttpResponse(json.dumps({"id": order_id}), status_code=202, mimetype="application/json")


@app.event_grid_trigger(arg_name="event")
@app.table_output(arg_name="row", connection=STORAGE, table_name="Orders", partition_key="orders", row_key="{data.id}")
def on_order(event: func.EventGridEvent, row: func.Out[str]) -> None:
    """Record an order. Event Grid may deliver an event twice, so the row replaces an existing one."""
    data = event.get_json()
    logging.info("%s: %s", event.event_type, data["item"])
    row.set(json.dumps({"item": data["item"], "eventId": event.id, "ETag": "*"}))


@app.route(route="orders", methods=["GET"])
@app.table_input(arg_name="rows", connection=STORAGE, table_name="Orders", partition_key="orders")
def orders(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    """List the recorded orders."""
    content = [{"id": row["RowKey"], "item": row["item"]} for row in json.loads(rows)]
    return func.HttpResponse(json.dumps(content), mimetype="application/json")

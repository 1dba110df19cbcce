"""Queue to blob: accept orders over HTTP, and store a receipt of each as a blob.

The request ends as soon as the order is in a queue. The functions behind the queue can fail and be repeated without the
customer noticing.
"""

from __future__ import annotations

import json
import logging

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orders", methods=["POST"])
@app.queue_output(arg_name="order", queue_name="orders", connection="AzureWebJobsStorage")
def accept(req: func.HttpRequest, order: func.Out[str]) -> func.HttpResponse:
    """Body: {"id": "7", "item": "tea", "price": 3.5}."""
    try:
        content = req.get_json()
    except ValueError:
        content = None
    if not isinstance(content, dict) or not {"id", "item", "price"} <= content.keys():
        return func.HttpResponse(
            json.dumps({"error": "The body must be a JSON object with id, item and price."}),
            status_code=400,
            mimetype="application/json",
        )
    order.set(json.dumps(content))
    return func.HttpResponse(json.dumps({"accepted": content["id"]}), status_code=202, mimetype="application/json")


@app.queue_trigger(arg_name="order", queue_name="orders", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="receipt", path="receipts/{id}.txt", connection="AzureWebJobsStorage")
def write_receipt(order: func.QueueMessage, receipt: func.Out[str]) -> None:
    """The members of the message are names for the path of the blob."""
    content = order.get_json()
    price = content["price"]
    if price < 0:
        # After three attempts (maxDequeueCount in host.json) the message is in the queue orders-poison.
        raise ValueError(f"the price of order {content['id']} is negative")
    receipt.set(f"{content['item']}: {price:.2f}\n")


@app.queue_trigger(arg_name="order", queue_name="orders-poison", connection="AzureWebJobsStorage")
def report(order: func.QueueMessage) -> None:
    """Orders that could not be processed."""
    logging.error("order %s needs a person", order.get_json()["id"])

"""Generic bindings: every trigger and binding by its type and the members of function.json.

An order arrives over HTTP and is put into a queue. Another function turns the message into a receipt (a blob) and a row
of a table. A timer counts the receipts of the day.
"""

from __future__ import annotations

import json
import logging

import azure.functions as func

app = func.FunctionApp()

STORAGE = {"connection": "AzureWebJobsStorage"}


@app.generic_trigger(
    arg_name="req", type="httpTrigger", route="orders", methods=["post"], auth_level=func.AuthLevel.ANONYMOUS
)
@app.generic_output_binding(arg_name="$return", type="http")
@app.generic_output_binding(arg_name="message", type="queue", queue_name="orders", **STORAGE)
def place_order(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    order = req.get_json()
    if not isinstance(order, dict) or not {"number", "customer", "total"} <= set(order):
        return func.HttpResponse("Send number, customer and total.", status_code=400)
    message.set(json.dumps(order))
    return func.HttpResponse(f"Order {order['number']} is accepted.", status_code=202)


# `{number}` and `{customer}` are members of the message.
@app.generic_trigger(arg_name="message", type="queueTrigger", queue_name="orders", **STORAGE)
@app.generic_output_binding(arg_name="receipt", type="blob", path="receipts/{number}.txt", **STORAGE)
@app.generic_output_binding(
    arg_name="row", type="table", table_name="Orders", partition_key="{customer}", row_key="{number}", **STORAGE
)
def bill(message: func.QueueMessage, receipt: func.Out[str], row: func.Out[str]) -> None:
    order = message.get_json()
    receipt.set(f"{order['customer']} pays {order['total']:.2f}.")
    row.set(json.dumps({"Total": order["total"], "Paid": False}))


@app.generic_trigger(
    arg_name="req", type="httpTrigger", route="orders/{number}", methods=["get"], auth_level=func.AuthLevel.ANONYMOUS
)
@app.generic_output_binding(arg_name="$return", type="http")
@app.generic_input_binding(
    arg_name="receipt", type="blob", path="receipts/{number}.txt", data_type=func.DataType.STRING, **STORAGE
)
def show_receipt(req: func.HttpRequest, receipt: str) -> func.HttpResponse:
    if receipt is None:
        return func.HttpResponse("There is no such receipt.", status_code=404)
    return func.HttpResponse(receipt)


@app.generic_trigger(arg_name="timer", type="timerTrigger", schedule="0 0 20 * * *")
@app.generic_input_binding(arg_name="rows", type="table", table_name="Orders", **STORAGE)
def count_orders(timer: func.TimerRequest, rows: str) -> None:
    logging.info("%d orders so far.", len(json.loads(rows)))

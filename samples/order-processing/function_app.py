"""Order processing: messages of a queue start orchestrations, which answer through another queue.

A message that arrives twice starts nothing a second time: the instance has the id of the order.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

_ENDED = (
    df.OrchestrationRuntimeStatus.Completed,
    df.OrchestrationRuntimeStatus.Failed,
    df.OrchestrationRuntimeStatus.Terminated,
)


@app.queue_trigger(arg_name="message", queue_name="incoming-orders", connection="AzureWebJobsStorage")
@app.durable_client_input(client_name="client")
async def start(message: func.QueueMessage, client: df.DurableOrchestrationClient) -> None:
    """Message: {"id": "7", "item": "tea", "amount": 2}."""
    order = message.get_json()
    instance_id = f"order-{order['id']}"
    status = await client.get_status(instance_id)
    if status.runtime_status is not None and status.runtime_status not in _ENDED:
        logging.warning("order %s is being processed already", order["id"])
        return
    await client.start_new("process", instance_id=instance_id, client_input=order)


@app.orchestration_trigger(context_name="context")
def process(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    order = context.get_input()
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=3)
    price = yield context.call_activity_with_retry("price", retry, order)
    result = {"id": order["id"], "total": price * order["amount"]}
    yield context.call_activity("answer", result)
    return result


@app.activity_trigger(input_name="order")
def price(order: dict) -> float:
    return {"tea": 3.5, "coffee": 4.0}[order["item"]]


@app.activity_trigger(input_name="result")
@app.queue_output(arg_name="out", queue_name="processed-orders", connection="AzureWebJobsStorage")
def answer(result: dict, out: func.Out[str]) -> str:
    out.set(json.dumps(result))
    return "sent"

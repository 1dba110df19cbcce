"""Retry policies: a timer that tries again at fixed intervals, and a queue function that waits longer each time.

Every morning `fetch_rates` reads exchange rates from a web service that is sometimes late. `convert` converts amounts
with these rates; what cannot be converted ends in the queue `conversions-poison`.
"""

from __future__ import annotations

import json
import logging
import os
from urllib.request import urlopen

import azure.functions as func

app = func.FunctionApp()


@app.timer_trigger(arg_name="timer", schedule="0 0 6 * * *")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:05:00")
@app.blob_output(arg_name="rates", path="rates/latest.json", connection="AzureWebJobsStorage")
def fetch_rates(timer: func.TimerRequest, rates: func.Out[str], context: func.Context) -> None:
    retry = context.retry_context
    logging.info("Attempt %d of %d.", retry.retry_count + 1, retry.max_retry_count + 1)
    with urlopen(os.environ["RATES_URL"], timeout=10) as answer:
        if answer.status != 200:
            raise RuntimeError(f"The rates are not ready: status {answer.status}.")
        rates.set(answer.read().decode())


# The policy runs within one delivery of a message. host.json allows two deliveries, so there are 2 x 3 attempts.
@app.queue_trigger(arg_name="message", queue_name="conversions", connection="AzureWebJobsStorage")
@app.retry(
    strategy="exponential_backoff", max_retry_count="2", minimum_interval="00:00:02", maximum_interval="00:01:00"
)
@app.blob_input(
    arg_name="rates", path="rates/latest.json", connection="AzureWebJobsStorage", data_type=func.DataType.STRING
)
@app.queue_output(arg_name="$return", queue_name="converted", connection="AzureWebJobsStorage")
def convert(message: func.QueueMessage, rates: str) -> str:
    if rates is None:
        raise RuntimeError("The rates were not fetched yet.")
    wanted = message.get_json()
    return f"{wanted['amount'] * json.loads(rates)[wanted['currency']]:.2f} {wanted['currency']}"

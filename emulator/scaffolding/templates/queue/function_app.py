import logging

import azure.functions as func

app = func.FunctionApp()


@app.queue_trigger(arg_name="message", queue_name="work-items", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="result", queue_name="work-results", connection="AzureWebJobsStorage")
def process_message(message: func.QueueMessage, result: func.Out[str]) -> None:
    """Read a message and write another one. A message whose function fails five times goes to work-items-poison."""
    text = message.get_body().decode()
    logging.info("Message %s: %s", message.id, text)
    result.set(text.upper())

import logging

import azure.functions as func

app = func.FunctionApp()


@app.service_bus_queue_trigger(arg_name="message", queue_name="orders", connection="ServiceBusConnection")
def receive_message(message: func.ServiceBusMessage) -> None:
    """Process a message of a Service Bus queue. Locally: azemu invoke receive_message "text of the message"."""
    logging.info("Delivery %s: %s", message.delivery_count, message.get_body().decode())

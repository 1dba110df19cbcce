import logging

import azure.functions as func

app = func.FunctionApp()


@app.service_bus_topic_trigger(
    arg_name="message", topic_name="orders", subscription_name="billing", connection="ServiceBusConnection"
)
def receive_topic(message: func.ServiceBusMessage) -> None:
    """Process a message of a subscription. Locally: azemu invoke receive_topic "text of the message"."""
    logging.info("Message %s: %s", message.message_id, message.get_body().decode())

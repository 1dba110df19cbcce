import logging

import azure.functions as func


def main(message: func.ServiceBusMessage) -> None:
    """Process a message of a Service Bus queue. Locally: azemu invoke receive_message "text of the message"."""
    logging.info("Delivery %s: %s", message.delivery_count, message.get_body().decode())

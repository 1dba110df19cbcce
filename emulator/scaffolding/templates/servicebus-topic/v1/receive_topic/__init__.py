import logging

import azure.functions as func


def main(message: func.ServiceBusMessage) -> None:
    """Process a message of a subscription. Locally: azemu invoke receive_topic "text of the message"."""
    logging.info("Message %s: %s", message.message_id, message.get_body().decode())

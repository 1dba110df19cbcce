import logging

import azure.functions as func


def main(message: func.QueueMessage, result: func.Out[str]) -> None:
    """Read a message and write another one. A message whose function fails five times goes to work-items-poison."""
    text = message.get_body().decode()
    logging.info("Message %s: %s", message.id, text)
    result.set(text.upper())

import logging

import azure.functions as func


def main(event: func.EventHubEvent) -> None:
    """Process an event of an event hub. Locally: azemu invoke read_event "text of the event"."""
    logging.info("Reading: %s", event.get_body().decode())

import logging

import azure.functions as func


def main(event: func.EventGridEvent) -> None:
    """Run for each event. Event Grid may deliver an event more than once."""
    logging.info("Event %s about %s: %s", event.event_type, event.subject, event.get_json())

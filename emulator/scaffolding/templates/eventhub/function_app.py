import logging

import azure.functions as func

app = func.FunctionApp()


@app.event_hub_message_trigger(arg_name="event", event_hub_name="readings", connection="EventHubConnection")
def read_event(event: func.EventHubEvent) -> None:
    """Process an event of an event hub. Locally: azemu invoke read_event "text of the event"."""
    logging.info("Reading: %s", event.get_body().decode())

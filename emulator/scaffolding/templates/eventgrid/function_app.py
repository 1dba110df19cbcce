import logging

import azure.functions as func

app = func.FunctionApp()


@app.event_grid_trigger(arg_name="event")
def handle_event(event: func.EventGridEvent) -> None:
    """Run for each event. Event Grid may deliver an event more than once."""
    logging.info("Event %s about %s: %s", event.event_type, event.subject, event.get_json())

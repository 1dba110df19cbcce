from datetime import timedelta

import azure.durable_functions as df


def watch(context: df.DurableOrchestrationContext):
    """Look every ten minutes. Give up after some hours."""
    wanted = context.get_input()
    end = context.current_utc_datetime + timedelta(hours=wanted["hours"])
    while context.current_utc_datetime < end:
        state = yield context.call_activity("watch_look", wanted["job"])
        if state == "done":
            return "done"
        yield context.create_timer(context.current_utc_datetime + timedelta(minutes=10))
    return "timed out"


main = df.Orchestrator.create(watch)

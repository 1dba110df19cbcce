from datetime import timedelta

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def orchestrate(context: df.DurableOrchestrationContext):
    """Wait for timers, events and activities (context.call_activity) with `yield`. The code is replayed."""
    given = context.get_input()
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
    return {"input": given}

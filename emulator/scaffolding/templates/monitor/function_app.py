from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="watch", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def watch_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Watch a job until it is done. Body: {"job": "7", "hours": 6}."""
    instance_id = await client.start_new("watch", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
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


@app.activity_trigger(input_name="job")
def watch_look(job: str) -> str:
    """Return the state of a job. A real app would ask a service."""
    return "done" if job == "done" else "running"

import logging

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="trip", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def trip_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an instance. Body: {"parts": ["flight", "hotel"]}."""
    instance_id = await client.start_new("trip", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def trip(context: df.DurableOrchestrationContext):
    """Do all steps or none: when a step fails after its retries, undo the earlier ones in reverse order."""
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=3)
    done = []
    for part in context.get_input()["parts"]:
        try:
            yield context.call_activity_with_retry("trip_book", retry, part)
        except Exception as error:
            for earlier in reversed(done):
                yield context.call_activity_with_retry("trip_cancel", retry, earlier)
            return {"booked": [], "cancelled": done[::-1], "failed": part, "reason": str(error)}
        done.append(part)
    return {"booked": done, "cancelled": [], "failed": None, "reason": None}


@app.activity_trigger(input_name="part")
def trip_book(part: str) -> str:
    """Book a part. Activities may run twice, so a real one would send an id that makes the booking unique."""
    if part == "moon":
        raise ValueError("Nobody flies there.")
    return f"{part} booked"


@app.activity_trigger(input_name="part")
def trip_cancel(part: str) -> str:
    logging.info("Cancelling %s.", part)
    return f"{part} cancelled"

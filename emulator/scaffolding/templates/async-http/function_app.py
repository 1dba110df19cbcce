import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="export", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def export_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start long work and wait up to ten seconds for it: 200 with the result, or 202 with the URLs of its status.

    Body: {"rows": 3}.
    """
    instance_id = await client.start_new("export", client_input=req.get_json())
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, timeout_in_milliseconds=10_000, retry_interval_in_milliseconds=500
    )


@app.orchestration_trigger(context_name="context")
def export(context: df.DurableOrchestrationContext):
    """Do the work in steps, and show its progress as the custom status."""
    rows = context.get_input()["rows"]
    for row in range(rows):
        context.set_custom_status({"written": row, "of": rows})
        yield context.call_activity("export_write", row)
    context.set_custom_status({"written": rows, "of": rows})
    return {"rows": rows}


@app.activity_trigger(input_name="row")
def export_write(row: int) -> str:
    return f"row {row}"

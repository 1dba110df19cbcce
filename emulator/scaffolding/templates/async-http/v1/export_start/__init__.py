import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    """Start long work and wait up to ten seconds for it: 200 with the result, or 202 with the URLs of its status.

    Body: {"rows": 3}.
    """
    client = df.DurableOrchestrationClient(starter)
    instance_id = await client.start_new("export", client_input=req.get_json())
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, timeout_in_milliseconds=10_000, retry_interval_in_milliseconds=500
    )

import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    """Start an instance. Body: a JSON list of devices."""
    client = df.DurableOrchestrationClient(starter)
    instance_id = await client.start_new("rollout", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)

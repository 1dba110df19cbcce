import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    """Add a number. Body: the number. The operation runs soon after the response."""
    client = df.DurableOrchestrationClient(starter)
    await client.signal_entity(df.EntityId("counter", req.route_params["key"]), "add", req.get_json())
    return func.HttpResponse(status_code=202)

import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    """Start an instance of the orchestrator in the route. Body: its input as JSON, or nothing."""
    client = df.DurableOrchestrationClient(starter)
    given = req.get_json() if req.get_body() else None
    try:
        instance_id = await client.start_new(req.route_params["orchestrator"], client_input=given)
    except Exception as error:  # The library has no class for an orchestrator that does not exist.
        return func.HttpResponse(str(error), status_code=400)
    return client.create_check_status_response(req, instance_id)

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="start_any/{orchestrator}", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def start_any(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an instance of the orchestrator in the route. Body: its input as JSON, or nothing."""
    given = req.get_json() if req.get_body() else None
    try:
        instance_id = await client.start_new(req.route_params["orchestrator"], client_input=given)
    except Exception as error:  # The library has no class for an orchestrator that does not exist.
        return func.HttpResponse(str(error), status_code=400)
    return client.create_check_status_response(req, instance_id)

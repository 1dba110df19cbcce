import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="greetings", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def greetings_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an instance. The response has the URLs of its status."""
    instance_id = await client.start_new("greetings")
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def greetings(context: df.DurableOrchestrationContext):
    """Call activities one after the other. The code is replayed: clocks, networks and files belong in activities."""
    first = yield context.call_activity("greetings_say", "Tokyo")
    second = yield context.call_activity("greetings_say", "Seattle")
    third = yield context.call_activity("greetings_say", "London")
    return [first, second, third]


@app.activity_trigger(input_name="city")
def greetings_say(city: str) -> str:
    return f"Hello, {city}."

import json

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    """Keep a number for each key. Operations of one entity run one after the other."""
    value = context.get_state(lambda: 0)
    match context.operation_name:
        case "add":
            value += context.get_input()
        case "reset":
            value = 0
        case other if other != "get":
            raise ValueError(f"unknown operation {other!r}")
    context.set_state(value)
    context.set_result(value)


@app.route(route="counter/{key}", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def counter_add(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Add a number. Body: the number. The operation runs soon after the response."""
    await client.signal_entity(df.EntityId("counter", req.route_params["key"]), "add", req.get_json())
    return func.HttpResponse(status_code=202)


@app.route(route="counter/{key}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def counter_read(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    state = await client.read_entity_state(df.EntityId("counter", req.route_params["key"]))
    return func.HttpResponse(json.dumps(state.entity_state or 0), mimetype="application/json")

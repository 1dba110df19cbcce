import json

import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    client = df.DurableOrchestrationClient(starter)
    state = await client.read_entity_state(df.EntityId("counter", req.route_params["key"]))
    return func.HttpResponse(json.dumps(state.entity_state or 0), mimetype="application/json")

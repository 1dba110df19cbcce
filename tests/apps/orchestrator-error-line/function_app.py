import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="start/{name}")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client):
    return client.create_check_status_response(req, await client.start_new(req.route_params["name"]))


@app.orchestration_trigger(context_name="context")
def flow(context):
    return {}["order"]
    yield


@app.orchestration_trigger(context_name="context")
def nested(context):
    yield from steps(context)


def steps(context):
    yield context.create_timer(context.current_utc_datetime)
    raise LookupError("no such step")


@app.orchestration_trigger(context_name="context")
def calls_activity(context):
    yield context.call_activity("broken", None)


@app.activity_trigger(input_name="value")
def broken(value: str):
    return int("seven")


@app.orchestration_trigger(context_name="context")
def calls_entity(context):
    return (yield context.call_entity(df.EntityId("counter", "a"), "add", 1))


@app.entity_trigger(context_name="context")
def counter(context):
    context.set_state({}["total"])


@app.orchestration_trigger(context_name="context")
def returns_set(context):
    yield context.create_timer(context.current_utc_datetime)
    return {1}

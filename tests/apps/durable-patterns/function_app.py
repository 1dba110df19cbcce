import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return client.create_check_status_response(req, await client.start_new("flow", client_input=req.params.get("name")))


@app.route(route="approve/{id}")
@app.durable_client_input(client_name="client")
async def approve(req: func.HttpRequest, client):
    await client.raise_event(req.route_params["id"], "approval", {"by": "ada"})
    return "sent"


@app.orchestration_trigger(context_name="context")
def flow(context):
    options = df.RetryOptions(1000, 3)
    first = yield context.call_sub_orchestrator_with_retry("child", options, 1)
    context.set_custom_status({"first": first})
    yield context.create_timer(context.current_utc_datetime)
    return [first, (yield context.call_activity_with_retry("flaky", options, first))]


@app.orchestration_trigger(context_name="context")
def child(context):
    return context.get_input() + 1
    yield


@app.activity_trigger(input_name="value")
def flaky(value: int) -> int:
    flaky_calls.append(value)
    if len(flaky_calls) == 1:
        raise ValueError("try again")
    return value * 10


flaky_calls: list[int] = []

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return client.create_check_status_response(req, await client.start_new("flow", client_input=req.params.get("name")))


@app.orchestration_trigger(context_name="context")
def flow(context):
    results = yield context.task_all([context.call_activity("square", number) for number in range(5)])
    return sum(results)


@app.activity_trigger(input_name="number")
def square(number: int) -> int:
    return number * number

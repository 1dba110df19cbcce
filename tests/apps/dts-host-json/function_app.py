import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return client.create_check_status_response(req, await client.start_new("flow", client_input=req.params.get("name")))


@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("greet", "Ada"))


@app.activity_trigger(input_name="name")
def greet(name: str):
    return f"Hello {name}"

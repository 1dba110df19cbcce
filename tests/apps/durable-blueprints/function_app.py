import azure.durable_functions as df
import azure.functions as func

from durable_parts import activities, flows

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(flows.bp)
app.register_functions(activities.bp)


@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return client.create_check_status_response(req, await client.start_new("flow", client_input=req.params.get("name")))

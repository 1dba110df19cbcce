import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="go/{first_name}", trigger_arg_name="http_request")
@app.durable_client_input(client_name="durable_client")
async def go(http_request: func.HttpRequest, durable_client):
    name = http_request.route_params["first_name"]
    instance = await durable_client.start_new("flow", client_input=name)
    return durable_client.create_check_status_response(http_request, instance)


@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("greet", context.get_input()))


@app.activity_trigger(input_name="first_name")
def greet(first_name: str):
    return f"Hello {first_name}"


@app.activity_trigger(input_name="two__in_a_row")
def refused(two__in_a_row: str):
    return two__in_a_row

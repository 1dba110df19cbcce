import azure.durable_functions as df
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="go")
@app.generic_input_binding(arg_name="starter", type="DurableClient", TaskHub="", ConnectionName="")
async def go(req: func.HttpRequest, starter: str):
    client = df.DurableOrchestrationClient(starter)
    return client.create_check_status_response(req, await client.start_new("flow"))


@app.generic_trigger(arg_name="context", type="orchestrationTrigger", Orchestration="flow")
def orchestrate(context):
    return df.Orchestrator.create(work)(context)


def work(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("double", 21))


@app.generic_trigger(arg_name="number", type="activityTrigger", Activity="double")
def twice(number: int) -> int:
    return 2 * number

import azure.functions as func

try:
    import azure.durable_functions as df
except ModuleNotFoundError:  # The version sets without durable functions run the HTTP function only.
    df = None

app = func.FunctionApp() if df is None else df.DFApp()
ANONYMOUS = func.AuthLevel.ANONYMOUS


@app.function_name("hello")
@app.route(route="hello", auth_level=ANONYMOUS)
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello " + req.params.get("name", "world"))


if df is not None:

    @app.route(route="start", auth_level=ANONYMOUS)
    @app.durable_client_input(client_name="client")
    async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
        instance_id = await client.start_new("flow", client_input={"names": ["Ada", "Grace"]})
        return client.create_check_status_response(req, instance_id)

    @app.orchestration_trigger(context_name="context")
    def flow(context: df.DurableOrchestrationContext):
        names = context.get_input()["names"]
        greetings = yield context.task_all([context.call_activity("greet", name) for name in names])
        entity = df.EntityId("counter", context.instance_id)
        for _ in names:
            count = yield context.call_entity(entity, "add", 1)
        return {"greetings": greetings, "count": count}

    @app.activity_trigger(input_name="name")
    def greet(name: str) -> str:
        return f"hello {name}"

    @app.entity_trigger(context_name="context")
    def counter(context: df.DurableEntityContext) -> None:
        count = context.get_state(lambda: 0)
        if context.operation_name == "add":
            count += 1
            context.set_state(count)
        context.set_result(count)

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="word_count", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def word_count_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an instance. Body: a JSON list of texts."""
    instance_id = await client.start_new("word_count", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def word_count(context: df.DurableOrchestrationContext):
    """Run an activity for each text at the same time, and add the results."""
    texts = context.get_input()
    counts = yield context.task_all([context.call_activity("word_count_one", text) for text in texts])
    return sum(counts)


@app.activity_trigger(input_name="text")
def word_count_one(text: str) -> int:
    return len(text.split())

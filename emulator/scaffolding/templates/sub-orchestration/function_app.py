import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route(route="rollout", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.durable_client_input(client_name="client")
async def rollout_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an instance. Body: a JSON list of devices."""
    instance_id = await client.start_new("rollout", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def rollout(context: df.DurableOrchestrationContext):
    """Run an orchestration for each device. Their ids are fixed, so that they are easy to find."""
    devices = context.get_input()
    results = yield context.task_all(
        [
            context.call_sub_orchestrator("rollout_device", device, f"{context.instance_id}:{device}")
            for device in devices
        ]
    )
    return dict(zip(devices, results, strict=True))


@app.orchestration_trigger(context_name="context")
def rollout_device(context: df.DurableOrchestrationContext):
    device = context.get_input()
    yield context.call_activity("rollout_install", device)
    return (yield context.call_activity("rollout_check", device))


@app.activity_trigger(input_name="device")
def rollout_install(device: str) -> str:
    return f"installed on {device}"


@app.activity_trigger(input_name="device")
def rollout_check(device: str) -> str:
    return f"{device} works"

import azure.durable_functions as df


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


main = df.Orchestrator.create(rollout)

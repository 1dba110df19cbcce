import azure.durable_functions as df


def rollout_device(context: df.DurableOrchestrationContext):
    device = context.get_input()
    yield context.call_activity("rollout_install", device)
    return (yield context.call_activity("rollout_check", device))


main = df.Orchestrator.create(rollout_device)

import azure.durable_functions as df


def total(context: df.DurableOrchestrationContext):
    entity = df.EntityId("Counter", "a")
    yield context.call_entity(entity, "add", 2)
    return (yield context.call_entity(entity, "add", 3))


main = df.Orchestrator.create(total)

import azure.durable_functions as df


def greetings(context: df.DurableOrchestrationContext):
    """Call activities one after the other. The code is replayed: clocks, networks and files belong in activities."""
    first = yield context.call_activity("greetings_say", "Tokyo")
    second = yield context.call_activity("greetings_say", "Seattle")
    third = yield context.call_activity("greetings_say", "London")
    return [first, second, third]


main = df.Orchestrator.create(greetings)

import azure.durable_functions as df


def word_count(context: df.DurableOrchestrationContext):
    """Run an activity for each text at the same time, and add the results."""
    texts = context.get_input()
    counts = yield context.task_all([context.call_activity("word_count_one", text) for text in texts])
    return sum(counts)


main = df.Orchestrator.create(word_count)

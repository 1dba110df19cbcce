import azure.durable_functions as df


def flow(context):
    return "done"
    yield


main = df.Orchestrator.create(flow)

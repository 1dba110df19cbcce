import azure.durable_functions as df

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("greet", context.get_input()))

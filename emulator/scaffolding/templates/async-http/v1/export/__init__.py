import azure.durable_functions as df


def export(context: df.DurableOrchestrationContext):
    """Do the work in steps, and show its progress as the custom status."""
    rows = context.get_input()["rows"]
    for row in range(rows):
        context.set_custom_status({"written": row, "of": rows})
        yield context.call_activity("export_write", row)
    context.set_custom_status({"written": rows, "of": rows})
    return {"rows": rows}


main = df.Orchestrator.create(export)

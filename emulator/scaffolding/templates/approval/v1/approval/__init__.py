import json
from datetime import timedelta

import azure.durable_functions as df


def approval(context: df.DurableOrchestrationContext):
    """Wait for a person. Escalate after three days."""
    yield context.call_activity("approval_ask", context.get_input())
    decision = context.wait_for_external_event("decision")
    deadline = context.create_timer(context.current_utc_datetime + timedelta(days=3))
    first = yield context.task_any([decision, deadline])
    if first is deadline:
        return "escalated"
    # An open timer keeps the instance running, so it is cancelled.
    deadline.cancel()
    # The Python client sends the data of an event as JSON text, an HTTP request as a JSON value.
    approved = json.loads(decision.result) if isinstance(decision.result, str) else decision.result
    return "approved" if approved else "rejected"


main = df.Orchestrator.create(approval)

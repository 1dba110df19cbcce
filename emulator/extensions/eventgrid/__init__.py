"""Event Grid: the trigger, whose events arrive at a webhook, and the output, which publishes events to a topic."""

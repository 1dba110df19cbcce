import azure.durable_functions as df


def trip(context: df.DurableOrchestrationContext):
    """Do all steps or none: when a step fails after its retries, undo the earlier ones in reverse order."""
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=3)
    done = []
    for part in context.get_input()["parts"]:
        try:
            yield context.call_activity_with_retry("trip_book", retry, part)
        except Exception as error:
            for earlier in reversed(done):
                yield context.call_activity_with_retry("trip_cancel", retry, earlier)
            return {"booked": [], "cancelled": done[::-1], "failed": part, "reason": str(error)}
        done.append(part)
    return {"booked": done, "cancelled": [], "failed": None, "reason": None}


main = df.Orchestrator.create(trip)

import logging

import azure.durable_functions as df

app = df.DFApp()


@app.activity_trigger(input_name="value")
def act(value: str) -> str:
    """Do one step of an orchestration, which calls it with context.call_activity. It may run more than once."""
    logging.info("Activity called with %s.", value)
    return f"Hello, {value}."

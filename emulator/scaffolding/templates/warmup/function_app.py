import logging

import azure.functions as func

app = func.FunctionApp()


@app.warm_up_trigger(arg_name="context")
def load_ahead(context) -> None:
    """Run once on a new worker of a Premium plan, before it gets requests. Load here what requests need."""
    logging.info("This worker is warm.")

import logging

import azure.functions as func

app = func.FunctionApp()


@app.blob_trigger(arg_name="source", path="uploads/{name}.txt", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="target", path="results/{name}.txt", connection="AzureWebJobsStorage")
def process_blob(source: func.InputStream, target: func.Out[str]) -> None:
    """Run for each new or changed text in the container "uploads", and write another blob."""
    text = source.read().decode()
    logging.info("Blob %s has %d characters.", source.name, len(text))
    target.set(text.upper())

import json
import uuid

import azure.functions as func

app = func.FunctionApp()


@app.route(route="note", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.table_output(arg_name="row", connection="AzureWebJobsStorage", table_name="Notes", partition_key="all")
def note_add(req: func.HttpRequest, row: func.Out[str]) -> func.HttpResponse:
    """Insert a row. Body: {"text": "…"}."""
    try:
        text = str(req.get_json()["text"])
    except (ValueError, KeyError, TypeError):
        return func.HttpResponse('Send {"text": "…"}.', status_code=400)
    key = str(uuid.uuid4())
    row.set(json.dumps({"PartitionKey": "all", "RowKey": key, "text": text}))
    return func.HttpResponse(json.dumps({"id": key}), status_code=201, mimetype="application/json")


@app.route(route="note", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
@app.table_input(arg_name="rows", connection="AzureWebJobsStorage", table_name="Notes", partition_key="all")
def note_list(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    """List the rows of the partition."""
    found = [{"id": row["RowKey"], "text": row["text"]} for row in json.loads(rows)]
    return func.HttpResponse(json.dumps(found), mimetype="application/json")

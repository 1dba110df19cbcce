import json
import uuid

import azure.functions as func


def main(req: func.HttpRequest, row: func.Out[str]) -> func.HttpResponse:
    """Insert a row. Body: {"text": "…"}."""
    try:
        text = str(req.get_json()["text"])
    except (ValueError, KeyError, TypeError):
        return func.HttpResponse('Send {"text": "…"}.', status_code=400)
    key = str(uuid.uuid4())
    row.set(json.dumps({"PartitionKey": "all", "RowKey": key, "text": text}))
    return func.HttpResponse(json.dumps({"id": key}), status_code=201, mimetype="application/json")

import json

import azure.functions as func


def main(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    """List the rows of the partition."""
    found = [{"id": row["RowKey"], "text": row["text"]} for row in json.loads(rows)]
    return func.HttpResponse(json.dumps(found), mimetype="application/json")

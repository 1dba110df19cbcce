"""Take a document and queue it."""

import json

import azure.functions as func


def main(req: func.HttpRequest, document: func.Out[str]) -> func.HttpResponse:
    text = req.get_body().decode()
    if not text.strip():
        return func.HttpResponse("Send the text of the document as the body.", status_code=400)
    document.set(json.dumps({"key": req.route_params["id"], "text": text}))
    return func.HttpResponse(status_code=202)

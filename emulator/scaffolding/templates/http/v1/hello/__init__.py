import logging

import azure.functions as func


def main(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with the name in the query (?name=Ada), or in a JSON body ({"name": "Ada"})."""
    name = req.params.get("name")
    if name is None and req.get_body():
        try:
            body = req.get_json()
        except ValueError:
            return func.HttpResponse("The body must be JSON.", status_code=400)
        name = body.get("name") if isinstance(body, dict) else None
    logging.info("Hello was called for %s.", name or "nobody")
    return func.HttpResponse(f"Hello, {name or 'world'}.")

import hashlib

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="digest", methods=["POST"])
def digest(req: func.HttpRequest):
    body = req.get_body()
    return func.HttpResponse(
        hashlib.sha256(body).hexdigest(), status_code=202, mimetype="text/x-digest", headers={"X-Length": str(len(body))}
    )

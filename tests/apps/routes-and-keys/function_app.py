import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="files/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
def files(req: func.HttpRequest):
    return req.route_params["path"]


@app.route(route="items/{id:guid}", auth_level=func.AuthLevel.ANONYMOUS)
def item(req: func.HttpRequest):
    return req.route_params["id"]


@app.route(route="only", methods=["PUT", "DELETE"])
def only(req: func.HttpRequest):
    return req.method

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="new")
def new(req: func.HttpRequest):
    return "v2"

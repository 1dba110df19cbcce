import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

TEXT = """one
two"""


@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "lines: " + ", ".join(TEXT.splitlines())

import azure.functions as func

from common.words import greeting
from linked import NAME

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="hello")
def hello(req: func.HttpRequest):
    return greeting(NAME)

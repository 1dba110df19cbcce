import azure.functions as func
from données import salutation

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="bonjour")
def bonjour(req: func.HttpRequest):
    return salutation(req.params["nom"])

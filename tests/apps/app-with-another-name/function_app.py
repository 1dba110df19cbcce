import azure.functions as func

function_application = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@function_application.function_name("say-hello")
@function_application.route(route="greet/{name?}", methods=[func.HttpMethod.GET])
def run(req: func.HttpRequest):
    return f"Hello {req.route_params.get('name')}"

import functools

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def checked(function):
    @functools.wraps(function)
    def wrapper(req: func.HttpRequest):
        if "name" not in req.params:
            return func.HttpResponse("name is missing", status_code=400)
        return function(req)

    return wrapper


class Greeter:
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def greet(self, req: func.HttpRequest):
        return f"{self.greeting} {req.params['name']}"


greeter = Greeter("Hello")


@app.route(route="greet")
@checked
def greet(req: func.HttpRequest):
    return greeter.greet(req)

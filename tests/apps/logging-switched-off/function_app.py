import logging

import azure.functions as func

logging.disable(logging.CRITICAL)
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="hello")
def hello(req: func.HttpRequest):
    logging.error("silenced")
    return "hello"

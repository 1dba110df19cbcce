import signal

import azure.functions as func

signal.signal(signal.SIGTERM, lambda number, frame: None)
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="handler")
async def handler(req: func.HttpRequest):
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, previous)
    return "installed"

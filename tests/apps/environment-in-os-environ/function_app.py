import os

import azure.functions as func

REGION = os.environ["REGION"]
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="region")
def region(req: func.HttpRequest):
    return f"{REGION} {os.environ['Nested__Key']} {bool(os.environ['AzureWebJobsStorage'])}"

"""HTTP functions: upload a picture, read its description."""

from __future__ import annotations

import azure.functions as func

web = func.Blueprint()


@web.route(route="pictures/{name}", methods=["PUT"])
@web.blob_output(arg_name="picture", path="pictures/{name}", connection="AzureWebJobsStorage")
@web.queue_output(arg_name="uploaded", queue_name="uploaded", connection="AzureWebJobsStorage")
def upload(req: func.HttpRequest, picture: func.Out[bytes], uploaded: func.Out[str]) -> func.HttpResponse:
    picture.set(req.get_body())
    # Messages are sent last, so the blob is there when the message arrives.
    uploaded.set(req.route_params["name"])
    return func.HttpResponse(status_code=202)


@web.route(route="pictures/{name}", methods=["GET"])
@web.blob_input(
    arg_name="description",
    path="descriptions/{name}.txt",
    connection="AzureWebJobsStorage",
    data_type=func.DataType.STRING,
)
def describe(req: func.HttpRequest, description: str) -> func.HttpResponse:
    if description is None:
        return func.HttpResponse("There is no description yet.", status_code=404)
    return func.HttpResponse(description)

"""Queue function: describe a picture that was uploaded."""

from __future__ import annotations

import azure.functions as func

describing = func.Blueprint()

SIGNATURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF"}


# `{queueTrigger}` is the text of the message.
@describing.queue_trigger(arg_name="name", queue_name="uploaded", connection="AzureWebJobsStorage")
@describing.blob_input(
    arg_name="picture",
    path="pictures/{queueTrigger}",
    connection="AzureWebJobsStorage",
    data_type=func.DataType.BINARY,
)
@describing.blob_output(arg_name="$return", path="descriptions/{queueTrigger}.txt", connection="AzureWebJobsStorage")
def describe_picture(name: func.QueueMessage, picture: bytes) -> str:
    if picture is None:
        raise LookupError(f"There is no picture {name.get_body().decode()}.")
    kind = next((kind for start, kind in SIGNATURES.items() if picture.startswith(start)), "unknown")
    return f"{kind}, {len(picture)} bytes"

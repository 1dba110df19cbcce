"""Thumbnails: an image that is uploaded starts a function, which writes a smaller copy to another container."""

from __future__ import annotations

import json
import logging

import azure.functions as func
from pixmap import Pixmap

app = func.FunctionApp()

LONGEST_SIDE = 64


# The output has a container of its own. In the container of the trigger it would start the function again.
@app.blob_trigger(arg_name="image", path="images/{name}.ppm", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="thumbnail", path="thumbnails/{name}.ppm", connection="AzureWebJobsStorage")
def make_thumbnail(image: func.InputStream, thumbnail: func.Out[bytes]) -> None:
    picture = Pixmap.read(image.read())
    small = picture.reduced(LONGEST_SIDE)
    thumbnail.set(small.bytes())
    logging.info("%s: %d x %d -> %d x %d", image.name, picture.width, picture.height, small.width, small.height)


# A blob that failed three times (host.json) ends in this queue, as the message that names it.
@app.queue_trigger(arg_name="message", queue_name="webjobs-blobtrigger-poison", connection="AzureWebJobsStorage")
def report_broken_image(message: func.QueueMessage) -> None:
    blob = json.loads(message.get_body())
    logging.error("No thumbnail of %s/%s: it is not a pixmap.", blob["ContainerName"], blob["BlobName"])

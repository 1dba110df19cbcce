"""HTTP streaming: send a large response while it is produced, and read a large request while it arrives.

With the package azurefunctions-extensions-http-fastapi, functions get requests and return responses of FastAPI. Then
all HTTP functions of an app have to use these types.

GET  /api/export/{rows}  sends measurements as CSV
POST /api/import         reads measurements as CSV and returns their mean
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

HEADER = "number,celsius"
ROWS_PER_PIECE = 500


@app.route(route="export/{rows:int}", methods=[func.HttpMethod.GET])
async def export_measurements(req: Request) -> StreamingResponse:
    return StreamingResponse(_measurements(int(req.path_params["rows"])), media_type="text/csv")


async def _measurements(rows: int) -> AsyncIterator[str]:
    """Produce the lines of the CSV file, several at a time. A real app would read them from a database cursor."""
    yield f"{HEADER}\n"
    for first in range(0, rows, ROWS_PER_PIECE):
        numbers = range(first, min(first + ROWS_PER_PIECE, rows))
        yield "".join(f"{number},{20 + number % 5}\n" for number in numbers)


@app.route(route="import", methods=[func.HttpMethod.POST])
async def import_measurements(req: Request) -> JSONResponse:
    count, total = 0, 0.0
    async for line in _lines(req):
        if line == HEADER:
            continue
        try:
            _, celsius = line.split(",")
            total += float(celsius)
        except ValueError:
            return JSONResponse({"error": f"Not a measurement: {line}"}, status_code=400)
        count += 1
    return JSONResponse({"measurements": count, "mean": total / count if count else None})


async def _lines(req: Request) -> AsyncIterator[str]:
    """Split the request body into lines while it arrives. A piece may end within a line."""
    rest = b""
    async for piece in req.stream():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode()
    if rest:
        yield rest.decode()

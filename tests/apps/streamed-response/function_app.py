import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


async def parts():
    for number in range(3):
        yield f"{number};"


@app.route(route="stream")
async def stream(req: Request) -> StreamingResponse:
    return StreamingResponse(parts(), media_type="text/plain")

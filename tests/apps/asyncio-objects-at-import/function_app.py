import asyncio

import azure.functions as func

lock = asyncio.Lock()
limit = asyncio.Semaphore(1)
seen: asyncio.Queue = asyncio.Queue()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="put/{word}")
async def put(req: func.HttpRequest):
    async with lock, limit:
        await seen.put(req.route_params["word"])
    return str(seen.qsize())


@app.route(route="take")
async def take(req: func.HttpRequest):
    async with lock:
        return await asyncio.wait_for(seen.get(), 5)

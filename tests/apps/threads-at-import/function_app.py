import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import azure.functions as func

work: queue.Queue = queue.Queue()
pool = ThreadPoolExecutor(2)


def serve() -> None:
    while True:
        value, answer = work.get()
        answer.put(value * 2)


threading.Thread(target=serve, daemon=True).start()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="double/{value:int}")
def double(req: func.HttpRequest):
    answer: queue.Queue = queue.Queue()
    work.put((int(req.route_params["value"]), answer))
    return str(answer.get(timeout=10))


@app.route(route="pooled")
async def pooled(req: func.HttpRequest):
    import asyncio

    return await asyncio.get_running_loop().run_in_executor(pool, lambda: "pooled")

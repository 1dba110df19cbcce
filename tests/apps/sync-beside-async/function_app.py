import asyncio
import contextvars
import threading

import azure.functions as func

caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="none")
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="sync")
def plain(req: func.HttpRequest, context: func.Context):
    before = caller.get()
    caller.set("sync")
    return f"{before} {context.thread_local_storage.invocation_id == context.invocation_id}"


@app.route(route="async")
async def coroutine(req: func.HttpRequest, context: func.Context):
    before = caller.get()
    caller.set("async")
    inner = await asyncio.to_thread(caller.get)
    return f"{before} {inner} {threading.current_thread() is not None}"

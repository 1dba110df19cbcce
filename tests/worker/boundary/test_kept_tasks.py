"""Tasks on the app's event loop are not garbage-collected before they are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running_apps import run_app

# The future is referred to by the waiting task only, and calls back through a weak reference, as some libraries do.
APP = """
import asyncio, gc, threading, weakref
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

async def lonely():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    reference = weakref.ref(future)
    def call_back():
        if (future := reference()) is not None:
            future.set_result("it came")
    def work():
        gc.collect()
        loop.call_soon_threadsafe(call_back)
    loop.call_soon(lambda: threading.Thread(target=work).start())
    return await future

@app.route("waits")
async def waits(req: func.HttpRequest) -> str:
    return await lonely()

@app.route("background")
async def background(req: func.HttpRequest) -> str:
    done = asyncio.Event()
    async def work():
        print(await lonely())
        done.set()
    asyncio.create_task(work())
    await done.wait()
    return "it came"
"""


# What an app sets with loop.set_task_factory replaces the factory that keeps the tasks of the app.
FACTORY = (
    "asyncio.get_event_loop().set_task_factory(lambda loop, work, **options: asyncio.Task(work, loop=loop, **options))"
)


@pytest.mark.parametrize(("route", "more"), [("waits", ""), ("background", ""), ("waits", FACTORY)])
async def test_task_that_nothing_else_refers_to_ends(tmp_path: Path, route: str, more: str) -> None:
    async with run_app(tmp_path, APP, more) as site:
        assert (await site.get(f"/api/{route}")).text == "it came"

"""Memory and speed of large HTTP bodies: python -m benchmarks.streaming [MEGABYTES]

Bodies pass through a streaming function (azurefunctions-extensions-http-fastapi) in a new host process for each line.
Prints a Markdown table for RESULTS.md. Only on Linux, which reports the peak memory of another process.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp

from benchmarks.hosts import RunningHost, app_folder, started

APP = """
import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
MEGABYTE = b"x" * 2**20


@app.route(route="upload", methods=["POST"])
async def upload(req: Request) -> Response:
    return Response(str(sum([len(chunk) async for chunk in req.stream()])))


@app.route(route="download/{megabytes}")
async def download(req: Request) -> StreamingResponse:
    async def pieces():
        for _ in range(int(req.path_params["megabytes"])):
            yield MEGABYTE
    return StreamingResponse(pieces())


@app.route(route="peak")
async def peak(req: Request) -> Response:
    lines = open("/proc/self/status").read().splitlines()
    return Response(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""
_PIECE = b"x" * 65536


async def peak_megabytes(host: RunningHost) -> float:
    """Return the peak memory of the host process."""
    async with host.session.get(f"{host.url}/api/peak") as answer:
        return int(await answer.text()) / 1024


async def upload(host: RunningHost, megabytes: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(megabytes * 2**20 // len(_PIECE)):
            yield _PIECE

    async with host.session.post(f"{host.url}/api/upload", data=pieces()) as answer:
        assert await answer.text() == str(megabytes * 2**20)


async def download(host: RunningHost, megabytes: int) -> None:
    async with host.session.get(f"{host.url}/api/download/{megabytes}") as answer:
        assert sum([len(chunk) async for chunk in answer.content.iter_any()]) == megabytes * 2**20


async def measured(name: str, megabytes: int, work: Callable[[RunningHost], Awaitable[object]]) -> None:
    """Measure one line of the table with a new host."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with app_folder(APP, "builtin:memory") as folder, started(folder, port, "--no-reload") as host:
        await answering(host)
        await upload(host, 1)
        before, began = await peak_megabytes(host), time.perf_counter()
        await work(host)
        seconds = time.perf_counter() - began
        print(f"| {name} | {megabytes / seconds:.0f} | {await peak_megabytes(host) - before:.0f} |")


async def answering(host: RunningHost) -> None:
    while True:
        try:
            await peak_megabytes(host)
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)
        else:
            return


async def main(megabytes: int) -> None:
    print("| | MB/s | growth, MB |\n|---|---|---|")
    await measured(f"{megabytes} MB up", megabytes, lambda host: upload(host, megabytes))
    await measured(f"{megabytes} MB down", megabytes, lambda host: download(host, megabytes))
    await measured(
        f"8 times {megabytes} MB up at once",
        8 * megabytes,
        lambda host: asyncio.gather(*(upload(host, megabytes) for _ in range(8))),
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 200))

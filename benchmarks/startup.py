"""Time from `azemu start` to the first response of a function: python -m benchmarks.startup [ROUNDS]

Measured with a hello function, alone and in an app with durable functions. Storage is already running. Prints a
Markdown table for RESULTS.md: median and range in milliseconds of wall time.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from benchmarks.hosts import app_folder, first_answer, free_port, started, storage

HELLO = """
import azure.functions as func

app = func.FunctionApp()


@app.route("hello", auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> str:
    return "hello"
"""
DURABLE = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.route("hello", auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> str:
    return "hello"


@app.orchestration_trigger(context_name="context")
def chain(context):
    return (yield context.call_activity("step", 1))


@app.activity_trigger(input_name="value")
def step(value: int) -> int:
    return value + 1
"""
WAYS = {"`azemu start`": (), "`--no-reload`": ("--no-reload",)}


async def one_start(function_app: str, connection: str, words: tuple[str, ...]) -> float:
    async with app_folder(function_app, connection) as folder:
        port = free_port()
        began = time.perf_counter()
        async with started(folder, port, *words) as host:
            assert await first_answer(host, "/api/hello") == "hello"
            return time.perf_counter() - began


async def main(rounds: int) -> None:
    print("| app | storage | how | median, ms | range |\n|---|---|---|---|---|")
    for kind in ("azurite", "memory"):
        async with storage(kind) as connection:
            for name, function_app in {"hello": HELLO, "hello in a durable app": DURABLE}.items():
                for way, words in WAYS.items():
                    await one_start(function_app, connection, words)
                    took = sorted([await one_start(function_app, connection, words) * 1e3 for _ in range(rounds)])
                    print(
                        f"| {name} | {kind} | {way} | {statistics.median(took):.0f} | {took[0]:.0f} to {took[-1]:.0f} |"
                    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 7))

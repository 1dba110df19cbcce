"""Rules about code. Each case is a file of an app; a comment `# finds AZ…` marks the lines that have findings."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.check.apps import COMPLETE, HEADER, found_in, marks_of, places_of, write_app

ACTIVITY = """
@app.activity_trigger(input_name="value")
def work(value):
    return value


@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req, client):
    await client.start_new("flow")
    return client.create_check_status_response(req, await client.start_new("flow"))
"""


def orchestrator(body: str, before: str = "") -> str:
    return (
        HEADER
        + ACTIVITY
        + textwrap.dedent(before)
        + '\n@app.orchestration_trigger(context_name="context")\ndef flow(context):\n'
        + textwrap.indent(textwrap.dedent(body), "    ")
    )


DETERMINISM = {
    "clock": orchestrator(
        """
        from datetime import datetime as dt
        import time
        a = dt.now()  # finds AZ201
        b = time.time()  # finds AZ201
        c = time.localtime()  # finds AZ201
        d = time.localtime(1.5)
        e = dt.fromisoformat("2026-01-01")
        yield context.call_activity("work", [str(context.current_utc_datetime), a, b, c, d, e])
        """
    ),
    "clock under another name": orchestrator(
        """
        yield context.call_activity("work", str(datetime.datetime.utcnow()))  # finds AZ201
        """,
        "import datetime\n",
    ),
    "random and ids": orchestrator(
        """
        x = random.choice([1, 2])  # finds AZ202
        y = random.Random(context.instance_id).random()
        z = str(uuid.uuid4())  # finds AZ203
        u = uuid.uuid5(uuid.NAMESPACE_URL, context.instance_id)
        n = context.new_uuid()
        yield context.call_activity("work", [x, y, z, str(u), n])
        """,
        "import random\nimport uuid\n",
    ),
    "environment": orchestrator(
        """
        a = os.environ["HOME"]  # finds AZ204
        b = os.getenv("HOME")  # finds AZ204
        c = os.environ.get("HOME")  # finds AZ204
        yield context.call_activity("work", [a, b, c, os.path.join("a", "b"), AT_IMPORT])
        """,
        'import os\nAT_IMPORT = os.environ.get("HOME")\n',
    ),
    "input and output": orchestrator(
        """
        with open("x") as file:  # finds AZ205
            text = file.read()
        answer = requests.get("http://localhost")  # finds AZ205
        client = BlobServiceClient.from_connection_string("x")  # finds AZ205
        yield context.call_activity("work", [text, answer, client])
        """,
        "import requests\nfrom azure.storage.blob import BlobServiceClient\n",
    ),
    "waiting and threads": orchestrator(
        """
        time.sleep(5)  # finds AZ206
        thread = threading.Thread(target=print)  # finds AZ207
        thread.start()
        yield context.call_activity("work", 1)
        """,
        "import threading\nimport time\n",
    ),
    "helpers are followed": orchestrator(
        """
        yield context.call_activity("work", outer())
        """,
        """
        import time

        def outer():
            return Stamp().value

        class Stamp:
            def __init__(self):
                self.value = inner()

        def inner():
            return time.time()  # finds AZ201

        def unused():
            return time.time()
        """,
    ),
    "helper inside": orchestrator(
        """
        def stamp():
            return time.time()  # finds AZ201
        yield context.call_activity("work", stamp())
        """,
        "import time\n",
    ),
    "recursive helpers": orchestrator(
        """
        yield context.call_activity("work", even(4))
        """,
        """
        def even(n):
            return n == 0 or odd(n - 1)

        def odd(n):
            return n != 0 and even(n - 1)
        """,
    ),
    "log lines and new events only": orchestrator(
        """
        if not context.is_replaying:
            started = time.time()
            logging.info("at %s", started)
        logging.info("at %s", time.time())
        print(time.time())
        yield context.call_activity("work", 1)
        """,
        "import logging\nimport time\n",
    ),
    "names of its own": orchestrator(
        """
        time = context.get_input()
        open = context.get_input()
        yield context.call_activity("work", [time.time(), open(1), requests.get("x"), now()])
        """,
        """
        class requests:
            @staticmethod
            def get(x):
                return x

        def now():
            return 1
        """,
    ),
    "global state": orchestrator(
        """
        global counter
        counter += 1  # finds AZ209
        SEEN.append(context.instance_id)  # finds AZ209
        CACHE[context.instance_id] = 1  # finds AZ209
        mine = []
        mine.append(CONSTANTS[0])
        yield context.call_activity("work", mine)
        """,
        "counter = 0\nSEEN = []\nCACHE = {}\nCONSTANTS = [1]\n",
    ),
    "sets": orchestrator(
        """
        names = set(context.get_input())
        tasks = [context.call_activity("work", name) for name in names]  # finds AZ210
        for name in {"a", "b"}:  # finds AZ210
            yield context.call_activity("work", name)
        for name in sorted(names):
            yield context.call_activity("work", name)
        total = 0
        for name in names:
            total += len(name)
        yield context.task_all(tasks)
        """
    ),
    "bindings of an orchestrator": HEADER
    + """
@app.orchestration_trigger(context_name="context")
@app.durable_client_input(client_name="client")
def flow(context, client):  # finds AZ211
    yield context.wait_for_external_event("x")
""",
}

TASKS = {
    "dropped": orchestrator(
        """
        context.call_activity("work", 1)  # finds AZ301
        kept = context.call_activity("work", 2)
        lost = context.create_timer(context.current_utc_datetime)  # finds AZ301
        context.set_custom_status("x")
        context.signal_entity(df.EntityId("e", "k"), "add", 1)
        yield kept
        """
    ).replace('df.EntityId("e", "k")', "context.get_input()"),
    "returned": orchestrator(
        """
        yield context.call_activity("work", 1)
        return context.call_activity("work", 2)  # finds AZ301
        """
    ),
    "used as a value": orchestrator(
        """
        first = context.call_activity("work", 1)
        name = first["name"]  # finds AZ302
        yield context.call_activity("work", name)
        """
    ),
    "used as a value at once": orchestrator(
        """
        name = context.call_activity("work", 1)["name"]  # finds AZ302
        text = f"{context.call_activity('work', 1)}"  # finds AZ302
        yield context.call_activity("work", name + text)
        """
    ),
    "used well": orchestrator(
        """
        tasks = []
        for each in range(3):
            task = context.call_activity("work", each)
            tasks.append(task)
        approval = context.wait_for_external_event("approval")
        timeout = context.create_timer(context.current_utc_datetime)
        winner = yield context.task_any([approval, timeout])
        if winner == approval:
            timeout.cancel()
            return approval.result
        first, second = context.call_activity("work", 1), context.call_activity("work", 2)
        results = yield context.task_all([first, second, *tasks])
        pair = {"a": context.call_activity("work", 1)}
        value = yield pair["a"]
        values = [(yield task) for task in ()] if False else []
        return [results, value, values]
        """.replace("        values = [(yield task) for task in ()] if False else []\n", "        values = []\n")
    ),
    "task from a helper": orchestrator(
        """
        result = yield step(context, 1)
        more = yield from steps(context)
        return [result, more]
        """,
        """
        def step(context, value):
            return context.call_activity("work", value)

        def steps(ctx):
            ctx.call_activity("work", 3)  # finds AZ301
            return (yield ctx.call_activity("work", 2))
        """,
    ),
    "helper without yield from": orchestrator(
        """
        steps(context)  # finds AZ307
        result = yield steps(context)  # finds AZ307
        return result
        """,
        """
        def steps(context):
            return (yield context.call_activity("work", 2))
        """,
    ),
    "no yield": HEADER
    + ACTIVITY
    + """
@app.orchestration_trigger(context_name="context")
def flow(context):  # finds AZ303
    return context.call_activity("work", 1)
""",
    "no yield and no tasks": HEADER
    + ACTIVITY
    + """
@app.orchestration_trigger(context_name="context")
def flow(context):
    return context.get_input()
""",
    "a generator of its own": HEADER
    + ACTIVITY
    + """
@app.orchestration_trigger(context_name="context")
def flow(context):
    return steps(context)


def steps(context):
    yield context.call_activity("work", 1)
""",
    "tasks for a generator": HEADER
    + ACTIVITY
    + """
@app.orchestration_trigger(context_name="context")
def flow(context):
    first = context.call_activity("work", 1)
    return steps(context, first)


def steps(context, task):
    yield task
""",
    "a helper that yields plain values to the orchestrator": orchestrator(
        """
        for value in values(context):
            yield context.call_activity("work", value)
        """,
        """
        def values(context):
            yield 1
            yield context.instance_id
        """,
    ),
    "a helper that keeps computed values": orchestrator(
        """
        yield context.call_activity("work", square(2))
        """,
        """
        SQUARES = {}

        def square(n):
            if n not in SQUARES:
                SQUARES[n] = n * n
            return SQUARES[n]
        """,
    ),
    "comprehension": orchestrator(
        """
        return [(yield context.call_activity("work", each)) for each in range(3)]  # finds AZ304
        yield
        """
    ),
    "async": HEADER
    + ACTIVITY
    + """
@app.orchestration_trigger(context_name="context")
async def flow(context):  # finds AZ305
    return await context.call_activity("work", 1)
""",
    "no task": orchestrator(
        """
        yield context.call_activity("work", 1)
        yield  # finds AZ306
        yield 5  # finds AZ306
        yield [context.call_activity("work", 1)]  # finds AZ306
        yield context.continue_as_new(1)  # finds AZ306
        yield context.current_utc_datetime  # finds AZ306
        yield something(context)
        """,
        "def something(context):\n    return context.call_activity('work', 1)\n",
    ),
    "a yield that only makes a generator": orchestrator(
        """
        if context.get_input():
            return 1
            yield
        if False:
            yield
        return 2
        yield
        """
    ),
    "called as a function": orchestrator(
        """
        yield work(1)  # finds AZ308
        yield context.call_activity(work, 1)
        """
    ),
    "entity and activity": HEADER
    + """
@app.entity_trigger(context_name="context")
async def counter(context):  # finds AZ309
    context.set_state(1)


@app.activity_trigger(input_name="value")
def items(value):  # finds AZ310
    yield value


@app.orchestration_trigger(context_name="context")
def flow(context):
    context.signal_entity(df.EntityId("counter", "a"), "add")
    yield context.call_activity("items", 1)
""",
}

DECLARATIONS = {
    "parameters": HEADER
    + """
@app.route(route="a")
def a(request):  # finds AZ402
    return ""
""".replace("@app.route", "@app.route").replace('route="a")', 'route="a")  # finds AZ401')
    + """
@app.route(route="b", trigger_arg_name="request")
def b(request, context):
    return ""


@app.timer_trigger(arg_name="timer", schedule="0 0 0 * * *")  # finds AZ401
@app.queue_output(arg_name="message", queue_name="q", connection="AzureWebJobsStorage")
def c(tick, message):  # finds AZ402
    message.set("x")


@app.activity_trigger(input_name="value")  # finds AZ401
def work(values):  # finds AZ402
    return values


@app.orchestration_trigger(context_name="ctx")  # finds AZ401
def flow(ctx):
    yield ctx.call_activity("work", 1)


@app.orchestration_trigger(context_name="context")
def flow2(ctx):
    yield ctx.call_activity("work", 1)
""",
    "names": orchestrator(
        """
        yield context.call_activity("wrok", 1)  # finds AZ403
        yield context.call_activity("WORK", 1)
        yield context.call_activity(NAME, 1)
        yield context.call_activity(WRONG, 1)  # finds AZ403
        yield context.call_activity(context.get_input(), 1)
        yield context.call_sub_orchestrator("work", 1)  # finds AZ404
        yield context.call_entity(df.EntityId("counter", "a"), "get")  # finds AZ403
        """,
        'NAME = "work"\nWRONG = "wark"\n',
    ),
    "names of something else": orchestrator(
        """
        for NAME in context.get_input():
            yield context.call_activity(NAME, 1)
        jobs.start_new("job")
        yield context.call_activity("work", Flow())
        """,
        """
        import jobs

        NAME = "wrok"


        class Flow:
            def call_activity(self, name):
                return self.call_activity("wrok")
        """,
    ),
    "members that the SDK does not have": HEADER
    + """
@app.orchestration_trigger(context_name="context")
def flow(context):
    context.note = "own"
    answer = yield context.call_htp("GET", "http://localhost")  # finds AZ311
    yield from helper(context)
    return [context.note, context.instance_id, context.version, context.Instance_Id, answer]  # finds AZ311

def helper(context):
    yield context.wait_for_event("go")  # finds AZ311

@app.entity_trigger(context_name="context")
def counter(context):
    context.set_state(context.get_state(lambda: 0) + context.input)  # finds AZ311

@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req, client):
    await client.signal_entity(df.EntityId("counter", "a"), "add")
    await client.resume("x", "y")
    await client.start("flow")  # finds AZ311
    return client.create_check_status_response(req, "x")

@app.route(route="other")
@app.durable_client_input(client_name="client")
async def other(req, client):
    client = object()
    return client.anything
""",
    "a client of another task hub": HEADER
    + """
@app.route(route="start")
@app.durable_client_input(client_name="client", task_hub="Other")
async def start(req, client):
    return client.create_check_status_response(req, await client.start_new("theirs"))


@app.route(route="later")
@app.durable_client_input(client_name="client")
def later(req, client):
    return start(req, client)
""",
    "names in decorators": HEADER
    + """
@app.activity_trigger(input_name="value", activity="Work")
def work_activity(value):
    return value


@app.function_name("Flow")
@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.call_activity("Work", 1)
    yield context.call_activity("work_activity", 1)  # finds AZ403
    yield context.call_sub_orchestrator("Flow")
    yield context.call_sub_orchestrator("flow")
""",
    "functions registered by calls": HEADER
    + """
def work(value):
    return value


app.activity_trigger(input_name="value")(work)


@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.call_activity("work", 1)
    yield context.call_activity("other", 1)
""",
    "decorators": HEADER
    + """
import functools


def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@timed  # finds AZ408
@app.route(route="a")
def a(req):
    return ""


@app.route(route="b")
@timed
def b(req):
    return ""
""",
    "parameters that a decorator binds by itself": HEADER
    + """
@app.mcp_tool()
def tool(city, context):
    return city
""",
    "an app that a function gets": """import azure.durable_functions as df


def register(app, name):
    @app.route(route=name)
    @app.durable_client_input(client_name="client")
    async def start(req, client):
        return client.create_check_status_response(req, await client.start_new("flow"))

    @app.orchestration_trigger(context_name="context")
    def flow(context):
        yield context.call_activity("wrok")  # finds AZ403

    @app.activity_trigger(input_name="value")
    def work(value):
        return value
""",
    "another framework": "from flask import Flask\n\nweb = Flask(__name__)\n"
    + """
@web.route("/a")
def a():
    return ""
""",
    "blocking": HEADER
    + """
import asyncio
import time

import requests


@app.route(route="a")
async def a(req):
    time.sleep(1)  # finds AZ407
    await asyncio.to_thread(time.sleep, 1)
    await asyncio.to_thread(helper)
    await asyncio.sleep(1)
    return other()


def helper():
    time.sleep(1)


def other():
    return requests.get("http://localhost").text  # finds AZ407


@app.route(route="b")
def b(req):
    time.sleep(1)
    return ""
""",
    "client": HEADER
    + """
import asyncio


@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.wait_for_external_event("x")


@app.route(route="a")
@app.durable_client_input(client_name="client")
async def a(req, client):
    client.raise_event("id", "x")  # finds AZ405
    instance = client.start_new("flow")  # finds AZ405
    return client.create_check_status_response(req, instance)


@app.route(route="b")
@app.durable_client_input(client_name="client")
async def b(req, client):
    task = asyncio.create_task(client.start_new("flow"))
    both = [client.start_new("flow"), client.start_new("flow")]
    later = client.start_new("flow")
    await asyncio.gather(*both, later)
    return await task


@app.route(route="c")
@app.durable_client_input(client_name="client")
def c(req, client):  # finds AZ406
    return ""
""",
    "long waits": HEADER
    + """
import asyncio


@app.route(route="a")
@app.durable_client_input(client_name="client")
async def a(req, client):
    await asyncio.sleep(300)  # finds AZ411
    await asyncio.sleep(3)
    return await client.wait_for_completion_or_create_check_status_response(req, "a", 600_000)  # finds AZ411


@app.timer_trigger(arg_name="timer", schedule="0 0 0 * * *")
async def b(timer):
    await asyncio.sleep(300)
""",
    "suppressed": orchestrator(
        """
        import time
        a = time.time()  # azemu: ignore[AZ201]
        b = time.time()  # azemu: ignore
        c = time.time()  # azemu: ignore[AZ202] finds AZ201 # finds AZ201
        yield context.call_activity("work", [a, b, c])
        """
    ),
}


V1 = {
    "Flow/function.json": '{"bindings": [{"name": "context", "type": "orchestrationTrigger", "direction": "in"}]}',
    "Flow/__init__.py": """import time

import azure.durable_functions as df


def steps(context):
    yield context.call_activity("Work", time.time())  # finds AZ201
    yield context.call_activity("Wrok", 1)  # finds AZ403


def main(context: str):
    return df.Orchestrator.create(steps)(context)
""",
    "Start/function.json": """{"bindings": [
        {"name": "req", "type": "httpTrigger", "direction": "in"},
        {"name": "$return", "type": "http", "direction": "out"},
        {"name": "starter", "type": "durableClient", "direction": "in"}]}""",
    "Start/__init__.py": """import azure.durable_functions as df


async def main(req, starter):
    client = df.DurableOrchestrationClient(starter)
    client.raise_event("id", "x")  # finds AZ405
    return client.create_check_status_response(req, await client.start_new("Flow"))
""",
    "Other/function.json": '{"bindings": [{"name": "context", "type": "orchestrationTrigger", "direction": "in"}]}',
    "Other/__init__.py": """import azure.durable_functions as df

from ..shared.clock import now


def steps(context):
    context.call_activity("Work", now())  # finds AZ301
    yield context.call_sub_orchestrator("Flow")


main = df.Orchestrator.create(steps)
""",
    "shared/clock.py": "import time\n\n\ndef now():\n    return time.time()  # finds AZ201\n",
    "Work/function.json": '{"bindings": [{"name": "value", "type": "activityTrigger", "direction": "in"}]}',
    "Work/__init__.py": "def main(value):\n    return value\n",
}


def test_functions_in_folders(tmp_path: Path) -> None:
    files = {**COMPLETE, **V1}
    found = [each for each in found_in(write_app(tmp_path, files)) if each.code not in ("AZ409", "AZ410")]
    assert places_of(found) == marks_of(files), found


DURABLE_2 = """import time

import azure.durable_functions as df

app = df.DFApp()


@app.route(route="start")
@app.durable_client_input(client_name="client")
def start(req, client):
    return client.schedule_new_orchestration("flow")


@app.activity_trigger(input_name="payload")
def double(ctx, number):
    return number * 2


@app.orchestration_trigger(context_name="ctx")
def flow(ctx, count):
    ctx.call_activity("double", input=time.time())  # finds AZ201
    return "done"
"""


@pytest.mark.parametrize(
    ("requirement", "missing"),
    [
        ("==1.2.8", ["suspend", "restart"]),
        ("~=1.2.9", ["restart"]),
        ("==1.2.*", ["restart"]),
        (">=1.2,<1.6", ["restart"]),
        ("<=1.6.0", []),
        ("~=1.2", []),
        (">=1.2.0", []),
        ("", []),
    ],
)
def test_members_that_the_listed_release_does_not_have(requirement: str, missing: list[str], tmp_path: Path) -> None:
    code = """
@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req, client):
    await client.suspend("x", "y")
    await client.restart("x")
"""
    files = {**COMPLETE, "function_app.py": HEADER + code, "requirements.txt": f"azure-functions-durable{requirement}"}
    found = [each for each in found_in(write_app(tmp_path, files)) if each.code == "AZ312"]
    assert [each.message.split()[0] for each in found] == [f"client.{name}" for name in missing]


@pytest.mark.parametrize("requirement", ["azure-functions-durable>=2.0.0b3", "azure_functions_durable == 2.1"])
def test_durable_2_has_other_rules_for_tasks_and_parameters(requirement: str, tmp_path: Path) -> None:
    files = {**COMPLETE, "function_app.py": DURABLE_2, "requirements.txt": f"{requirement}\n"}
    found = [each for each in found_in(write_app(tmp_path, files)) if each.code != "AZ410"]
    assert places_of(found) == marks_of(files)
    (tmp_path / "requirements.txt").write_text("azure-functions-durable<2\n")
    assert {"AZ301", "AZ401", "AZ406"} & {each.code for each in found_in(tmp_path)} == {"AZ401", "AZ406"}


@pytest.mark.parametrize("name", [*DETERMINISM, *TASKS, *DECLARATIONS])
def test_findings_are_exactly_where_the_comments_say(name: str, tmp_path: Path) -> None:
    files = {**COMPLETE, "function_app.py": {**DETERMINISM, **TASKS, **DECLARATIONS}[name]}
    files["requirements.txt"] += "requests\nflask\nazure-storage-blob\n"
    found = [each for each in found_in(write_app(tmp_path, files)) if each.code not in ("AZ103", "AZ409", "AZ410")]
    assert places_of(found) == marks_of(files), found

"""Frequent mistakes of users: each is answered with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.errors import AppLoadError
from emulator.worker.hints import advice_for
from tests.running_apps import DURABLE_APP, HTTP_APP, run_app
from tests.sdk_releases import DURABLE, has_release
from tests.waiting import logged
from tests.worker.apps import Load

START = """
@app.route(route="start/{name}")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client):
    await client.start_new(req.route_params["name"])
    return "started"
"""


# Loaded, but cannot work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "warning"),
    [
        (
            '@app.orchestration_trigger(context_name="context")\nasync def f(context): await context.task_all([])',
            "is an orchestrator with 'async def', which will fail",
        ),
        (
            '@app.orchestration_trigger(context_name="context")\nasync def f(context): yield context.task_all([])',
            "is an orchestrator with 'async def', which will fail",
        ),
        (
            '@app.orchestration_trigger(context_name="context")\ndef f(context): return context.call_activity("a", 1)',
            "is an orchestrator that uses call_activity, but has no 'yield'.",
        ),
        (
            '@app.orchestration_trigger(context_name="context")\n'
            'def f(context):\n    context.call_activity("a", 1)\n    yield context.create_timer(1)',
            "does not use the tasks of call_activity in line 9.",
        ),
        (
            '@app.entity_trigger(context_name="context")\nasync def f(context): context.set_state(1)',
            "is an entity with 'async def'.",
        ),
        ('@app.entity_trigger(context_name="context")\ndef f(context): yield', "is an entity with 'yield'."),
        (
            '@app.activity_trigger(input_name="x")\ndef f(x: str): yield x',
            "is an activity with 'yield', which will fail",
        ),
    ],
)
async def test_function_that_cannot_work_is_warned_of_at_load(
    load: Load, caplog: pytest.LogCaptureFixture, code: str, warning: str
) -> None:
    await load(DURABLE_APP + code + "\n")
    [line] = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Function 'f' (")]
    assert f"function_app.py:7) {warning}" in line


@pytest.mark.parametrize(
    "code",
    [
        # A generator of another function.
        '@app.orchestration_trigger(context_name="context")\ndef f(context): return steps(context)\n'
        'def steps(context): yield context.call_activity("a", 1)',
        # No tasks at all, and a result that is used later.
        '@app.orchestration_trigger(context_name="context")\ndef f(context): return context.instance_id',
        '@app.orchestration_trigger(context_name="context")\n'
        'def f(context):\n    task = context.call_activity("a", 1)\n    context.signal_entity(1, 2)\n    yield task',
        '@app.entity_trigger(context_name="context")\ndef f(context): context.set_state([x for x in range(3)])',
        '@app.activity_trigger(input_name="x")\nasync def f(x: str): return list(y for y in x)',
    ],
)
async def test_correct_function_has_no_warning(load: Load, caplog: pytest.LogCaptureFixture, code: str) -> None:
    await load(DURABLE_APP + code + "\n")
    assert "Function 'f'" not in caplog.text


async def test_blueprint_that_is_not_registered_is_warned_of(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    part = """
    import azure.functions as func

    {name} = func.Blueprint()

    @{name}.route(route="{name}")
    def {name}_function(req: func.HttpRequest): return "x"
    """
    code = HTTP_APP + "from used import one\nfrom unused import two\napp.register_functions(one)\n"
    await load(code, used=part.format(name="one"), unused=part.format(name="two"))
    warnings = [record.getMessage() for record in caplog.records if "blueprint" in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("The blueprint 'two' in ")
    assert warnings[0].endswith("so its functions do not run. Add app.register_functions(two).")


async def test_script_with_another_name_is_named(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    await load("", settings={"PYTHON_SCRIPT_FILE_NAME": "app.py"}, functions_app=HTTP_APP, other="x = 1\n")
    assert "An app is in: functions_app.py." in caplog.text


# Cannot be loaded ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ('@app.route(route="x")\ndef f(req: func.HttpRequest, log): ...', "Each parameter needs a binding of its name"),
        ('@app.route(route="x")\ndef f(): ...', "The function lacks the parameter {'req'}, or the decorator names it"),
        (
            '@app.orchestration_trigger(context_name="ctx")\ndef f(context): yield',
            'Orchestrators and entities need context_name="context" in their decorator.',
        ),
        (
            '@app.route(route="x")\n@app.queue_output(arg_name="msg", queue_name="q", connection="c")\n'
            "def f(req: func.HttpRequest, msg: str): ...",
            "Annotate the parameter as func.Out, for example msg: func.Out[str], and set it with msg.set(value).",
        ),
        ("app = None", "The file must create the app at module level: app = func.FunctionApp()"),
        ("app = func.Blueprint()", "or a Blueprint alone, is not found."),
        ("other = func.FunctionApp()", "Keep one app. Declare other parts with func.Blueprint()"),
        (
            '@app.queue_output(arg_name="msg", queue_name="q", connection="c")\ndef f(msg: func.Out[str]): ...',
            "Add a trigger decorator to f, such as @app.route(route=…).",
        ),
        (
            '@app.route(route="x")\n@app.timer_trigger(arg_name="t", schedule="0 * * * * *")\ndef f(req, t): ...',
            "Write a function for each trigger, and let both call the same code.",
        ),
        ("from .shared import x", "import from its modules and folders by their names, without leading dots"),
        ("from ..shared import x", "import from its modules and folders by their names, without leading dots"),
        ("import circular", "The modules import each other."),
    ],
)
async def test_advice_is_the_end_of_a_load_error(load: Load, code: str, advice: str) -> None:
    with pytest.raises(AppLoadError) as raised:
        await load(DURABLE_APP + code + "\n", circular="from function_app import no_such_name\n")
    assert advice in str(raised.value).splitlines()[-1]


async def test_the_annotations_that_a_trigger_takes_are_named(load: Load) -> None:
    trigger = '@app.queue_trigger(arg_name="msg", queue_name="q", connection="c")'
    with pytest.raises(AppLoadError, match=r"Annotate the parameter 'msg' with func\.QueueMessage or str"):
        await load(HTTP_APP + trigger + "\ndef f(msg: dict): ...\n")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            '"<class \'azure.functions.http.HttpResponseConverter\'>" for Python type "coroutine"',
            "write await in front",
        ),
        (
            "unable to encode outgoing TypedData: unsupported type \"<class 'azure.functions.queue."
            'QueueMessageOutConverter\'>" for Python type "list"',
            "is of the type list or contains a value that its binding does not accept.",
        ),
        (
            "unable to encode outgoing TypedData: unsupported type \"<class 'emulator.worker.values."
            'GenericConverter\'>" for Python type "LazyInputStream"',
            "set value.read(), or annotate the output as func.Out[func.InputStream]",
        ),
        ("ValueError: Connection string is either blank or malformed.", "start without it, on Azurite"),
        ("Invalid file name: src/main.py", "PYTHON_SCRIPT_FILE_NAME must be the name of a file in the app's folder"),
    ],
)
def test_advice_for_texts_of_the_worker(text: str, advice: str) -> None:
    assert advice in (advice_for(text) or "")


def test_durable_decorators_of_an_app_without_them_have_advice() -> None:
    # Present releases of azure-functions have these methods.
    text = "AttributeError: 'FunctionApp' object has no attribute 'orchestration_trigger'"
    assert advice_for(text) == "Durable functions need df.DFApp() or df.Blueprint() of azure.durable_functions."


def test_release_without_the_v2_model_has_advice() -> None:
    advice = advice_for("AttributeError: module 'azure.durable_functions' has no attribute 'DFApp'")
    assert advice is not None
    assert advice.startswith("The installed azure-functions-durable is too old for df.DFApp")


async def test_file_in_utf_16_is_reported_with_the_encoding(load: Load, tmp_path: Path) -> None:
    with pytest.raises(AppLoadError) as raised:
        await load("\0")
    assert str(raised.value).endswith("The file is not UTF-8 text; UTF-16 has null bytes. Save it as UTF-8.")


# Fails at the call -----------------------------------------------------------------------------------------------

FAILING_HTTP = """
@app.route(route="nothing")
def nothing(req: func.HttpRequest): pass

@app.route(route="number")
def number(req: func.HttpRequest): return 5

@app.route(route="pair")
def pair(req: func.HttpRequest): return "text", 200

@app.route(route="object")
def object_(req: func.HttpRequest): return func.HttpResponse({"a": 1})

@app.route(route="forgotten")
@app.durable_client_input(client_name="client")
async def forgotten(req: func.HttpRequest, client):
    instance = client.start_new("f")
    try:
        return client.create_check_status_response(req, instance)
    finally:
        instance.close()
"""

FAILING_FLOWS = """
@app.orchestration_trigger(context_name="context")
def returned_task(context):
    return context.call_activity("act", 1)

@app.orchestration_trigger(context_name="context")
def yielded_list(context):
    yield [context.call_activity("act", 1)]

@app.orchestration_trigger(context_name="context")
def naive_timer(context):
    from datetime import datetime
    yield context.create_timer(datetime(2026, 1, 1))

@app.orchestration_trigger(context_name="context")
def seconds_timer(context):
    yield context.create_timer(5)

@app.orchestration_trigger(context_name="context")
def entity_by_name(context):
    yield context.call_entity("counter", "add", 1)

@app.orchestration_trigger(context_name="context")
def sent_datetime(context):
    yield context.call_activity("act", context.current_utc_datetime)

@app.orchestration_trigger(context_name="context")
def returned_set(context):
    return {1}
    yield

@app.activity_trigger(input_name="value")
def act(value):
    return {value}

@app.orchestration_trigger(context_name="context")
def calls_act(context):
    yield context.call_activity("act", 1)
"""


async def test_advice_is_the_end_of_the_log_entry_of_a_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, START, FAILING_HTTP, FAILING_FLOWS) as app:
        for route, advice in {
            "nothing": "The function returned nothing. Return a string or func.HttpResponse(…).",
            "number": "The function returned a value of the type int. Return a string or func.HttpResponse(body, ",
            "pair": "The function returned a value of the type tuple.",
            "object": "For JSON, pass json.dumps(value).",
            "forgotten": "The methods of the durable client are coroutines: write await client.start_new(…)",
        }.items():
            caplog.clear()
            assert (await app.get(f"/api/{route}")).status == 500
            await logged(caplog, f"\n{advice}")
        for flow, advice in {
            "returned_task": "The orchestrator returned a task. Yield it first",
            "yielded_list": "The orchestrator yielded a value of the type list, which is not a task.",
            "naive_timer": "Timers take a time with a time zone: context.create_timer(context.current_utc_datetime + ",
            "seconds_timer": "Timers take a time with a time zone",
            "entity_by_name": 'pass its id as df.EntityId("name", "key").',
            "sent_datetime": "Convert the value of the type datetime.datetime, or give its class the static methods",
            "returned_set": "The result must be JSON: str, int, float, bool, None, list or dict",
            "calls_act": "The result must be JSON: str, int, float, bool, None, list or dict",
        }.items():
            # The errors of earlier releases do not show the cause, or there is none.
            if flow in ("yielded_list", "naive_timer", "seconds_timer") and not has_release(DURABLE, "1.3.0"):
                continue
            caplog.clear()
            assert (await app.get(f"/api/start/{flow}")).text == "started"
            await logged(caplog, advice)

"""Indexing of an app: metadata from the decorators, and the official worker's texts for invalid apps."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from emulator.errors import AppLoadError
from emulator.worker.port import RetryPolicy
from tests.worker.apps import Load

HEAD = """
import typing
import azure.functions as func
app = func.FunctionApp()
"""

TIMER = '@app.timer_trigger(arg_name="t", schedule="0 * * * * *")\n'


async def test_bindings_keep_the_decorators_order_and_members(load: Load) -> None:
    app = await load(
        HEAD
        + """
@app.function_name("Greet")
@app.route(route="hi/{name}", methods=["get", "POST"], auth_level="anonymous")
@app.queue_output(arg_name="msg", queue_name="q1", connection="AzureWebJobsStorage")
def greet(req: func.HttpRequest, msg: func.Out[str]) -> func.HttpResponse: ...
"""
    )
    [greet] = app.functions.values()
    assert greet.name == "Greet"
    assert [(binding.type, binding.name, binding.direction) for binding in greet.bindings] == [
        ("queue", "msg", "out"),
        ("httpTrigger", "req", "in"),
        ("http", "$return", "out"),
    ]
    trigger = greet.bindings[1]
    assert trigger.is_trigger
    assert trigger.properties["methods"] == ["GET", "POST"]
    assert trigger.properties["authLevel"] == "ANONYMOUS"
    assert greet.source is not None
    assert greet.source.endswith("function_app.py:6")  # its first decorator


async def test_function_id_is_the_uuid5_of_the_name(load: Load) -> None:
    app = await load(HEAD + '@app.route(route="x")\ndef hello(req: func.HttpRequest) -> str: ...')
    assert app.functions["hello"].id == "4d71d03f-f19b-5d9e-8523-9628ba18063c"


async def test_functions_of_blueprints_and_sdk_wrappers_are_indexed(load: Load) -> None:
    app = await load(
        """
        import azure.durable_functions as df
        from more import bp
        app = df.DFApp()
        app.register_functions(bp)

        @app.orchestration_trigger(context_name="context")
        def main(context): yield context.call_activity("act", 1)

        @app.entity_trigger(context_name="context")
        def counter(context): ...

        @app.route(route="start")
        @app.durable_client_input(client_name="client")
        async def start(req, client): return "x"
        """,
        more="""
        import azure.durable_functions as df
        bp = df.Blueprint()

        @bp.activity_trigger(input_name="number")
        def act(number: int) -> int: return number + 1
        """,
    )
    triggers = {name: next(b.type for b in f.bindings if b.is_trigger) for name, f in app.functions.items()}
    assert triggers == {
        "main": "orchestrationTrigger",
        "counter": "entityTrigger",
        "start": "httpTrigger",
        "act": "activityTrigger",
    }
    # The durable SDK wraps these functions; `source` is nevertheless the user's line.
    sources = {name: Path(function.source or "").name for name, function in app.functions.items()}
    assert sources == {
        "main": "function_app.py:7",
        "counter": "function_app.py:10",
        "start": "function_app.py:13",
        "act": "more.py:5",
    }


RETRIES = [
    (
        'strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:05"',
        RetryPolicy("fixed_delay", 3, delay=5),
    ),
    (
        'strategy="exponential_backoff", max_retry_count="-1", minimum_interval="00:00:01", '
        'maximum_interval="01:00:02"',
        RetryPolicy("exponential_backoff", -1, minimum=1, maximum=3602),
    ),
    # Every other word is taken for the exponential strategy, and a minute may be written in seconds.
    (
        'strategy="exponentialBackoff", max_retry_count="2", minimum_interval="00:00:05", maximum_interval="00:00:60"',
        RetryPolicy("exponential_backoff", 2, minimum=5, maximum=60),
    ),
]


@pytest.mark.parametrize(("arguments", "policy"), RETRIES)
async def test_retry_decorator_becomes_a_retry_policy(load: Load, arguments: str, policy: RetryPolicy) -> None:
    app = await load(HEAD + f"@app.retry({arguments})\n" + TIMER + "def f(t: func.TimerRequest): ...")
    assert app.functions["f"].retry == policy


ROUTE = '@app.route(route="x")\n'
QUEUE_OUT = '@app.queue_output(arg_name="q", queue_name="q1", connection="C")\n'
CANNOT_LOAD = "FunctionLoadError: cannot load the f function: "

INVALID = {
    "no app": ("import azure.functions as func", "ValueError: Could not find top level function app instances"),
    "only a blueprint": (
        "import azure.functions as func\nbp = func.Blueprint()",
        "ValueError: Could not find top level function app instances in function_app.py.",
    ),
    "two apps": (
        HEAD + "other = func.FunctionApp()",
        "ValueError: More than one FunctionApp or other top level function app instances are defined.",
    ),
    "one app under two names": (HEAD + "other = app", "ValueError: More than one FunctionApp"),
    "duplicate name": (
        HEAD + (TIMER + "def f(t: func.TimerRequest): ...\n") * 2,
        "ValueError: Function f does not have a unique function name. Please change @app.function_name() or the "
        "function method name to be unique.",
    ),
    "no trigger": (
        HEAD + QUEUE_OUT + "def f(q: func.Out[str]): ...",
        "ValueError: Function f does not have a trigger. A valid function must have one and only one trigger",
    ),
    "two triggers": (
        HEAD + TIMER + ROUTE + "def f(t, req): ...",
        "ValueError: A trigger was already registered to this function.",
    ),
    "lower-case app level": (
        'import azure.functions as func\napp = func.FunctionApp(http_auth_level="anonymous")',
        "KeyError: 'anonymous'",
    ),
    "raises at import": ("raise KeyError('boom at import')", "KeyError: 'boom at import'"),
    "exits at import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "syntax error": ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax (function_app.py, line 2)"),
    "missing module": (
        "import no_such_module_anywhere",
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'. Cannot find module. Please check the "
        "requirements.txt file for the missing module. For more info, please refer the troubleshooting guide: "
        "https://aka.ms/functions-modulenotfound. Current sys.path: [",
    ),
    "circular import": (
        "import json, helper",
        "ImportError: cannot import name 'x' from partially initialized module 'function_app' (most likely due to a "
        "circular import)",
    ),
    "relative import": (
        "from . import x",
        "ImportError: attempted relative import with no known parent package. Cannot find module.",
    ),
    "parameter without binding": (
        HEAD + TIMER + "def f(t: func.TimerRequest, b): ...",
        CANNOT_LOAD + "the following parameters are declared in Python but not in function.json: {'b'}",
    ),
    "binding without parameter": (
        HEAD + TIMER + "def f(): ...",
        CANNOT_LOAD + "the following parameters are declared in function.json but not in Python: {'t'}",
    ),
    "parameter with a default": (
        HEAD + TIMER + "def f(t: func.TimerRequest, b=1): ...",
        CANNOT_LOAD + "the following parameters are declared in Python but not in function.json: {'b'}",
    ),
    "context of another type": (
        HEAD + TIMER + "def f(t: func.TimerRequest, context: int): ...",
        CANNOT_LOAD + "the \"context\" parameter is expected to be of type azure.functions.Context, got <class 'int'>",
    ),
    "bare Out": (
        HEAD + QUEUE_OUT + TIMER + "def f(t: func.TimerRequest, q: func.Out): ...",
        CANNOT_LOAD + "binding q has invalid Out annotation <class 'azure.functions._abc.Out'>",
    ),
    "no type": (HEAD + TIMER + "def f(t: 123): ...", CANNOT_LOAD + "binding t has invalid non-type annotation 123"),
    "built-in generic": (
        HEAD + TIMER + "def f(t: list[int]): ...",
        CANNOT_LOAD + "binding t has invalid non-type annotation list[int]",
    ),
    "out binding, in annotation": (
        HEAD + QUEUE_OUT + TIMER + "def f(t: func.TimerRequest, q: str): ...",
        CANNOT_LOAD
        + 'binding q is declared to have the "out" direction, but its annotation in Python is not a subclass '
        "of azure.functions.Out",
    ),
    "in binding, Out annotation": (
        HEAD + TIMER + "def f(t: func.Out[str]): ...",
        CANNOT_LOAD + 'binding t is declared to have the "in" direction in function.json, but its annotation is '
        "azure.functions.Out in Python",
    ),
    "wrong class": (
        HEAD + ROUTE + "def f(req: int) -> str: ...",
        CANNOT_LOAD + '\'req\' binding type "httpTrigger" and dataType "None" in function.json do not match the '
        'corresponding function parameter\'s Python type annotation "int"',
    ),
    "optional": (
        HEAD + ROUTE + "def f(req: typing.Optional[func.HttpRequest]) -> str: ...",
        "TypeError: issubclass() arg 1 must be a class",
    ),
    "unknown forward reference": (
        HEAD + TIMER + "def f(t: 'Nowhere'): ...",
        "NameError: name 'Nowhere' is not defined",
    ),
    "returns Out": (
        HEAD + ROUTE + "def f(req: func.HttpRequest) -> func.Out[str]: ...",
        CANNOT_LOAD + "return annotation should not be azure.functions.Out",
    ),
    "returns an optional": (
        HEAD + ROUTE + "def f(req: func.HttpRequest) -> typing.Optional[str]: ...",
        CANNOT_LOAD + "has invalid non-type return annotation typing.Optional[str]",
    ),
    "returns the wrong class": (
        HEAD + ROUTE + "def f(req: func.HttpRequest) -> int: ...",
        CANNOT_LOAD + 'Python return annotation "int" does not match binding type "http"',
    ),
    "returns None": (
        HEAD + ROUTE + "def f(req: func.HttpRequest) -> None: ...",
        CANNOT_LOAD + 'Python return annotation "NoneType" does not match binding type "http"',
    ),
    "fraction in an interval": (
        HEAD
        + '@app.retry(strategy="fixed_delay", max_retry_count="1", delay_interval="00:00:01.5")\n'
        + TIMER
        + "def f(t: func.TimerRequest): ...",
        "ValueError: unconverted data remains: .5",
    ),
    "a retry strategy that does not exist": (
        HEAD
        + '@app.retry(strategy="fixedDelay", max_retry_count="1", delay_interval="00:00:01")\n'
        + TIMER
        + "def f(t: func.TimerRequest): ...",
        'TypeError: The retry policy has strategy="fixedDelay", but no minimum_interval. Every strategy but '
        '"fixed_delay" is taken for "exponential_backoff", as on Azure. Use strategy="fixed_delay" with delay_interval',
    ),
}


@pytest.mark.parametrize(("code", "text"), INVALID.values(), ids=list(INVALID))
async def test_invalid_app_fails_with_the_official_text(load: Load, code: str, text: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        await load(code, helper="from function_app import x")
    assert str(caught.value).startswith(f"Result: Failure\nException: {text}")


async def test_a_wrong_retry_strategy_names_the_function(load: Load) -> None:
    with pytest.raises(AppLoadError, match=r"The function is f at .*function_app.py:\d+"):
        await load(
            HEAD
            + '@app.retry(strategy="fixedDelay", max_retry_count="1", delay_interval="00:00:01")\n'
            + TIMER
            + "def f(t: func.TimerRequest): ..."
        )


BESIDE = ROUTE + "def good(req: func.HttpRequest) -> str: ...\n"

LEFT_OUT = {
    "path of a blob": (
        '@app.blob_trigger(arg_name="blob", path="in/{name}", connection="C")\n'
        "def f(blob: func.InputStream, name: str): ...",
        [
            "cannot load the f function: the following parameters are declared in Python but not in function.json: "
            "{'name'}",
            "'{name}' in the path 'in/{name}' is a value for expressions of other bindings",
            'The blob\'s name is in blob.name, for example "in/report.pdf".',
        ],
    ),
    "extension of a blob": (
        '@app.blob_trigger(arg_name="b", path="in/{stem}.{ending}", connection="C")\n'
        "def f(b: func.InputStream, ending): ...",
        ["It is not a parameter of the function: remove 'ending'. The blob's name is in b.name"],
    ),
    "route": (
        '@app.route(route="items/{id:int}")\ndef f(req: func.HttpRequest, id: int) -> str: ...',
        ["'{id}' in the route 'items/{id:int}' is a value", 'Its value is in req.route_params["id"].'],
    ),
    "context of another name": (
        TIMER + "def f(t: func.TimerRequest, ctx: func.Context): ...",
        ["The parameter of type Context must have the name 'context' instead of 'ctx'."],
    ),
    "names that differ": (
        TIMER + "def f(timer: func.TimerRequest): ...",
        ["No binding has the name 'timer', and no parameter has the name 't'. Give both the same name."],
    ),
    "binding without parameter": (
        QUEUE_OUT + TIMER + "def f(t: func.TimerRequest): ...",
        ["declared in function.json but not in Python: {'q'}"],
    ),
    "strategy of a retry policy": (
        '@app.retry(strategy="fixedDelay", max_retry_count="1", delay_interval="00:00:01")\n'
        + TIMER
        + "def f(t: func.TimerRequest): ...",
        ['strategy="fixedDelay"', 'Use strategy="fixed_delay" with'],
    ),
    "annotation that does not exist": (TIMER + "def f(t: 'Nowhere'): ...", ["name 'Nowhere' is not defined"]),
}


@pytest.mark.parametrize(("code", "texts"), LEFT_OUT.values(), ids=list(LEFT_OUT))
async def test_a_mistake_in_one_function_leaves_out_only_this_function(load: Load, code: str, texts: list[str]) -> None:
    app = await load(HEAD + BESIDE + code)
    assert app.functions["good"].configuration_error is None
    error = app.functions["f"].configuration_error or ""
    for text in [*texts, "The function is f at ", "On Azure, the app has no functions because of this."]:
        assert text in error


async def test_import_error_shows_only_the_users_frames(load: Load) -> None:
    with pytest.raises(AppLoadError) as caught:
        await load("import azure.functions\nimport helper", helper="def f():\n    1 / 0\nf()")
    frames = re.findall(r'File "(.*?)", line (\d+)', str(caught.value))
    assert [(file.rpartition("/")[2].rpartition("\\")[2], line) for file, line in frames] == [
        ("function_app.py", "2"),
        ("helper.py", "3"),
        ("helper.py", "2"),
    ]


HINTS = {
    "the line of a syntax error": (
        "x = 1\ndef f(:\n",
        r'Stack:   File ".*function_app.py", line 2\n    def f\(:\n +\^$',
    ),
    "a file with a null byte": ("x = 1\0", r"The error occurred while importing .*function_app.py\.\n"),
    "two apps": (HEAD + "other = app", r"The names are app, other in .*function_app.py\.\n"),
    "the function": (
        HEAD + TIMER + "def f(t: 'Nowhere'): ...",
        r"The function is f at .*function_app.py:\d+\.$",
    ),
    "both places of a name": (
        HEAD + (TIMER + "def f(t: func.TimerRequest): ...\n") * 2,
        r"The functions with the name f are at .*function_app.py:5 and .*function_app.py:7\.$",
    ),
    "what to write instead of a built-in generic": (
        HEAD + '@app.generic_trigger(arg_name="x", type="activityTrigger")\ndef f(x: dict[str, list[int]]): ...',
        r"Write typing.Dict\[str, list\[int\]\], dict, or no annotation\.",
    ),
    "only what the binding accepts": (
        HEAD + '@app.queue_trigger(arg_name="m", queue_name="q", connection="C")\ndef f(m: list[int]): ...',
        r"Write a class, or no annotation\.",
    ),
    "what to write instead of a built-in generic in an output": (
        HEAD + QUEUE_OUT + TIMER + "def f(t, q: func.Out[list[str]]): ...",
        r"Write func.Out\[typing.List\[str\]\], or no annotation\.",
    ),
    "a union": (HEAD + TIMER + "def f(t: int | None): ...", r"Write a class, or no annotation\."),
    "a return annotation": (
        HEAD + ROUTE + "def f(req) -> list[str]: ...",
        r"accepts a class as the return annotation, such as dict\.",
    ),
    "an optional": (
        HEAD + ROUTE + "def f(req: typing.Optional[func.HttpRequest]) -> str: ...",
        r"The parameter 'req' has the annotation .*HttpRequest.*\. Write a class, or no annotation\.",
    ),
    "the name of an orchestrator's trigger": (
        "import azure.durable_functions as df\napp = df.DFApp()\n"
        '@app.orchestration_trigger(context_name="ctx")\ndef f(ctx): yield',
        r"must have the name 'context' instead of 'ctx': the durable SDK calls",
    ),
    "where to install": (
        "import no_such_module_anywhere",
        re.escape(f"{sys.executable} -m pip install -r requirements.txt") + "$",
    ),
}


@pytest.mark.parametrize(("code", "hint"), HINTS.values(), ids=list(HINTS))
async def test_load_error_ends_with_a_hint(load: Load, code: str, hint: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        await load(code)
    assert re.search(hint, str(caught.value)), str(caught.value)


async def test_of_several_wrong_annotations_the_first_parameter_is_named(load: Load) -> None:
    # The decorators bind the parameters in another order.
    code = HEAD + TIMER + QUEUE_OUT.replace('"q"', '"a"') + QUEUE_OUT + "def f(q: str, t: 1, a: list[str]): ..."
    with pytest.raises(AppLoadError, match='binding q is declared to have the "out" direction'):
        await load(code)


async def test_script_name_setting_selects_the_file(load: Load) -> None:
    app = await load(
        "raise RuntimeError",
        settings={"PYTHON_SCRIPT_FILE_NAME": "main.py"},
        main=HEAD + TIMER + "def f(t: func.TimerRequest): ...",
    )
    assert list(app.functions) == ["f"]


async def test_invalid_script_name_fails(load: Load) -> None:
    with pytest.raises(AppLoadError, match=r"InvalidFileNameError: Invalid file name: \.\./x\.py"):
        await load("", settings={"PYTHON_SCRIPT_FILE_NAME": "../x.py"})


async def test_missing_script_means_no_functions(load: Load) -> None:
    app = await load("", settings={"PYTHON_SCRIPT_FILE_NAME": "missing.py"})
    assert app.functions == {}


ACCEPTED = {
    "unannotated": TIMER + "def f(t): ...",
    "typing.List": '@app.event_hub_message_trigger(arg_name="e", event_hub_name="h", connection="C", '
    'cardinality="many")\ndef f(e: typing.List[func.EventHubEvent]): ...',
    "str instead of a queue message": '@app.queue_trigger(arg_name="m", queue_name="q", connection="C")\n'
    "def f(m: str): ...",
    "bytes of a blob": '@app.blob_trigger(arg_name="b", path="c/{n}", connection="C")\ndef f(b: bytes): ...',
    "any class called Context": "class Context: ...\n" + TIMER + "def f(t, context: Context): ...",
    "Out of a list": QUEUE_OUT + TIMER + "def f(t, q: func.Out[typing.List[str]]): ...",
    "generic trigger": '@app.generic_trigger(arg_name="x", type="anyTrigger", more_things=1)\ndef f(x: str): ...',
    "warm-up": '@app.warm_up_trigger(arg_name="w")\ndef f(w): ...',
}


@pytest.mark.parametrize("code", ACCEPTED.values(), ids=list(ACCEPTED))
async def test_signature_that_the_official_worker_accepts_loads(load: Load, code: str) -> None:
    app = await load(HEAD + code)
    assert list(app.functions) == ["f"]

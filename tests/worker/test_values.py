"""Conversion of inputs and outputs: docs/protocol/python-worker.md 4.3 and 4.6."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from emulator.worker.port import Datum, FunctionFailed, HttpCookie, HttpResponseData
from tests.sdk_releases import FUNCTIONS, needs
from tests.worker.apps import Load, http_request, text, value_of

HEAD = """
import json, typing
import azure.functions as func
import azure.durable_functions as df
app = df.DFApp()
"""

# A function that returns the repr of an expression of its parameter `x`.
SHOW = '@app.generic_trigger(arg_name="x", type="{type}")\ndef f(x{annotation}): return repr({expression})\n'


def show(binding_type: str, expression: str = "x", annotation: str = "") -> str:
    return HEAD + SHOW.format(type=binding_type, annotation=annotation, expression=expression)


DECODED = [
    ("someTrigger", "x", text("a"), "'a'"),
    ("someTrigger", "x", Datum("json", '{"a": 1}'), "'{\"a\": 1}'"),
    ("someTrigger", "x", Datum("bytes", b"a"), "b'a'"),
    ("someTrigger", "x", None, "None"),
    ("activityTrigger", "x", text('"Tokyo"'), "'Tokyo'"),
    ("activityTrigger", "x", text("Tokyo"), "'Tokyo'"),
    ("activityTrigger", "x", text("5"), "5"),
    ("activityTrigger", "x", text("null"), "None"),
    ("activityTrigger", "x", text("True"), "'True'"),
    ("activityTrigger", "x", text('{"n":1}'), "{'n': 1}"),
    ("activityTrigger", "x", Datum("json", "[1]"), "[1]"),
    ("queueTrigger", "x.get_body()", text("hi"), "b'hi'"),
    ("queueTrigger", "x.get_json()", text('{"a":1}'), "{'a': 1}"),
    ("blobTrigger", "x.read()", Datum("bytes", b"\x00\xff"), r"b'\x00\xff'"),
    ("blobTrigger", "x.read()", text("é"), r"b'\xc3\xa9'"),
    ("timerTrigger", "x.past_due", Datum("json", '{"IsPastDue": true}'), "True"),
    ("httpTrigger", "(x.method, x.url)", http_request(), "('GET', 'http://h/api/x')"),
    ("httpTrigger", "x.params.get('a')", http_request(query={"a": "1"}), "'1'"),
    ("httpTrigger", "x.route_params['id']", http_request(route_params={"id": "7"}), "'7'"),
    ("httpTrigger", "x.headers['X-Key']", http_request(headers={"x-key": "v"}), "'v'"),
    ("httpTrigger", "x.get_json()", http_request(body=b'{"a": 1}'), "{'a': 1}"),
    pytest.param("warmupTrigger", "type(x).__name__", text(""), "'WarmUpContext'", marks=needs(FUNCTIONS, "1.13.3")),
    (
        "eventGridTrigger",
        "x.subject",
        Datum(
            "json",
            json.dumps(
                {
                    "id": "1",
                    "topic": "t",
                    "subject": "s",
                    "eventType": "e",
                    "eventTime": "2024-01-01T00:00:00Z",
                    "data": {},
                    "dataVersion": "1",
                }
            ),
        ),
        "'s'",
    ),
]


@pytest.mark.parametrize(("binding_type", "expression", "datum", "shown"), DECODED)
async def test_input_is_decoded_by_the_converter_of_its_binding(
    load: Load, binding_type: str, expression: str, datum: Datum | None, shown: str
) -> None:
    code = show(binding_type, expression) + "\n"
    if binding_type in (
        "queueTrigger",
        "blobTrigger",
        "timerTrigger",
        "httpTrigger",
        "warmupTrigger",
        "eventGridTrigger",
    ):
        # These triggers do not allow a return value without a `$return` binding.
        code = code.replace("\ndef f", '\n@app.generic_output_binding(arg_name="$return", type="anything")\ndef f')
    app = await load(code)
    returned = await app.call("f", x=datum)
    value = value_of(returned)
    is_json = returned.value is not None and returned.value.type == "json"
    assert (json.loads(value) if is_json else value) == shown


UNDECODABLE = [
    (
        "httpTrigger",
        text("x"),
        "TypeError: unable to decode incoming TypedData: unsupported combination of TypedData "
        "field 'string' and expected binding type <class 'azure.functions.http.HttpRequestConverter'>",
    ),
    ("queueTrigger", Datum("json", "1"), "TypeError: unable to decode incoming TypedData"),
    ("activityTrigger", None, "AttributeError: 'NoneType' object has no attribute 'type'"),
    (
        "someTrigger",
        http_request(),
        "ValueError: ('unexpected type of data received for the \"generic\" binding ', \"'http'\")",
    ),
]


@pytest.mark.parametrize(("binding_type", "datum", "message"), UNDECODABLE)
async def test_input_that_cannot_be_decoded_fails_the_invocation(
    load: Load, binding_type: str, datum: Datum | None, message: str
) -> None:
    app = await load(show(binding_type).replace("return repr(x)", "..."))
    with pytest.raises(FunctionFailed) as failed:
        await app.call("f", x=datum)
    assert f"Exception: {message}" in str(failed.value)


async def test_queue_message_has_its_trigger_metadata(load: Load) -> None:
    app = await load(
        show("queueTrigger", "...").replace(
            "return repr(...)", "out = [x.id, x.dequeue_count, x.pop_receipt, str(x.insertion_time)]; print(out)"
        )
    )
    invocation = app.invocation("f", x=text("{}"))
    await app.worker.invoke(
        replace(
            invocation,
            trigger_metadata={
                "Id": text("abc"),
                "DequeueCount": Datum("json", "3"),
                "PopReceipt": text("pr"),
                "InsertionTime": Datum("json", '"2024-10-25T10:00:00.1234567+00:00"'),
            },
        )
    )
    assert app.lines == ["['abc', 3, 'pr', '2024-10-25 10:00:00.123456+00:00']"]


async def test_event_hub_batch_is_a_list(load: Load) -> None:
    app = await load(
        HEAD
        + """
@app.event_hub_message_trigger(arg_name="e", event_hub_name="h", connection="C", cardinality="many")
def f(e: typing.List[func.EventHubEvent]): print([one.get_body() for one in e])
"""
    )
    invocation = app.invocation("f", e=Datum("collection_string", ["a", "b"]))
    metadata = {"SystemPropertiesArray": Datum("json", "[{}, {}]")}
    await app.worker.invoke(replace(invocation, trigger_metadata=metadata))
    assert app.lines == ["[b'a', b'b']"]


# Outputs --------------------------------------------------------------------------------------------------------

GENERIC = [
    ("None", None),
    ("'a'", text("a")),
    ("b'a'", Datum("bytes", b"a")),
    ("bytearray(b'a')", Datum("bytes", b"a")),
    ("{'a': [1]}", Datum("json", '{"a": [1]}')),
    ("[1, 'x']", Datum("json", '[1, "x"]')),
    ("7", Datum("int", 7)),
    ("1.5", Datum("double", 1.5)),
    ("True", Datum("int", 1)),
]


@pytest.mark.parametrize(("value", "datum"), GENERIC)
async def test_generic_return_value_is_encoded_by_its_type(load: Load, value: str, datum: Datum | None) -> None:
    app = await load(
        HEAD
        + f"""
@app.generic_trigger(arg_name="x", type="someTrigger")
def f(x): return {value}
"""
    )
    returned = await app.call("f", x=None)
    assert returned.value == datum


ACTIVITY = [
    ("None", "null"),
    ("'é'", '"\\u00e9"'),
    ("{'a': 1}", '{"a": 1}'),
    ("[1, None]", "[1, null]"),
    ("2.5", "2.5"),
]


@pytest.mark.parametrize(("value", "result"), ACTIVITY)
async def test_activity_results_are_json(load: Load, value: str, result: str) -> None:
    app = await load(HEAD + f'@app.activity_trigger(input_name="x")\ndef f(x): return {value}')
    assert (await app.call("f", x=text("1"))).value == Datum("json", result)


@pytest.mark.parametrize("value", ["b'x'", "object()", "{1, 2}"])
async def test_activity_result_that_is_not_json_fails_the_invocation(load: Load, value: str) -> None:
    app = await load(HEAD + f'@app.activity_trigger(input_name="x")\ndef f(x): return {value}')
    with pytest.raises(FunctionFailed, match="ValueError: activity trigger output must be json serializable"):
        await app.call("f", x=text("1"))


async def test_out_parameters_and_return_value_are_encoded(load: Load) -> None:
    app = await load(
        HEAD
        + """
@app.route(route="x")
@app.queue_output(arg_name="one", queue_name="q", connection="C")
@app.queue_output(arg_name="many", queue_name="q", connection="C")
@app.queue_output(arg_name="nothing", queue_name="q", connection="C")
@app.blob_output(arg_name="blob", path="c/b", connection="C")
def f(req: func.HttpRequest, one: func.Out[str], many: func.Out[typing.List[str]], nothing: func.Out[str],
      blob: func.Out[bytes]) -> str:
    one.set("first"); one.set("")
    many.set(["a", "b"])
    nothing.set(None)
    blob.set(b"x")
    assert one.get() == "" and nothing.get() is None
    return "done"
"""
    )
    returned = await app.call("f", req=http_request())
    assert returned.value == text("done")
    assert returned.outputs == {
        "one": text(""),
        "many": Datum("json", '["a", "b"]'),
        "blob": Datum("bytes", b"x"),
    }


async def test_http_response_is_encoded_with_headers_and_cookies(load: Load) -> None:
    app = await load(
        HEAD
        + """
@app.route(route="x")
def f(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(json.dumps([1]), status_code=201, mimetype="application/json", headers={"X-A": "1"})
    response.headers.add("Set-Cookie", "a=b; Max-Age=10; Path=/p; Secure; HttpOnly; SameSite=Lax")
    response.headers.add("Set-Cookie", "foo=bar; Expires=Thu, 12-Jan-2017 13:55:08 GMT")
    return response
"""
    )
    returned = await app.call("f", req=http_request())
    assert returned.value == Datum(
        "http",
        HttpResponseData(
            status=201,
            headers=[("X-A", "1"), ("content-type", "application/json")],
            cookies=[
                HttpCookie(
                    name="a",
                    value="b",
                    domain="",
                    path="/p",
                    secure=True,
                    http_only=True,
                    same_site="Lax",
                    max_age=10.0,
                ),
                HttpCookie(
                    name="foo",
                    value="bar",
                    domain="",
                    path="",
                    expires="Thu, 12 Jan 2017 13:55:08 GMT",
                    secure=False,
                    http_only=False,
                ),
            ],
            body=b"[1]",
        ),
    )


HTTP_FAILURES = [
    (
        "None",
        'TypeError: unable to encode outgoing TypedData: unsupported type "<class '
        '\'azure.functions.http.HttpResponseConverter\'>" for Python type "NoneType"',
    ),
    ("b'x'", "TypeError: unable to encode outgoing TypedData"),
    (
        "func.HttpResponse('x', headers={'Set-Cookie': 'a=b; Expires=never'})",
        "ValueError: Can not parse value never of expires in the cookie due to invalid format.",
    ),
]


@pytest.mark.parametrize(("value", "message"), HTTP_FAILURES)
async def test_invalid_http_response_fails_the_invocation(load: Load, value: str, message: str) -> None:
    app = await load(HEAD + f'@app.route(route="x")\ndef f(req): return {value}')
    with pytest.raises(FunctionFailed) as failed:
        await app.call("f", req=http_request())
    assert f"Exception: {message}" in str(failed.value)


async def test_return_value_without_a_binding_fails_the_invocation(load: Load) -> None:
    app = await load(HEAD + '@app.timer_trigger(arg_name="t", schedule="* * * * * *")\ndef f(t): return 1')
    with pytest.raises(FunctionFailed) as failed:
        await app.call("f", t=Datum("json", "{}"))
    assert failed.value.text == "function 'f' without a $return bindingreturned a non-None value"
    assert failed.value.type_name == "RuntimeError"


async def test_failed_function_has_no_outputs(load: Load) -> None:
    app = await load(
        HEAD
        + """
@app.queue_output(arg_name="q", queue_name="q", connection="C")
@app.generic_trigger(arg_name="x", type="someTrigger")
def f(x, q: func.Out[str]):
    q.set("written")
    raise LookupError("no")
"""
    )
    with pytest.raises(FunctionFailed, match="LookupError: no"):
        await app.call("f", x=None)

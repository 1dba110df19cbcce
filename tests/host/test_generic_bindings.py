"""Generic bindings, several outputs, expressions and disabled functions, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.testing import SyncAppUnderTest, start, start_sync
from tests.running_apps import HTTP_APP, write_app

GENERIC = """
@app.generic_trigger(arg_name="req", type="HTTPTRIGGER", route="items/{id}", methods=["post"], auth_level="anonymous")
@app.generic_output_binding(arg_name="$return", type="Http")
@app.generic_output_binding(arg_name="one", type="acme", path="{id}/{sub.name}/{Query.id}/{ID}/{Headers.X-Tag}")
@app.generic_output_binding(arg_name="two", type="acme", path="{name}", data_type="BINARY")
@app.generic_output_binding(arg_name="unset", type="acme", path="x")
def item(req: func.HttpRequest, one: func.Out[str], two: func.Out[bytes], unset: func.Out[str]) -> func.HttpResponse:
    one.set("1"); two.set(b"2")
    return func.HttpResponse(req.route_params["id"], status_code=201)

@app.generic_trigger(arg_name="req", type="httptrigger", route="plain/{id?}", auth_level="ANONYMOUS")
@app.generic_output_binding(arg_name="$return", type="http")
@app.generic_output_binding(arg_name="one", type="acme", path="{id}")
def plain(req, one: func.Out[str]):
    one.set("1")
    return req.params.get("id", "none")

@app.generic_trigger(arg_name="msg", type="ServiceBusTrigger", queue_name="q", connection="C")
def typed(msg: func.ServiceBusMessage): return msg.get_body().decode()

@app.generic_trigger(arg_name="msg", type="SERVICEBUSTRIGGER", queue_name="q", connection="C")
def text(msg: str): return type(msg).__name__

@app.generic_trigger(arg_name="msg", type="serviceBusTrigger", queue_name="q", connection="C", data_type="STRING")
@app.generic_output_binding(arg_name="stamp", type="acme", path="{rand-guid}/{rand-guid}/{DateTime:yyyy-MM-dd}",
                            dotted="{datetime:yyyy.MM.dd}")
def stamped(msg: func.ServiceBusMessage, stamp: func.Out[str]):
    stamp.set("s")
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncAppUnderTest]:
    with start_sync(write_app(tmp_path_factory.mktemp("app"), HTTP_APP, GENERIC)) as app:
        yield app


def path_of(app: SyncAppUnderTest, function: str, binding: str) -> object:
    return app.outputs(function, binding)[-1].properties["path"]


def test_names_come_from_route_query_and_body_in_this_order(app: SyncAppUnderTest) -> None:
    body = {"id": 3, "sub": {"name": "n"}, "NAME": "from the body"}
    answer = app.post("/api/items/1?id=2", json=body, headers={"x-tag": "t"})
    assert (answer.status, answer.text) == (201, "1")
    assert path_of(app, "item", "one") == "1/n/2/1/t"
    assert path_of(app, "item", "two") == "from the body"
    assert {output.binding: output.value for output in app.outputs("item")} == {"one": "1", "two": b"2"}
    assert app.get("/api/plain?id=2").text == "2"
    assert path_of(app, "plain", "one") == "2"
    assert app.post("/api/plain", json={"ID": 3.0}).text == "none"
    assert path_of(app, "plain", "one") == "3"


def test_a_name_without_a_value_fails_after_the_functions_code(app: SyncAppUnderTest) -> None:
    before = len(app.outputs("plain"))
    assert app.get("/api/plain").status == 500
    assert len(app.outputs("plain")) == before
    assert "Error while handling parameter one after function returned: No value for named parameter 'id'." in (
        app.console
    )


def test_types_may_have_any_letter_case(app: SyncAppUnderTest) -> None:
    assert app.invoke("typed", "hello").value == "hello"
    # On Azure such a type has no converter, so a function without a class of the library gets text.
    assert app.invoke("text", "hello").value == "str"


def test_each_identifier_is_a_new_one(app: SyncAppUnderTest) -> None:
    app.invoke("stamped", "x")
    first, second, day = str(path_of(app, "stamped", "stamp")).split("/")
    assert first != second
    assert day == f"{app.now:%Y-%m-%d}"
    assert app.outputs("stamped")[-1].properties["dotted"] == f"{app.now:%Y}"
    assert (
        "Function 'stamped', binding 'stamp': in 'dotted', the format of {datetime:yyyy.MM.dd} ends at its first dot"
    ) in app.console


TWO = """
@app.function_name(name="nightly-report")
@app.route(route="off")
def off(req: func.HttpRequest): return "ran"

@app.route(route="on")
def on(req: func.HttpRequest): return "ran"
"""


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("AzureWebJobs.nightly-report.Disabled", "true", 404),
        ("AzureWebJobs_nightly-report_Disabled", "1", 404),
        ("AzureWebJobs_nightly-report_Disabled", "True", 404),
        ("AzureWebJobs.nightly-report.Disabled", "0", 200),
        ("AzureWebJobs.nightly-report.Disabled", "", 200),
        # Not the name of the Python function.
        ("AzureWebJobs.off.Disabled", "true", 200),
    ],
)
async def test_a_setting_disables_one_function(tmp_path: Path, name: str, value: str, status: int) -> None:
    app_folder = write_app(tmp_path / "app", HTTP_APP, TWO)
    async with start(app_folder, settings={name: value}) as app:
        assert ((await app.get("/api/off")).status, (await app.get("/api/on")).status) == (status, 200)
        listed = (await app.get("/admin/functions/nightly-report")).json()
        assert listed["isDisabled"] is (status == 404)


QUEUE_LAST = """
@app.route(route="both")
@app.queue_output(arg_name="message", queue_name="messages", connection="AzureWebJobsStorage")
@app.generic_output_binding(arg_name="other", type="acme", path="{Query.fail}")
def both(req: func.HttpRequest, message: func.Out[str], other: func.Out[str]):
    message.set("m"); other.set("o")
    return "ok"
"""


async def test_messages_are_sent_after_all_other_outputs(tmp_path: Path) -> None:
    async with start(write_app(tmp_path / "app", HTTP_APP, QUEUE_LAST)) as app:
        assert (await app.get("/api/both?fail=no")).status == 200
        assert [output.binding for output in app.outputs()] == ["other", "message"]
        # The path of the other output has no value now.
        assert (await app.get("/api/both")).status == 500
        assert len(app.outputs()) == 2
